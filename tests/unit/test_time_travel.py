"""P8, P3: whatever is executed, edited, branched, checked out and killed in any order, memory is what it must be.

The model executes the same cells in a plain dict, and copies it where a step completes.
"""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evercell.core.errors import CodeOfOtherRun
from evercell.engine import moving
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.outcome import Ending
from tests.unit.sessions import Notebook, workspace_in

STEPS = {
    "load": ["rows = [1]", "rows = [2, 3]", "rows = [1]; other = [rows]"],
    "grow": ["rows.append(len(rows))", "rows.append(-1)", "rows = rows + [0]"],
    "sum": ["total = sum(rows)", "total = sum(rows) * 2\ndef twice(): return total * 2"],
    "tie": ["pair = (rows, {'same': rows})", "pair = (list(rows),)"],
    "drop": ["gone = rows; del gone", "extra = None"],
}
PLAIN = ["extra = [7]", "rows.append(100)", "extra.append(rows)", "del total", "note = len(rows)", "pair = 0"]

Memory = dict[str, Any]


def shown(memory: Memory) -> Memory:
    """Values, what functions return, and which variables are one object."""
    values = {n: v for n, v in memory.items() if not n.startswith("__")}
    rows = values.get("rows")
    seen: Memory = {n: result(v) if callable(v) else v for n, v in values.items()}
    seen["shared"] = sorted(
        n for n, v in values.items() if isinstance(v, tuple | list) and any(p is rows for p in v)
    )
    return seen


def result(function: Any) -> Any:
    try:
        return function()
    except NameError as error:
        return str(error)


def copied(memory: Memory) -> Memory:
    """Memory as it is, with its functions bound to the copy."""
    data = {n: v for n, v in memory.items() if not n.startswith("__") and not callable(v)}
    made = copy.deepcopy(data)
    for name, value in memory.items():
        if callable(value):
            made[name] = type(value)(value.__code__, made, name)
    return made


@dataclass
class Run:
    """What the model knows of a run: each version of its steps, with the moment of its commit."""

    name: str
    versions: dict[str, list[tuple[int, Memory]]] = field(default_factory=dict)

    def until(self, moment: int, name: str) -> Run:
        """A branch that sees what was committed up to a moment."""
        seen = {step: [v for v in found if v[0] <= moment] for step, found in self.versions.items()}
        return Run(name, {step: found for step, found in seen.items() if found})


class TimeTravel(RuleBasedStateMachine):
    """A notebook and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.workspace = workspace_in(Path(self.folder.name))
        self.known = KnownNotebook(NotebookIdentity("/w/nb.ipynb"))
        self.notebook = Notebook(self.workspace, known=self.known)
        self.model: Memory = {}
        self.runs: dict[str, Run] = {}
        self.here: Run | None = None
        self.moment = 0
        self.committed: Memory | None = None
        """What a kill leaves; None where a replay may have moved it."""

    def teardown(self) -> None:
        self.notebook.session.detach()
        self.workspace.close()
        self.folder.cleanup()

    @rule(name=st.sampled_from(sorted(STEPS)), variant=st.integers(0, 2), again=st.booleans())
    def step(self, name: str, variant: int, again: bool) -> None:
        source = STEPS[name][variant % len(STEPS[name])]
        expected = copied(self.model)
        try:
            exec(source, expected)
        except NameError:
            return  # what it reads is not there
        try:
            outcome, _ = self.notebook.step(name, source, rerun=again)
        except CodeOfOtherRun:
            return  # it asks first: nothing happened
        expected.pop("__builtins__")
        self.model = expected
        self.follow_run()
        if outcome.ending is Ending.COMPLETED:
            self.moment += 1
            assert self.here is not None
            self.here.versions.setdefault(name, []).append((self.moment, copied(self.model)))
            self.committed = copied(self.model)
        else:
            assert outcome.ending is Ending.REPLAYED
            self.committed = None

    @rule(source=st.sampled_from(PLAIN))
    def plain(self, source: str) -> None:
        expected = copied(self.model)
        try:
            exec(source, expected)
        except (NameError, AttributeError):
            return
        self.notebook.plain(source)
        expected.pop("__builtins__")
        self.model = expected

    def follow_run(self) -> None:
        name = self.notebook.session.require_run().name
        if self.here is None or self.here.name != name:
            self.here = self.runs.setdefault(name, Run(name))

    def choose(self, data: Any, runs: list[Run]) -> tuple[Run, str, int]:
        run = data.draw(st.sampled_from([r for r in runs if r.versions]))
        step = data.draw(st.sampled_from(sorted(run.versions)))
        return run, step, data.draw(st.integers(1, len(run.versions[step])))

    @precondition(lambda self: any(run.versions for run in self.runs.values()))
    @rule(data=st.data())
    def checkout(self, data: Any) -> None:
        run, step, number = self.choose(data, list(self.runs.values()))
        moving.checkout(self.notebook.session, f"{run.name}@{step}@{number}", self.no_setup)
        self.here, self.committed = run, None
        self.model = copied(run.versions[step][number - 1][1])

    @precondition(lambda self: self.here is not None and self.here.versions)
    @rule(data=st.data())
    def branch(self, data: Any) -> None:
        assert self.here is not None
        run, step, number = self.choose(data, [self.here])
        arrival = moving.branch(self.notebook.session, self.no_setup, step=f"{step}@{number}", name=None)
        moment, memory = run.versions[step][number - 1]
        self.here = self.runs[arrival.run.name] = run.until(moment, arrival.run.name)
        self.model, self.committed = copied(memory), copied(memory)

    @precondition(lambda self: self.here is not None and self.here.versions)
    @rule()
    def kill(self) -> None:
        """The kernel is gone, and another one resumes: what plain cells did since is lost with it."""
        assert self.here is not None
        run = self.notebook.session.require_run()
        self.notebook.session.ensure_lease().stop()
        self.notebook = Notebook(self.workspace, run=run.id)
        self.notebook.session.notebook = self.known
        self.notebook.resume()
        if self.committed is not None:
            assert shown(self.notebook.variables) == shown(self.committed)
        self.model = copied(self.notebook.variables)

    @staticmethod
    def no_setup(name: str, source: str) -> None:
        raise AssertionError("there are no setup cells")

    @invariant()
    def memory_is_what_it_must_be(self) -> None:
        assert shown(self.notebook.variables) == shown(self.model)


TestTimeTravel = TimeTravel.TestCase
TestTimeTravel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
