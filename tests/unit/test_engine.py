"""The engine without a kernel: replay, retries, integrity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from evercell.core.errors import KeyUnusable, StepNotFound, StoreError, Tampered, UsageError
from evercell.engine import moving
from evercell.engine.outcome import Ending
from evercell.engine.spec import StepSpec, parse_duration
from evercell.engine.step_names import declared_name
from evercell.engine.workspace import Workspace
from evercell.state.content.signing import load_key
from evercell.store.schema import metadata
from tests.database import open_database
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    yield made
    made.session.detach()


def again(notebook: Notebook) -> Notebook:
    """The same run in a new kernel."""
    notebook.session.detach()
    return Notebook(notebook.session.workspace, notebook.session.require_run().id)


def test_a_step_completes_once_and_replays_its_outputs(notebook: Notebook) -> None:
    first, shown = notebook.step("one", "print('hello')\nx = [1]")
    second, replayed = notebook.step("one", "print('hello')\nx = [1]")
    assert (first.ending, second.ending) == (Ending.COMPLETED, Ending.REPLAYED)
    assert replayed.shown == list(shown.recorded())
    assert replayed.recorded() == []


def test_a_new_step_in_a_kernel_that_put_nothing_back_says_where_the_rest_is(notebook: Notebook) -> None:
    """From that step on the run has what is in memory there: nobody is to find out by the next resume."""
    notebook.step("load", "rows = [1]")
    fresh = again(notebook)
    _, said = fresh.step("other", "x = 1")
    (note,) = said.notes
    assert "begins without what run" in note and "was not put back" in note
    place = note.rpartition("%checkout ")[2]
    assert not fresh.step("third", "y = 1")[1].notes, "once"
    moving.checkout(fresh.session, place, lambda *_: None)
    assert fresh["rows"] == [1]
    fresh.session.detach()


def test_retries_pause_longer_each_time_and_stop_at_an_interrupt(notebook: Notebook) -> None:
    outcome, executor = notebook.step("flaky", "raise ValueError('no')", retries=2, backoff=0.5)
    assert (outcome.ending, executor.pauses) == (Ending.FAILED, [0.5, 1.0])
    outcome, executor = notebook.step("stopped", "raise KeyboardInterrupt", retries=2)
    assert (outcome.ending, executor.pauses) == (Ending.INTERRUPTED, [])


def test_a_failed_commit_loses_nothing(notebook: Notebook) -> None:
    url = notebook.session.workspace.settings.store_url
    full = "CREATE TRIGGER no_space BEFORE INSERT ON packs BEGIN SELECT RAISE(FAIL, 'database or disk is full'); END"
    with open_database(url) as connection:
        connection.execute(sa.text(full))
    told: list[str] = []
    notebook.session.tell = told.append
    assert notebook.step("one", "x = list(range(100))")[0].ending is Ending.COMPLETED
    assert "step one completed" in told[0] and "disk is full" in told[0] and ".aside" in told[0]
    with pytest.raises(StoreError, match="disk is full") as caught:
        notebook.step("two", "y = len(x)")
    assert caught.tb, "a traceback that is kept, as IPython keeps it, does not keep the database locked"
    with open_database(url) as connection:
        connection.execute(sa.text("DROP TRIGGER no_space"))
    assert notebook.step("two", "y = len(x)")[0].ending is Ending.COMPLETED
    assert not any(notebook.session.workspace.settings.aside_folders[0].iterdir())
    fresh = again(notebook)
    fresh.resume()
    assert (fresh["x"], fresh["y"]) == (list(range(100)), 100)
    fresh.session.detach()


def test_a_step_that_was_committed_though_nobody_was_told_is_not_superseded(notebook: Notebook) -> None:
    """A kill between the commit and the removal of the file, and a run that has gone on since."""
    settings = notebook.session.workspace.settings
    with open_database(settings.store_url) as connection:
        connection.execute(
            sa.text("CREATE TRIGGER no_space BEFORE INSERT ON packs BEGIN SELECT RAISE(FAIL, 'full'); END")
        )
    notebook.step("one", "x = list(range(100))")
    (waiting,) = settings.aside_folders[0].iterdir()
    kept = waiting.read_bytes()
    with open_database(settings.store_url) as connection:
        connection.execute(sa.text("DROP TRIGGER no_space"))
    notebook.step("two", "y = len(x)")
    assert not waiting.exists()
    waiting.write_bytes(kept)
    fresh = again(notebook)
    told: list[str] = []
    fresh.session.tell = told.append
    fresh.resume()
    assert "it is in the run now" in told[0] and not any(settings.aside_folders[0].iterdir())
    assert (fresh["x"], fresh["y"]) == (list(range(100)), 100)
    assert fresh.session.history.steps == ["one", "two"] and fresh.session.history.count("one") == 1
    fresh.session.detach()


def test_an_unknown_step_is_named_with_the_nearest(notebook: Notebook) -> None:
    notebook.step("plan", "x = 1")
    with pytest.raises(StepNotFound, match="Did you mean 'plan'"):
        moving.checkout(notebook.session, "@plam", lambda *_: None)


# -- P9 ------------------------------------------------------------------------------------------


def _set(workspace: Workspace, table: str, column: str, change: Any) -> None:
    columns = metadata.tables[table].c
    keys = metadata.tables[table].primary_key.columns
    with open_database(workspace.settings.store_url) as connection:
        for value, *key in connection.execute(sa.select(columns[column], *keys)).all():
            here = sa.and_(*(k == found for k, found in zip(keys, key, strict=True)))
            connection.execute(sa.update(metadata.tables[table]).where(here).values({column: change(value)}))


HARM = {
    "manifest changed": ("checkpoints", "manifest", lambda m: m.replace(b'"x"', b'"y"')),
    "manifest cut": ("checkpoints", "manifest", lambda m: m[:-1]),
    "mac changed": ("checkpoints", "mac", lambda m: bytes([m[0] ^ 1]) + m[1:]),
    "chunk changed": ("packs", "data", lambda d: bytes([d[0] ^ 1]) + d[1:]),
    "chunk cut": ("chunks", "size", lambda n: n - 1),
    "chunks swapped": ("chunks", "start", lambda s: 0),
    "codec changed": ("chunks", "codec", lambda c: 1 - c),
}


@pytest.mark.parametrize("harm", HARM)
def test_what_was_changed_is_refused_and_never_unpickled(
    notebook: Notebook, tmp_path: Path, harm: str
) -> None:
    witness = tmp_path / "unpickled"
    notebook.step("one", f"class X:\n    def __reduce__(self):\n        return open, ({str(witness)!r}, 'w')")
    notebook.step("two", "x = 'text one'\nz = 'text two'")
    _set(notebook.session.workspace, *HARM[harm])
    fresh = again(notebook)
    with pytest.raises(Tampered):
        fresh.resume()
    assert "x" not in fresh.variables
    assert not witness.exists()
    fresh.session.detach()


@pytest.mark.parametrize("column", ["key", "slot", "step"])
def test_a_checkpoint_does_not_pass_for_that_of_another_step(notebook: Notebook, column: str) -> None:
    """Its state is signed, and so is what step it is the state of."""
    notebook.step("one", "x = 1")
    other = {"key": notebook.session.namespace.plan("x = 2").key, "slot": "two", "step": "two"}
    _set(notebook.session.workspace, "checkpoints", column, lambda _: other[column])
    fresh = again(notebook)
    name, source = ("one", "x = 2") if column == "key" else ("two" if column == "slot" else "one", "x = 1")
    with pytest.raises(Tampered, match=f"The {column} of step"):
        fresh.step(name, source)
    assert "x" not in fresh.variables
    fresh.session.detach()


def test_a_manifest_of_another_store_checkpoint_or_key_is_refused_by_name(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.step("one", "x = 1")
    notebook.step("two", "x = 2")
    url = notebook.session.workspace.settings.store_url
    with open_database(url) as connection:
        rows = connection.execute(sa.text("SELECT id, manifest, mac FROM checkpoints ORDER BY seq")).all()
        connection.execute(
            sa.text("UPDATE checkpoints SET manifest = :m, mac = :c WHERE id = :i"),
            {"m": rows[0].manifest, "c": rows[0].mac, "i": rows[1].id},
        )
    fresh = again(notebook)
    with pytest.raises(Tampered, match=f"belongs to checkpoint {rows[0].id}"):
        fresh.resume()
    fresh.session.detach()
    with open_database(url) as connection:
        connection.execute(sa.text("UPDATE meta SET value = 'other' WHERE key = 'store_id'"))
    reopened = workspace_in(tmp_path)
    foreign = Notebook(reopened, notebook.session.require_run().id)
    with pytest.raises(Tampered, match="another store"):
        moving.checkout(foreign.session, "@one", lambda *_: None)
    foreign.session.detach()
    reopened.settings.key_path.write_text("00" * 32)
    reopened.close()
    reopened = workspace_in(tmp_path)
    keyless = Notebook(reopened, notebook.session.require_run().id)
    with pytest.raises(Tampered, match="not signed with your key"):
        moving.checkout(keyless.session, "@one", lambda *_: None)
    keyless.session.detach()
    reopened.close()


def test_outputs_that_were_not_signed_are_not_replayed(notebook: Notebook) -> None:
    notebook.step("one", "print('honest')")
    _set(notebook.session.workspace, "checkpoints", "outputs", lambda _: {"digests": [], "size": 0})
    with pytest.raises(Tampered, match="--rerun"):
        notebook.step("one", "print('honest')")


def test_the_key_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "key"
    key = load_key(path, environ={})
    assert load_key(path, environ={}) == key
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        load_key(path, environ={})
    path.chmod(0o600)
    path.write_text("short")
    with pytest.raises(KeyUnusable, match="not a signing key"):
        load_key(path, environ={})
    with pytest.raises(KeyUnusable, match="at least 16"):
        load_key(path, environ={"EVERCELL_KEY": "short"})
    assert load_key(path, environ={"EVERCELL_KEY": "a long enough text"}) != key


# -- what cells declare --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("2h", 7200), ("3d", 259200), ("200ms", 0.2)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0", "5 minutes", "-1s", "m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("name", ["", "two words", "a@b", "1st", "a/b"])
def test_a_name_that_could_not_be_typed_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a step"):
        StepSpec(name)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("%%step plan\nx", "plan"),
        ("\n%%step --retries 3 plan --rerun\nx", "plan"),
        ("%%setup\nx", "setup"),
        ("%%setup db\nx", "db"),
        ("x = '%%step no'", None),
        ("%%time\nx", None),
    ],
)
def test_the_name_that_a_cell_declares(source: str, name: str | None) -> None:
    assert declared_name(source) == name


def test_what_is_not_kept_is_named_once_with_all_that_is_lost_for_one_reason(notebook: Notebook) -> None:
    source = "\n".join(f"g{n} = (i for i in [{n}])" for n in range(8)) + "\nd = {'in': (i for i in [9])}"
    _, executor = notebook.step("make", source)
    assert executor.notes == [
        "d['in'], g0, g1, g2, g3 and 4 more (builtins.generator) were not kept: each is suspended code. To have it "
        "after a restart, keep a list of its values instead, or make it anew where it is used."
    ]
    _, executor = notebook.step("use", "next(g0)\nd['n'] = 1")
    assert executor.notes == [], "once is enough"


def test_what_was_cancelled_was_one_run_and_not_the_next_one_of_the_kernel(notebook: Notebook) -> None:
    notebook.step("one", "x = 1")
    session = notebook.session
    cancelled = session.require_run()
    session.cancelled_by = "somebody"
    session.leave_if_cancelled()
    session.start_afresh()
    notebook.step("one", "x = 2")
    session.leave_if_cancelled()  # as at the end of every cell
    assert session.holds_lease and session.store.runs.find(cancelled.id).status == "cancelled"
    assert session.store.runs.find(session.require_run().id).status == "running"
