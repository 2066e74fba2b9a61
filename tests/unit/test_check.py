"""What a check says of a changed notebook, without kernels: each way in which calls can differ from those of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from evercell.core.records import Run
from evercell.engine.branching import branch_of, create_at
from evercell.engine.evals.divergence import Check, judge
from evercell.engine.evals.excerpts import write_excerpt
from evercell.engine.evals.replaying import Diverged, Recording, Refusal
from evercell.engine.workspace import open_workspace
from evercell.headless.checking import step_facts
from tests.unit.sessions import Notebook, workspace_in

LOAD = "import evercell\ntopic = 'fusion'"

TOOLS = """
import evercell
@evercell.step
def look(word, most=1):
    effects.append(word)
    return inner(word)
@evercell.step
def inner(word):
    return word[::-1]
@evercell.step
def fail(word):
    raise ConnectionError(word)
"""

AGENT = (
    TOOLS
    + """
said = look(topic)
try:
    fail("x")
except ConnectionError as error:
    said += str(error)
at = evercell.now()
look("b")
look("c")
"""
)


class Checking:
    """A run of a store, and notebooks that are checked against it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = workspace_in(folder)
        self.number = 0

    def run(self, *cells: tuple[str, str], dies: bool = False) -> Run:
        notebook = Notebook(self.workspace)
        notebook.variables["effects"] = []
        for name, source in cells:
            notebook.step(name, source)
        run = notebook.session.require_run()
        if dies:
            notebook.session.ensure_lease().release()
        else:
            notebook.session.detach()
        return self.workspace.store.runs.find(run.id)

    def check(self, run: Run, *cells: tuple[str, str]) -> Check:
        """As `evercell check` does it, in this process."""
        self.number += 1
        report = self.folder / f"refused-{self.number}"
        copy = self.folder / f"copy-{self.number}.db"
        write_excerpt(self.workspace, run, copy)
        with open_workspace(replace(self.workspace.settings, store_url=f"sqlite:///{copy}")) as beside:
            branch = create_at(beside, branch_of(run, run.head))
            notebook = Notebook(beside, branch.id)
            recording = Recording(beside, run.id, report)
            notebook.session.recording = recording
            notebook.variables["effects"] = effects = []
            try:
                for name, source in cells:
                    outcome, _ = notebook.step(name, source)
                    if outcome.checkpoint is None:
                        break
            except Diverged:
                pass
            finally:
                notebook.session.detach()
            assert not effects, "nothing was called for real"
            refusals = [] if recording.refused is None else [recording.refused]
            facts = step_facts(self.workspace, run, beside, branch, [name for name, _ in cells])
            return judge(run.name, "nb", list(facts), refusals, "")


@pytest.fixture
def checking(tmp_path: Path) -> Iterator[Checking]:
    made = Checking(tmp_path)
    yield made
    made.workspace.close()


WAYS: list[tuple[str, Callable[[str], str], list[str]]] = [
    ("the same calls", lambda s: s + "\nmore = len(said)", []),
    (
        "other arguments",
        lambda s: s.replace('look("b")', 'look("z", most=2)'),
        ["In step agent look('z', most=2) is called, where the run called look('b')."],
    ),
    (
        "one more",
        lambda s: s + "\nlook('<d>')",
        ["In step agent look('<d>') is called, and the run has no recorded answer."],
    ),
    (
        "one of evercell's own",
        lambda s: s + "\nevercell.random()",
        ["In step agent random() is called, and the run has no recorded answer."],
    ),
    (
        "one less",
        lambda s: s.replace('look("c")', ""),
        ["In step agent look('c') is not called any more."],
    ),
    (
        "swallowed",
        lambda s: s + "\ntry:\n    look('d')\nexcept BaseException:\n    look(topic)",
        ["In step agent look('d') is called, and the run has no recorded answer."],
    ),
    (
        "another order",
        lambda s: s.replace("at =", "#").replace("said = look", "at = evercell.now()\nsaid = look"),
        ["In step agent now() is called before look('fusion')."],
    ),
]  # fmt: skip


def test_each_way_in_which_a_notebook_can_leave_that_of_a_run_is_told(checking: Checking) -> None:
    run = checking.run(("load", LOAD), ("agent", AGENT))
    for what, edit, said in WAYS:
        found = checking.check(run, ("load", LOAD), ("agent", edit(AGENT)))
        assert list(found.divergences) == said, what
        assert found.is_same == (not said), what
        assert [step.way for step in found.steps] == ["unchanged", "diverged" if said else "same"], what


def test_a_step_that_is_new_calls_nothing_and_one_that_is_gone_is_named(checking: Checking) -> None:
    run = checking.run(("load", LOAD), ("agent", AGENT))
    found = checking.check(run, ("load", LOAD), ("clerk", AGENT))
    assert list(found.divergences) == [
        "In step clerk look('fusion') is called, and the run has no recorded answer.",
        "Step agent, which made 5 calls, is not in the notebook.",
    ]
    assert checking.check(run, ("load", LOAD), ("more", "rows = 1"), ("agent", AGENT)).is_same


def test_a_run_that_failed_or_was_interrupted_is_gone_after_as_far_as_it_came(checking: Checking) -> None:
    failing = AGENT + "\nfail('for good')"
    run = checking.run(("load", LOAD), ("agent", failing))
    found = checking.check(run, ("load", LOAD), ("agent", failing + "\nrows = 1"))
    assert (found.is_same, [step.way for step in found.steps]) == (True, ["unchanged", "same"])
    found = checking.check(run, ("load", LOAD), ("agent", AGENT.replace("at =", "1 / 0\nat =")))
    assert not found.is_same

    half = TOOLS + "\nlook(topic)\nraise KeyboardInterrupt"
    run = checking.run(("load", LOAD), ("agent", half), dies=True)
    found = checking.check(run, ("load", LOAD), ("agent", TOOLS + "\nlook(topic)\nlook('beyond')"))
    assert (found.is_same, found.ends_early) == (True, "agent")


def test_an_altered_answer_is_not_replayed(checking: Checking) -> None:
    run = checking.run(("load", LOAD), ("agent", AGENT))
    with closing(sqlite3.connect(checking.folder / "store.db")) as database, database:
        database.execute("UPDATE calls SET value = X'00' WHERE key = 'look#0'")
    found = checking.check(run, ("load", LOAD), ("agent", AGENT + "\nmore = 1"))
    assert not found.is_same
    assert [step.way for step in found.steps] == ["unchanged", "failed"]


def test_refusals_are_sentences() -> None:
    assert str(Refusal("s", "ask#0", "ask('…')", "ask('…')")) == (
        "ask('…') is called with other arguments than in the run"
    )
    assert str(Refusal("", "", "GET example.org")) == (
        "GET example.org is called outside of a step, where nothing is recorded"
    )
