"""The magics: how each is written and what it touches.

All that reads or shows a magic is made from `MAGICS`: parsers and their help, completion, the overview, the
analysis of cells, the reader of notebook files and the rules for headless cells.
"""

from __future__ import annotations

from evercell.core.magic_grammar import Argument, Kind, Magic, NameKind, Value


def _rerun(what: str) -> Argument:
    return Argument("rerun", f"{what} even if it could be replayed", flag="--rerun", value=None)


def _run_argument() -> Argument:
    return Argument("run", "name or id of a run (this notebook's)", names=NameKind.RUN)


_STEP_NAME = Argument(
    "name", "name of the step, unique in the notebook", value=Value.STEP_NAME, required=True
)

MAGICS = (
    Magic(
        "step",
        Kind.HEADER,
        "Run the cell once. What it prints, draws and leaves in memory is committed when it ends; later it is "
        "replayed, unless its code or what it reads was made anew by changed code.",
        (
            _STEP_NAME,
            Argument(
                "retries", "how many more attempts after a failure (0)", flag="--retries", value=Value.NUMBER,
                default="0", metavar="N",
            ),
            Argument(
                "backoff", "pause before the second attempt, then doubled (1s)", flag="--backoff",
                value=Value.DURATION, default="1s", metavar="TIME",
            ),
            Argument(
                "timeout", "limit of one attempt: 90s, 10m, 2h", flag="--timeout", value=Value.DURATION,
                metavar="TIME",
            ),
            _rerun("execute"),
            Argument(
                "once", "after an attempt that was interrupted, ask before trying again", flag="--once",
                value=None,
            ),
            Argument(
                "limit", "hold a slot of this limit, which all runs of the store share", flag="--limit",
                metavar="KEY",
            ),
            Argument(
                "gate",
                'what its calls have to come up to, and what follows where they do not: '
                '"advancement>=0.4 every 5 else ask"',
                flag="--gate", value=Value.GATE, metavar="GATE",
            ),
            Argument(
                "on_change",
                "where it goes on after a kill and calls otherwise than it did: stop (fail), forget the recorded "
                "calls from there on (rerun), or take their results (keep)",
                flag="--on-change", choices=("fail", "rerun", "keep"), default="fail",
            ),
        ),
    ),
    Magic(
        "setup",
        Kind.HEADER,
        "Run the cell in every new kernel, before state is put back: imports, clients, connections. What it "
        "makes is not saved.",
        (
            Argument(
                "name", "a name, where a notebook has several (setup)", value=Value.STEP_NAME, default="setup"
            ),
        ),
    ),
    Magic(
        "approve",
        Kind.HEADER,
        "A step that asks a person first, and executes its cell only if they approve.",
        (
            _STEP_NAME,
            Argument("title", "the question", value=Value.WORDS, required=True),
            Argument(
                "timeout", "decide without anybody after 90s, 10m, 2h, 3d", flag="--timeout",
                value=Value.DURATION, metavar="TIME",
            ),
            Argument(
                "on_timeout", "what then (reject)", flag="--on-timeout",
                choices=("reject", "approve", "fail"), default="reject",
            ),
            Argument(
                "approvers", "who may answer: ann,bob (everybody)", flag="--approvers", value=Value.NAMES,
                metavar="NAMES",
            ),
            Argument(
                "quorum", "how many have to approve (1)", flag="--quorum", value=Value.NUMBER, default="1",
                metavar="N",
            ),
            _rerun("ask and execute"),
        ),
    ),
    Magic(
        "resume",
        Kind.COMMAND,
        "Put back what a run had in memory after its last step, and go on from there.",
        (_run_argument(),),
    ),
    Magic(
        "runs",
        Kind.COMMAND,
        "List runs, the newest first, branches below their origin.",
        (
            Argument("all", "of every notebook, and archived ones", flag="--all", value=None),
            Argument("tree", "as a picture: where each branch leaves its parent", flag="--tree", value=None),
            Argument(
                "limit", "at most N runs (50)", flag="--limit", value=Value.NUMBER, default="50", metavar="N"
            ),
        ),
        harmless=True,
    ),
    Magic(
        "steps",
        Kind.COMMAND,
        "List the steps of a run: status, attempts, versions, time.",
        (
            _run_argument(),
            Argument(
                "calls", "their durable calls: arguments, results, tries, errors", flag="--calls", value=None
            ),
        ),
        harmless=True,
    ),
    Magic(
        "timeline",
        Kind.COMMAND,
        "Show when the steps of a run and their calls ran, were replayed, failed or waited; below its cell it follows "
        "what happens in this kernel.",
        (_run_argument(),),
        harmless=True,
    ),
    Magic(
        "branch",
        Kind.COMMAND,
        "Start a new run whose history begins at a step, with that step's state in this kernel. Without --from "
        "it begins here and memory stays as it is. Nothing is copied.",
        (
            Argument(
                "step", "step to branch from; STEP@1: its version 1; RUN@STEP, or a tag", flag="--from", metavar="STEP",
                names=NameKind.CHECKPOINT,
            ),
            Argument("name", "name of the new run", flag="--name", metavar="NAME"),
        ),
    ),
    Magic(
        "checkout",
        Kind.COMMAND,
        "Put a run's state into this kernel, and go on from there in that run.",
        (
            Argument(
                "ref", "RUN, RUN@STEP, RUN@STEP@2, STEP of this run, or a tag", metavar="RUN[@STEP]", required=True,
                names=NameKind.PLACE,
            ),
        ),
    ),
    Magic(
        "compare",
        Kind.COMMAND,
        "Show runs side by side: steps, time, calls, tokens, cost and metrics; of two runs also which cells, variables "
        "and outputs differ. One run is compared with this one; none: all branches that share a history with it.",
        (
            Argument(
                "runs", "RUN, RUN@STEP, STEP or a tag each", value=Value.SEVERAL, metavar="RUN[@STEP]",
                names=NameKind.CHECKPOINT,
            ),
            Argument(
                "sort", "by a metric or a column (time, cost, ...), the smallest first", flag="--sort",
                metavar="METRIC",
            ),
            Argument("reverse", "the largest first", flag="--reverse", value=None),
        ),
        harmless=True,
    ),
    Magic(
        "history",
        Kind.COMMAND,
        "List each version of each step in order: what lies on the way to here, where this kernel stands, which "
        "branches leave where. (IPython's own is %hist.)",
        (
            _run_argument(),
            Argument(
                "limit", "at most N versions, the newest (100)", flag="--limit", value=Value.NUMBER,
                default="100", metavar="N",
            ),
        ),
        harmless=True,
    ),
    Magic(
        "source",
        Kind.COMMAND,
        "Show the code of a step as it was executed.",
        (
            Argument(
                "step", "STEP, STEP@1, RUN@STEP, or a tag", required=True, names=NameKind.CHECKPOINT,
            ),
            Argument("put", "put it into a new cell below", flag="--put", value=None),
        ),
        harmless=True,
    ),
    Magic(
        "diff",
        Kind.COMMAND,
        "Show how the code of a step differs: from its cell in the notebook now, or between two versions.",
        (
            Argument(
                "step", "STEP, STEP@1, RUN@STEP, or a tag", required=True, names=NameKind.CHECKPOINT,
            ),
            Argument(
                "other", "the other version (the cell in the notebook now)", names=NameKind.CHECKPOINT
            ),
        ),
        harmless=True,
    ),
    Magic(
        "why",
        Kind.COMMAND,
        "Say why a step would replay or execute now: which code or input changed, and who made it. Nothing runs.",
        (Argument("step", "name of the step", required=True, names=NameKind.STEP),),
        harmless=True,
    ),
    Magic(
        "inspect",
        Kind.COMMAND,
        "List the variables as of a step: type, shape, size, what they share, which step last changed them, "
        "whether they are saved, rebuilt or not saved, and why.",
        (
            Argument(
                "step", "STEP, STEP@1, RUN@STEP or a tag (where this kernel stands)", names=NameKind.CHECKPOINT
            ),
        ),
        harmless=True,
    ),
    Magic(
        "reset",
        Kind.COMMAND,
        "Go on from before a step, in a new run with the state of there; what was stays. (%reset without --to is "
        "IPython's.)",
        (
            Argument(
                "step", "the step; STEP@2: its version 2; a step that only failed; a tag", flag="--to", metavar="STEP",
                required=True, names=NameKind.STEP,
            ),
            _run_argument(),
            Argument("name", "name of the new run", flag="--name", metavar="NAME"),
        ),
    ),
    Magic(
        "tag",
        Kind.COMMAND,
        "Give a place a name that stays, and that can be typed wherever a place can. Without arguments: list the tags.",
        (
            Argument("place", "STEP, RUN@STEP or RUN as it stands", names=NameKind.CHECKPOINT),
            Argument("name", "the tag"),
            Argument("move", "take the name from the checkpoint that has it", flag="--move", value=None),
            Argument(
                "delete", "remove a tag; what it named stays", flag="--delete", metavar="NAME", names=NameKind.TAG
            ),
        ),
        harmless=True,
    ),
    Magic(
        "rename",
        Kind.COMMAND,
        "Call a run otherwise. Its notebook, steps and branches stay its own.",
        (
            Argument("run", "name or id of a run", required=True, names=NameKind.RUN),
            Argument("name", "its new name", required=True),
        ),
        harmless=True,
    ),
    Magic(
        "archive",
        Kind.COMMAND,
        "Leave a run out of lists. All else works with it as before.",
        (
            Argument("run", "name or id of a run", required=True, names=NameKind.RUN),
            Argument("undo", "show it in lists again", flag="--undo", value=None),
        ),
        harmless=True,
    ),
    Magic(
        "delete",
        Kind.COMMAND,
        "Delete a run. Branches of it keep all that they see. Without --yes: say what would go.",
        (
            Argument("run", "name or id of a run", required=True, names=NameKind.RUN),
            Argument("yes", "delete it", flag="--yes", value=None),
            Argument("with_tags", "its tags, too", flag="--with-tags", value=None),
        ),
        harmless=True,
    ),
    Magic(
        "stats",
        Kind.COMMAND,
        "Say what takes space, by run, step and variable, which steps take long, and what fails how often.",
        (Argument("run", "name or id of a run (all runs)", names=NameKind.RUN),),
        harmless=True,
    ),
    Magic(
        "gc",
        Kind.COMMAND,
        "Free the space of what nothing reaches: deleted runs as far as no branch sees them, and, if so asked, old "
        "versions of steps.",
        (
            Argument("dry_run", "only say what would go", flag="--dry-run", value=None),
            Argument(
                "keep_last", "of each step keep the N newest versions", flag="--keep-last", value=Value.NUMBER,
                metavar="N",
            ),
            Argument(
                "keep_younger", "keep versions made within this time: 10m, 2h, 30d", flag="--keep-younger",
                value=Value.DURATION, metavar="TIME",
            ),
        ),
        harmless=True,
    ),
    Magic(
        "mission",
        Kind.COMMAND,
        "Show where this run's mission stands, or launch one: what it may call is approved before it calls anything.",
        (
            Argument("file", "a mission.toml, to launch before the first step"),
            Argument("close", "all is done: it is executed, and closed", flag="--close", value=None),
        ),
        harmless=True,
    ),
    Magic(
        "pause", Kind.COMMAND, "Let a run begin no further step.", (_run_argument(),), harmless=True
    ),
    Magic("unpause", Kind.COMMAND, "Let a paused run go on.", (_run_argument(),), harmless=True),
    Magic(
        "abandon",
        Kind.COMMAND,
        "Give this notebook's run up: it is cancelled, and nobody will go on with it.",
        (
            Argument(
                "undo", "first undo its calls that say how (@step(undo=...)), newest first", flag="--undo",
                value=None,
            ),
        ),
    ),
    Magic(
        "evercell",
        Kind.COMMAND,
        "What there is: this notebook's run, its steps and the commands.",
        (
            Argument(
                "action",
                "new: the next step starts a new run; attach RUN: go on with a run that was not recognised as this "
                "notebook's; takeover: take the run from another session; config: the settings, and where each is from",
                choices=("status", "new", "attach", "takeover", "config"), default="status",
            ),
            Argument("run", "for attach: name or id of the run", names=NameKind.RUN),
        ),
        harmless=True,
        verbs=(
            ("status", "status"), ("new", "new_run"), ("attach", "attach"), ("takeover", "take_over"),
            ("config", "config"),
        ),
    ),
)  # fmt: skip
"""In the order of the overview."""

HEADERS = {magic.name: magic for magic in MAGICS if magic.kind is Kind.HEADER}
COMMANDS = {magic.name: magic for magic in MAGICS if magic.kind is Kind.COMMAND}
