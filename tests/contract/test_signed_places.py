"""A checkpoint is of the run, the step and the place that it was committed for, and a run's head is the one of its
journal: whatever was exchanged, moved or rolled back is named, and nothing of it is taken for another.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from evercell.core.errors import Damaged, EvercellError, JournalBroken, Tampered
from evercell.engine import heads, moving
from evercell.engine.branching import create_branch
from evercell.engine.history import History
from evercell.engine.outcome import Ending
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from evercell.store.run_transaction import GENESIS, event_digest
from tests.contract.test_verification import GOLDEN, GOLDEN_KEY, unchecked
from tests.unit.sessions import Notebook

CELLS = {"one": "a = 1\nprint('one')", "two": "b = 2\nprint('two')", "three": "c = 3\nprint('three')"}


@pytest.fixture
def workspace(tmp_path: Path, store_url: str) -> Iterator[Workspace]:
    """A run of three steps, and another one with one step."""
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        notebook = Notebook(opened)
        for name, source in CELLS.items():
            notebook.step(name, source)
        notebook.session.detach()
        other = Notebook(opened)
        other.step("one", "z = 'of the other run'")
        other.session.detach()
        yield opened


def change(workspace: Workspace, statement: str, **values: Any) -> None:
    with unchecked(str(workspace.settings.store_url)) as connection:
        assert connection.execute(sa.text(statement), values).rowcount


def checkpoints(workspace: Workspace, run: str = "kernel-1") -> dict[str, str]:
    """Id by step."""
    store = workspace.store
    found = store.checkpoints.visible(store.runs.lineage(store.runs.find(run).id))
    return {checkpoint.step: checkpoint.id for checkpoint in found}


def run_all(workspace: Workspace, run: str = "kernel-1") -> dict[str, object]:
    """What came of each step in a new kernel; the error where it was refused."""
    notebook = Notebook(workspace, run)
    found: dict[str, object] = {}
    for name, source in CELLS.items():
        try:
            outcome, executor = notebook.step(name, source)
        except EvercellError as error:
            found[name] = error
        else:
            shown = [output.content["text"] for output in executor.shown]
            assert outcome.ending is Ending.COMPLETED or shown == [f"{name}\n"], "what another step showed"
            found[name] = outcome.ending
    notebook.session.detach()
    for index, (name, variable) in enumerate(zip(CELLS, "abc", strict=True), start=1):
        assert isinstance(found[name], EvercellError) or notebook.variables[variable] == index
    return found


def resume(workspace: Workspace, run: str = "kernel-1") -> dict[str, Any]:
    notebook = Notebook(workspace, run)
    try:
        notebook.resume()
        return {name: notebook.variables.get(name) for name in "abc"}
    finally:
        notebook.session.detach()


def exchange(workspace: Workspace, columns: list[str], first: str, second: str) -> None:
    with unchecked(str(workspace.settings.store_url)) as connection:
        table = sa.table("checkpoints", sa.column("id"), *map(sa.column, columns))
        rows = {
            name: connection.execute(
                sa.select(*(table.c[c] for c in columns)).where(table.c.id == name)
            ).one()
            for name in (first, second)
        }
        if "seq" in columns:
            connection.execute(sa.update(table).where(table.c.id == first).values(seq=-1))
        for name, other in ((second, first), (first, second)):
            values = dict(zip(columns, rows[other], strict=True))
            connection.execute(sa.update(table).where(table.c.id == name).values(values))


@pytest.mark.parametrize(
    "columns",
    [
        ["key", "slot", "step"],
        ["key", "slot", "step", "outputs"],
        ["key", "slot", "step", "inputs", "source", "source_hash", "attempt_id"],
        ["key", "slot", "step", "inputs", "source", "source_hash", "outputs", "manifest", "mac"],
        [
            "key",
            "slot",
            "step",
            "inputs",
            "source",
            "source_hash",
            "outputs",
            "seq",
            "parent",
            "entry",
            "seal",
        ],
        ["seq"],
        ["parent"],
        ["seal"],
        ["entry", "seal"],
        ["outputs"],
    ],
    ids=" ".join,
)
def test_two_checkpoints_that_were_exchanged_do_not_replay_each_other(
    workspace: Workspace, columns: list[str]
) -> None:
    ids = checkpoints(workspace)
    exchange(workspace, columns, ids["one"], ids["two"])
    if "manifest" not in columns:
        assert resume(workspace) == {"a": 1, "b": 2, "c": 3}, "its head is whole"
    found = run_all(workspace)
    if "manifest" not in columns:
        assert found["three"] is Ending.REPLAYED, "it costs only the two"
    assert isinstance(found["one"], Damaged) and isinstance(found["two"], Damaged), found
    assert "--rerun" in found["one"].hint or "manifest" in columns
    assert not verify_store(workspace, "kernel-1").is_whole


def test_a_step_whose_checkpoint_is_damaged_executes_again_when_asked(workspace: Workspace) -> None:
    ids = checkpoints(workspace)
    exchange(workspace, ["key", "slot", "step"], ids["one"], ids["two"])
    notebook = Notebook(workspace, "kernel-1")
    outcome, _ = notebook.step("one", CELLS["one"], rerun=True)
    assert outcome.ending is Ending.COMPLETED
    notebook.session.detach()
    assert run_all(workspace)["one"] is Ending.REPLAYED


def test_a_checkpoint_of_another_run_is_not_taken_for_ones_own(workspace: Workspace) -> None:
    foreign = checkpoints(workspace, "kernel-2")["one"]
    run = workspace.store.runs.find("kernel-1")
    change(workspace, "UPDATE checkpoints SET run_id = :r, seq = 90 WHERE id = :i", r=run.id, i=foreign)
    with pytest.raises(Tampered, match="run"):
        History(workspace.store, run, workspace.signer).version("one", 2)
    change(workspace, "UPDATE runs SET head = :h WHERE id = :r", h=foreign, r=run.id)
    with pytest.raises(Damaged):
        resume(workspace)
    assert run_all(workspace) == dict.fromkeys(CELLS, Ending.REPLAYED)


@pytest.mark.parametrize("target", ["one", "two"])
def test_a_head_that_was_rolled_back_is_named(workspace: Workspace, target: str) -> None:
    ids = checkpoints(workspace)
    change(workspace, "UPDATE runs SET head = :h WHERE name = 'kernel-1'", h=ids[target])
    with pytest.raises(Tampered) as caught:
        resume(workspace)
    assert ids[target] in caught.value.what and ids["three"] in caught.value.what
    assert "%checkout kernel-1@STEP" in caught.value.hint
    notebook = Notebook(workspace, "kernel-1")
    moving.checkout(notebook.session, "kernel-1@three", lambda *_: None)
    assert notebook["c"] == 3
    notebook.step("four", "d = a + b + c")
    notebook.session.detach()
    assert resume(workspace)["c"] == 3, "the next commit put it right"


def test_a_head_that_was_rolled_back_with_its_journal_is_named(workspace: Workspace) -> None:
    ids, run = checkpoints(workspace), workspace.store.runs.find("kernel-1")
    two = workspace.store.checkpoints.get(ids["two"])
    events = workspace.store.journal.events(run.id)
    change(workspace, "DELETE FROM events WHERE run_id = :r AND seq > :s", r=run.id, s=two.seq)
    change(
        workspace,
        "UPDATE runs SET head = :h, journal_seq = :s, journal_digest = :d WHERE id = :r",
        h=two.id, s=two.seq, d=events[two.seq - 1].digest, r=run.id,
    )  # fmt: skip
    with pytest.raises(Tampered, match="journal ends before checkpoint"):
        resume(workspace)


def test_a_journal_that_was_written_anew_is_not_that_of_its_checkpoints(workspace: Workspace) -> None:
    """Its chain can be made whole without the key; what is signed with the checkpoints cannot."""
    run = workspace.store.runs.find("kernel-1")
    prev = GENESIS
    where = "WHERE run_id = :r AND seq = :s"
    for event in workspace.store.journal.events(run.id):
        data = {**event.data, "name": "other"} if event.seq == 1 else dict(event.data)
        digest = event_digest(prev, run_id=run.id, seq=event.seq, at=event.at, kind=event.kind, data=data)
        statement = f"UPDATE events SET data = :d, prev = :p, digest = :n {where}"
        change(workspace, statement, d=json.dumps(data), p=prev, n=digest, r=run.id, s=event.seq)
        prev = digest
    change(workspace, "UPDATE runs SET journal_digest = :d WHERE id = :r", d=prev, r=run.id)
    assert workspace.store.journal.verify(run.id) > 3
    with pytest.raises(JournalBroken, match="signed with checkpoint"):
        resume(workspace)


@pytest.mark.parametrize("columns", ["seal = NULL", "seal = NULL, entry = NULL"])
def test_a_checkpoint_without_its_seal_is_no_older_one(workspace: Workspace, columns: str) -> None:
    ids = checkpoints(workspace)
    change(workspace, f"UPDATE checkpoints SET {columns} WHERE id = :i", i=ids["two"])
    assert resume(workspace)["b"] == 2
    found = run_all(workspace)
    assert isinstance(found["two"], Tampered) and found["one"] is Ending.REPLAYED
    with pytest.raises(Tampered):
        create_branch(workspace, workspace.store.runs.find("kernel-1"), step="two")


def test_a_branch_goes_on_from_a_checkpoint_of_its_parent(workspace: Workspace) -> None:
    """It is signed for the run that made it, and stays so."""
    child = create_branch(workspace, workspace.store.runs.find("kernel-1"), step="two")
    assert resume(workspace, child.id) == {"a": 1, "b": 2, "c": None}
    assert run_all(workspace, child.id)["two"] is Ending.REPLAYED
    assert verify_store(workspace).is_whole
    grandchild = create_branch(workspace, workspace.store.runs.find(child.id), step="one")
    assert resume(workspace, grandchild.id) == {"a": 1, "b": None, "c": None}


@pytest.mark.parametrize("column", ["branch_point", "head"])
def test_a_branch_whose_beginning_was_moved_is_named(workspace: Workspace, column: str) -> None:
    child = create_branch(workspace, workspace.store.runs.find("kernel-1"), step="two")
    other = checkpoints(workspace)["one"]
    change(workspace, f"UPDATE runs SET {column} = :o WHERE id = :c", o=other, c=child.id)
    with pytest.raises(Damaged):
        resume(workspace, child.id)


# -- journals of any length ----------------------------------------------------------------------


@pytest.mark.parametrize("recent", [5000, 2])
def test_a_broken_entry_stops_a_resume_and_says_what_can_be_done(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, recent: int
) -> None:
    monkeypatch.setattr(heads, "RECENT", recent)
    assert resume(workspace) == {"a": 1, "b": 2, "c": 3}
    run = workspace.store.runs.find("kernel-1")
    end = workspace.store.journal.end(run.id).seq
    change(workspace, "UPDATE events SET data = '{' WHERE run_id = :r AND seq = :s", r=run.id, s=end - 1)
    with pytest.raises(JournalBroken, match=f"entry {end - 1}") as caught:
        resume(workspace)
    assert "branch" in caught.value.hint
    child = create_branch(workspace, run, step="three")
    assert resume(workspace, child.id) == {"a": 1, "b": 2, "c": 3}


def test_of_a_long_journal_only_the_end_is_verified_at_a_resume(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is before it is signed with a later checkpoint, and is looked at by `evercell verify`."""
    monkeypatch.setattr(heads, "RECENT", 2)
    run = workspace.store.runs.find("kernel-1")
    change(workspace, "UPDATE events SET data = '{' WHERE run_id = :r AND seq = 2", r=run.id)
    assert resume(workspace) == {"a": 1, "b": 2, "c": 3}
    assert not verify_store(workspace, "kernel-1").is_whole


