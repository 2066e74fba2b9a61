"""P8, P3: whatever is executed, edited, branched, checked out, reset, named, deleted, collected and killed, memory is
what it must be, and so is what each run has.

The model executes the same cells in a plain dict, and copies it where a step completes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from evercell.core.errors import (
    CodeOfOtherRun,
    LeaseHeld,
    RunNameTaken,
    RunNotFound,
    VersionCollected,
)
from evercell.core.records import Checkpoint
from evercell.engine import moving
from evercell.engine.collecting import collect
from evercell.engine.heads import signed_head
from evercell.engine.history import History
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.naming import archive_run, delete_run, foresee_deletion, rename_run, tag_place
from evercell.engine.outcome import Ending
from evercell.engine.places import version_of
from evercell.engine.reachability import KeepRules
from evercell.engine.resetting import begin_reset, plan_reset
from tests.unit.histories import (
    NOTHING,
    Memory,
    Run,
    Version,
    copied,
    executed,
    is_there,
    made_in,
    note_maker,
    put_back,
    shown,
    stored,
)
from tests.unit.sessions import Notebook, workspace_in

STEPS = {
    "load": ["rows = [1]", "rows = [2, 3]", "rows = [1]; other = [rows]"],
    "grow": ["rows.append(len(rows))", "rows.append(-1)", "rows = rows + [0]"],
    "sum": ["total = sum(rows)", "total = sum(rows) * 2\ndef twice(): return total * 2"],
    "tie": ["pair = (rows, {'same': rows})", "pair = (list(rows),)"],
    "drop": ["gone = rows; del gone", "extra = None"],
}
PLAIN = ["extra = [7]", "rows.append(100)", "extra.append(rows)", "del total", "note = len(rows)", "pair = 0"]
RULES = [
    KeepRules(),
    KeepRules(),
    KeepRules(last=1),
    KeepRules(last=2),
    KeepRules(younger_than=timedelta(0)),
]


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
        self.stands_on = 0
        """Not before this moment the checkpoint was committed that the kernel stands on."""
        self.at: list[Memory] = [NOTHING]
        """What that checkpoint may have."""
        self.lost: set[Version] = set()
        """What gc may have removed: where it is still there, it is as it was."""
        self.lost_before: set[Version] = set()
        """The same of the state before them."""
        self.count = 0
        self.sources: set[tuple[str, str]] = set()
        """Names and sources of the steps so far."""

    def teardown(self) -> None:
        self.notebook.session.detach()
        self.workspace.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        self.step("load", 0, again=False)

    # -- cells -----------------------------------------------------------------------------------

    @rule(
        name=st.sampled_from(sorted(STEPS)),
        variant=st.integers(0, 2),
        again=st.sampled_from([False] * 3 + [True]),
    )
    def step(self, name: str, variant: int, again: bool) -> None:
        self.execute(name, STEPS[name][variant % len(STEPS[name])], again=again)

    @precondition(lambda self: self.sources)
    @rule(data=st.data())
    def step_that_was_there(self, data: Any) -> None:
        """Most replays: what two steps drawn at random read is seldom what it was."""
        self.execute(*data.draw(st.sampled_from(sorted(self.sources))), again=False)

    def execute(self, name: str, source: str, *, again: bool) -> None:
        self.sources.add((name, source))
        before = self.model
        try:
            expected = executed(source, before)
        except NameError:
            return  # what it reads is not there
        try:
            outcome, _ = self.notebook.step(name, source, rerun=again)
        except CodeOfOtherRun:
            return  # it asks first: nothing happened
        run = self.follow_run()
        self.moment += 1
        assert outcome.checkpoint is not None
        if outcome.ending is Ending.COMPLETED:
            made = made_in(source, before, expected)
            self.model = expected
            note_maker(self.model, made, outcome.checkpoint.key)
            self.add(run, name, outcome.checkpoint, made, copied(before))
        else:
            assert outcome.ending is Ending.REPLAYED
            version = self.repeated(run, name, outcome.checkpoint)
            if not is_there(version, before):  # (where it is, later cells may have tied more to it)
                self.model = put_back(version, before)
            self.at = [*self.at, copied(before), copied(self.model)]
            run.heads += self.at
            self.stands_on = 0

    def repeated(self, run: Run, step: str, found: Checkpoint) -> Version:
        """The execution that a replay repeats: its own checkpoint was carried to where a replay changed memory."""
        while not (versions := [v for v in run.versions[step] if v.id == found.id]):
            assert found.origin is not None
            found = self.workspace.store.checkpoints.get(found.origin)
        return versions[0]

    def add(self, run: Run, step: str, made: Checkpoint, names: frozenset[str], before: Memory) -> None:
        memory = copied(self.model)
        version = Version(made.id, self.moment, made.key, names, memory, before, self.stands_on)
        run.versions.setdefault(step, []).append(version)
        run.heads, self.at, self.stands_on = [memory], [memory], self.moment

    @rule(source=st.sampled_from(PLAIN))
    def plain(self, source: str) -> None:
        try:
            expected = executed(source, self.model)
        except (NameError, AttributeError):
            return
        self.notebook.plain(source)
        self.count += 1
        note_maker(expected, made_in(source, self.model, expected), f"plain cell {self.count}")
        self.model = expected

    def follow_run(self) -> Run:
        run = self.notebook.session.require_run()
        self.here = self.runs.setdefault(run.id, Run(run.id, run.name))
        return self.here

    # -- moving ----------------------------------------------------------------------------------

    def leave(self) -> None:
        """What plain cells did since the last step becomes a checkpoint of its own, before other state comes."""
        if self.here is not None and all(shown(memory) != shown(self.model) for memory in self.at):
            self.here.heads = [copied(self.model)]
        elif self.here is not None:
            self.here.heads.append(copied(self.model))

    def arrive(self, run: Run, memories: list[Memory], moment: int) -> None:
        run.may_be(self.notebook.variables, memories)
        self.here, self.at, self.stands_on = run, [memories[0]], moment
        self.model = copied(memories[0])

    def choose(self, data: Any, runs: list[Run]) -> tuple[Run, str, int]:
        run = data.draw(st.sampled_from([r for r in runs if r.versions]))
        step = data.draw(st.sampled_from(sorted(run.versions)))
        return run, step, data.draw(st.integers(1, len(run.versions[step])))

    @precondition(lambda self: any(run.versions for run in self.runs.values()))
    @rule(data=st.data())
    def checkout(self, data: Any) -> None:
        run, step, number = self.choose(data, list(self.runs.values()))
        version = run.versions[step][number - 1]
        if not self.go(f"{run.name}@{step}@{number}", version):
            return
        self.leave()
        self.arrive(run, [version.memory], version.moment)

    def go(self, ref: str, version: Version) -> bool:
        try:
            moving.checkout(self.notebook.session, ref, self.no_setup)
        except VersionCollected:
            assert version in self.lost
            return False
        return True

    @precondition(lambda self: self.runs)
    @rule(data=st.data())
    def checkout_run(self, data: Any) -> None:
        run = data.draw(st.sampled_from(list(self.runs.values())))
        target = signed_head(self.workspace, self.workspace.store.runs.find(run.id)).checkpoint
        moving.checkout(self.notebook.session, run.name, self.no_setup)
        if target is None:
            assert NOTHING in run.heads
            self.leave()  # (what is in memory stays)
            if run is not self.here:
                run.heads = [NOTHING]
            self.here, self.at, self.stands_on = run, [copied(self.model)], 0
            return
        heads = list(run.heads)
        self.leave()
        self.arrive(run, heads, 0)

    @precondition(lambda self: any(run.tags for run in self.runs.values()))
    @rule(data=st.data())
    def checkout_tag(self, data: Any) -> None:
        run = data.draw(st.sampled_from([run for run in self.runs.values() if run.tags]))
        tag = data.draw(st.sampled_from(sorted(run.tags)))
        moving.checkout(self.notebook.session, tag, self.no_setup)
        self.leave()
        self.arrive(run, [run.tags[tag]], 0)

    @precondition(lambda self: any(run.versions for run in self.runs.values()))
    @rule(data=st.data())
    def branch(self, data: Any) -> None:
        run, step, number = self.choose(data, list(self.runs.values()))
        version = run.versions[step][number - 1]
        try:
            arrival = moving.branch(
                self.notebook.session, self.no_setup, step=f"{run.name}@{step}@{number}", name=None
            )
        except VersionCollected:
            assert version in self.lost
            return
        self.leave()
        new = Run(arrival.run.id, arrival.run.name, run.until(version.moment), [version.memory])
        self.runs[new.id] = new
        self.arrive(new, [version.memory], version.moment)

    @precondition(lambda self: self.here is not None and self.here.versions)
    @rule()
    def branch_here(self) -> None:
        assert self.here is not None
        parent = self.here
        arrival = moving.branch(self.notebook.session, self.no_setup, step=None, name=None)
        self.here = self.begun(arrival.run.id, arrival.run.name, parent, self.stands_on, self.moment)
        self.here.heads = list(self.at)

    def begun(self, run_id: str, name: str, parent: Run, earliest: int, latest: int) -> Run:
        """A branch that begins at a checkpoint between two moments: it sees what the parent did until one of them."""
        history = History(self.workspace.store, self.workspace.store.runs.find(run_id))
        seen = {step: history.count(step) for step in history.steps}
        for moment in range(latest, earliest - 1, -1):
            versions = parent.until(moment)
            if seen == {step: len(found) for step, found in versions.items()}:
                self.runs[run_id] = Run(run_id, name, versions)
                return self.runs[run_id]
        raise AssertionError(f"{name} sees {seen}, which {parent.name} never had since {earliest}")

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
        self.arrive(self.here, self.here.heads, 0)

    # -- what becomes of runs --------------------------------------------------------------------

    @precondition(lambda self: any(run.versions for run in self.runs.values()))
    @rule(data=st.data())
    def reset(self, data: Any) -> None:
        """A run of its own goes on from before the step. The one that is reset stays as it was."""
        run, step, number = self.choose(data, list(self.runs.values()))
        chosen = run.versions[step][number - 1]
        alike = [v for v in run.versions[step] if v.key == chosen.key]
        sure = [index for index, v in enumerate(alike) if v not in self.lost]
        possible = alike[: sure[0] + 1] if sure else alike
        try:
            plan = plan_reset(self.workspace, self.workspace.store.runs.find(run.id), f"{step}@{number}")
            new = begin_reset(self.workspace, plan, "its digest", output="/w/out.ipynb")
        except VersionCollected:
            assert chosen in self.lost or any(v in self.lost_before for v in possible)
            return
        made = self.begun(
            new.id, new.name, run, min(v.stood_on for v in possible), max(v.moment for v in possible) - 1
        )
        made.heads = [v.before for v in possible]
        made.may_be(stored(self.workspace, plan.point), made.heads)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), again=st.booleans())
    def rename(self, data: Any, again: bool) -> None:
        run = data.draw(st.sampled_from(list(self.runs.values())))
        self.count += 1
        name = run.name if again else f"called {self.count}"
        rename_run(self.workspace, run.name, name)
        run.name = name

    @precondition(lambda self: any(run.versions for run in self.runs.values()))
    @rule(data=st.data(), move=st.booleans())
    def tag(self, data: Any, move: bool) -> None:
        run, step, number = self.choose(data, list(self.runs.values()))
        version = run.versions[step][number - 1]
        taken = sorted(name for other in self.runs.values() for name in other.tags)
        self.count += 1
        name = data.draw(st.sampled_from(taken)) if move and taken else f"tag {self.count}"
        try:
            tag_place(self.workspace, f"{run.name}@{step}@{number}", name, move=move)
        except VersionCollected:
            assert version in self.lost
            return
        for other in self.runs.values():
            other.tags.pop(name, None)
        run.tags[name] = version.memory

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), undo=st.booleans())
    def archive(self, data: Any, undo: bool) -> None:
        run = data.draw(st.sampled_from(list(self.runs.values())))
        archive_run(self.workspace, run.name, undo=undo)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), with_tags=st.booleans())
    def delete(self, data: Any, with_tags: bool) -> None:
        """Nobody finds it any more; branches of it keep all that they see."""
        run = data.draw(st.sampled_from(list(self.runs.values())))
        try:
            delete_run(self.workspace, foresee_deletion(self.workspace, run.name).run, with_tags=with_tags)
        except LeaseHeld:
            assert run is self.here
            return
        except RunNameTaken:
            assert run.tags and not with_tags
            return
        assert run is not self.here
        del self.runs[run.id]
        with pytest.raises(RunNotFound):
            self.workspace.store.runs.find(run.name)

    @precondition(lambda self: self.runs)
    @rule(rules=st.sampled_from(RULES))
    def gc(self, rules: KeepRules) -> None:
        """By the rules old versions go; never what somebody can reach without asking for an old version."""
        collect(self.workspace, rules, grace=0)
        if not rules.keep_everything:
            everything = {v for run in self.runs.values() for found in run.versions.values() for v in found}
            kept = {v for run in self.runs.values() for v in self.kept(run, rules)}
            self.lost |= everything - kept
            live = {v for found in self.here.versions.values() for v in found} if self.here else set()
            self.lost_before |= everything - live
        self.everything_is_there()

    def kept(self, run: Run, rules: KeepRules) -> Iterator[Version]:
        for found in run.versions.values():
            yield from found if run is self.here else found[-(rules.last or 1) :]

    def everything_is_there(self) -> None:
        store = self.workspace.store
        for run in self.runs.values():
            found = store.runs.find(run.id)
            assert found.name == run.name
            run.may_be(stored(self.workspace, signed_head(self.workspace, found).checkpoint), run.heads)
            for step, versions in run.versions.items():
                for number, version in enumerate(versions, start=1):
                    self.is_there(found.id, f"{step}@{number}", version)
            for tag, memory in run.tags.items():
                named = store.references.tag(tag)
                assert named is not None
                assert shown(stored(self.workspace, named.checkpoint_id)) == shown(memory)

    def is_there(self, run_id: str, ref: str, version: Version) -> None:
        try:
            run = self.workspace.store.runs.find(run_id)
            memory = stored(self.workspace, version_of(self.workspace, run, ref))
        except VersionCollected:
            assert version in self.lost
            return
        assert shown(memory) == shown(version.memory)

    @staticmethod
    def no_setup(name: str, source: str) -> None:
        raise AssertionError("there are no setup cells")

    @invariant()
    def memory_is_what_it_must_be(self) -> None:
        assert shown(self.notebook.variables) == shown(self.model)


def test_every_namespace_is_what_it_must_be_whatever_was_done_before(pytestconfig: pytest.Config) -> None:
    examples = 1000 if pytestconfig.option.long else 30
    run_state_machine_as_test(
        TimeTravel, settings=settings(max_examples=examples, stateful_step_count=30, deadline=None)
    )
