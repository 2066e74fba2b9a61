"""``%resume``, ``%runs``, ``%steps``, ``%branch``, ``%checkout``, ``%inspect`` and ``%evercell``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import display

from evercell.core.errors import MisplacedStep, UsageError
from evercell.core.vocabulary import COMMANDS, HEADERS
from evercell.engine.abandoning import abandon
from evercell.engine.inspection import inspect_checkpoint
from evercell.engine.listing import list_runs, list_steps, run_row, run_tree
from evercell.engine.magic_lines import HelpAsked, parse_line, parser_of
from evercell.engine.pausing import pause, unpause
from evercell.engine.session import Arrival, Session
from evercell.views.listings import overview, runs_view, steps_view, variables_view
from evercell.widgets.inbox import show_pending


@magics_class
class EvercellMagics(Magics):
    """The commands of one notebook, on its session."""

    def __init__(self, shell: Any, session: Session) -> None:
        super().__init__(shell)
        self._shell = shell
        self.session = session

    # -- cell headers: they work through the shell's cell runner, and only there -----------------

    @cell_magic
    def step(self, line: str, cell: str) -> None:  # noqa: ARG002
        """%%step NAME: run the cell once, replay it later."""
        raise _misplaced("%%step", line)

    @cell_magic
    def setup(self, line: str, cell: str) -> None:  # noqa: ARG002
        """%%setup [NAME]: run the cell in every new kernel, before state is put back."""
        raise _misplaced("%%setup", line)

    @cell_magic
    def approve(self, line: str, cell: str) -> None:  # noqa: ARG002
        """%%approve NAME TITLE: a step that asks a person before it executes its cell."""
        raise _misplaced("%%approve", line)

    approve.__doc__ = parser_of(HEADERS["approve"]).format_help()
    step.__doc__ = parser_of(HEADERS["step"]).format_help()
    setup.__doc__ = parser_of(HEADERS["setup"]).format_help()

    # -- line magics -----------------------------------------------------------------------------

    @line_magic
    def resume(self, line: str) -> None:
        """Put back what the notebook's run (or RUN) had in memory, and go on from there."""
        if parsed := _parsed("resume", line):
            arrival = self.session.resume(self._run_setup, parsed.run)
            _say(_arrived("resumed", arrival))
            show_pending(self.session.workspace, arrival.run.id)

    @line_magic
    def runs(self, line: str) -> None:
        """List the runs of this notebook as a tree, the newest first (--all: of every notebook)."""
        if parsed := _parsed("runs", line):
            notebook = None if parsed.all else self.session.notebook
            rows = list_runs(self.session.workspace, notebook=notebook, limit=parsed.limit)
            here = self.session.run.id if self.session.run else None
            display(runs_view(run_tree(rows), here=here))

    @line_magic
    def steps(self, line: str) -> None:
        """List the steps of this run (or of RUN): status, attempts, versions, time."""
        if parsed := _parsed("steps", line):
            run = self.session.store.runs.find(parsed.run) if parsed.run else self.session.require_run()
            workspace = self.session.workspace
            display(steps_view(run_row(workspace, run), list_steps(workspace, run)))

    @line_magic
    def branch(self, line: str) -> None:
        """Start a new run whose history begins at a step; nothing is copied."""
        if parsed := _parsed("branch", line):
            arrival = self.session.branch(self._run_setup, step=parsed.step, name=parsed.name)
            _say(_arrived("branched off:", arrival))

    @line_magic
    def checkout(self, line: str) -> None:
        """Put RUN, RUN@STEP or RUN@STEP@2 into this kernel, and go on from there."""
        if parsed := _parsed("checkout", line):
            _say(_arrived("checked out", self.session.checkout(parsed.ref, self._run_setup)))

    @line_magic
    def inspect(self, line: str) -> None:
        """List the variables as of a step: type, size, who changed them last, saved or not and why."""
        if parsed := _parsed("inspect", line):
            run, checkpoint = self.session.locate(parsed.step)
            rows = inspect_checkpoint(self.session.workspace, checkpoint)
            display(variables_view(f"Run {run.name}, as after step {checkpoint.step}", rows))

    @line_magic
    def abandon(self, line: str) -> None:
        """Give the run up: it is cancelled, and with --undo what its calls did is undone, newest first."""
        if parsed := _parsed("abandon", line):
            run = self.session.require_run()
            undone = abandon(self.session, undo=parsed.undo, note=_say)
            _say(f"run {run.name} is cancelled" + "".join(f"\n  undone: {what}" for what in undone))

    @line_magic
    def pause(self, line: str) -> None:
        """Let this run (or RUN) begin no further step."""
        if parsed := _parsed("pause", line):
            run = pause(self.session.workspace, parsed.run or self.session.require_run().id)
            _say(f"run {run.name} begins no further step; %unpause lets it go on")

    @line_magic
    def unpause(self, line: str) -> None:
        """Let this run (or RUN) go on."""
        if parsed := _parsed("unpause", line):
            run = unpause(self.session.workspace, parsed.run or self.session.require_run().id)
            _say(f"run {run.name} goes on")

    @line_magic
    def evercell(self, line: str) -> None:
        """What there is: this notebook's run, its steps, the commands. Also: new, takeover."""
        parsed = _parsed("evercell", line)
        if parsed is None:
            return
        if parsed.action == "new":
            self.session.start_afresh()
            _say("the next %%step starts a new run; what is in memory stays")
        elif parsed.action == "takeover":
            self.session.ensure_lease(take_over=True)
            _say(f"run {self.session.require_run().name} is yours; %resume puts back its state")
        else:
            display(overview(self.session))

    def _run_setup(self, name: str, source: str) -> None:
        result = self._shell.run_cell(source, store_history=False)
        if not result.success:
            raise UsageError(
                f"The %%setup cell {name} failed, so no state was put back.",
                hint="Mend the cell, run it, then %resume again.",
            )

    def completions(self) -> dict[str, Callable[[], list[str]]]:
        """Line magic → the words that may follow it."""

        def runs() -> list[str]:
            return [run.name for run in self.session.store.runs.all(limit=100)]

        def steps() -> list[str]:
            return self.session.history.steps if self.session.run else []

        def places() -> list[str]:
            here = self.session.run.name if self.session.run else ""
            return [*runs(), *(f"{here}@{step}" for step in steps())]

        return {
            "resume": runs,
            "steps": runs,
            "checkout": places,
            "pause": runs,
            "unpause": runs,
            "inspect": lambda: [*steps(), *places()],
            "branch": lambda: [*steps(), "--from", "--name"],
            "evercell": lambda: ["new", "takeover"],
        }


def _parsed(name: str, line: str) -> Any:
    """The parsed line, or None after showing the help that ``-h`` asked for."""
    try:
        return parse_line(COMMANDS[name], line)
    except HelpAsked as asked:
        print(asked)  # noqa: T201
        return None


def _say(text: str) -> None:
    print(f"evercell: {text}")  # noqa: T201


def _arrived(verb: str, arrival: Arrival) -> str:
    run, checkpoint, restored = arrival.run, arrival.checkpoint, arrival.restored
    if checkpoint is None or restored is None:
        return f"{verb} {run.name}; nothing to put back"
    count = len(restored.names)
    text = f"{verb} {run.name}, as after step {checkpoint.step}: {count} variable{'s' if count != 1 else ''} put back"
    if restored.made_otherwise:
        text += f"\n  made with {', '.join(restored.made_otherwise)}: values may behave otherwise"
    for missing in restored.missing:
        text += f"\n  {missing.message}"
    return text


def _misplaced(header: str, line: str) -> MisplacedStep:
    return MisplacedStep(
        f"{header} {line} stands below another magic; only the first line of a cell can make it a step.",
        hint=f"Move {header} to the top of the cell; %%time and other cell magics go below it.",
    )