def test_a_run_whose_last_entry_is_not_the_one_of_its_row_takes_no_other(workspace: Workspace) -> None:
    change(workspace, "UPDATE runs SET journal_seq = 3 WHERE name = 'kernel-1'")
    with pytest.raises(JournalBroken):
        Notebook(workspace, "kernel-1").session.ensure_lease()


# -- stores from before --------------------------------------------------------------------------


def test_what_an_older_version_wrote_goes_on_without_a_seal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(GOLDEN / "format2", tmp_path / "older")
    monkeypatch.setenv("EVERCELL_KEY", GOLDEN_KEY)
    with open_workspace(Settings(f"sqlite:///{tmp_path / 'older'}/store.db", tmp_path / "key")) as workspace:
        runs = [run for run in workspace.store.runs.all() if run.head]
        assert runs
        for run in runs:
            heads.signed_head(workspace, run)
            history = History(workspace.store, run, workspace.signer)
            assert all(isinstance(history.version(step, None), str) for step in history.steps)


# -- what is gone --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "harm",
    ["DELETE FROM checkpoints WHERE id = :i", "UPDATE checkpoints SET run_id = 'elsewhere' WHERE id = :i"],
)
def test_a_step_whose_checkpoint_is_gone_is_not_executed_again_by_itself(
    workspace: Workspace, harm: str
) -> None:
    ids = checkpoints(workspace)
    change(workspace, harm, i=ids["two"])
    found = run_all(workspace)
    assert isinstance(found["two"], Damaged) and "two" in found["two"].what and "--rerun" in found["two"].hint
    assert found["one"] is Ending.REPLAYED
    child = create_branch(workspace, workspace.store.runs.find("kernel-1"), step="three")
    assert isinstance(run_all(workspace, child.id)["two"], Damaged)
    other = create_branch(workspace, workspace.store.runs.find("kernel-1"), step="one")
    assert run_all(workspace, other.id)["two"] is Ending.COMPLETED, "there it never completed"
