"""The store's promises, each on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from evercell.core.chunks import Blob, Chunk, Codec, Supply
from evercell.core.clock import system_clock
from evercell.core.errors import (
    ChunkMissing,
    EvercellError,
    IllegalTransition,
    JournalBroken,
    LeaseHeld,
    LeaseLost,
    RunNameTaken,
    RunNotFound,
    StepNotFound,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from evercell.core.ids import new_id
from evercell.core.records import Attempt, Checkpoint, CheckpointDraft, Holder, Lease, NewRun, Run
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.engine.holder import this_holder
from evercell.store import Store, open_store
from evercell.store.direct import DirectConnection
from evercell.store.migrations import upgrade
from evercell.store.opening import connect
from evercell.store.schema import REVISION, metadata
from tests.conftest import postgres_database
from tests.database import open_database

TTL = timedelta(seconds=30)
ELSEWHERE = Holder("elsewhere", "boot", 1, 0.0, "somebody")


def chunk(content: bytes) -> Chunk:
    return Chunk(sha256(content).digest(), len(content), Codec.RAW, content)


def read_all(store: Store, digests: Iterable[bytes]) -> bytes:
    return b"".join(found.read() for found in store.chunks.find(digests).values())


def take(store: Store, run: Run, holder: Holder = ELSEWHERE, **options: int) -> Lease:
    return store.leases.acquire(run.id, session_id=new_id(), holder=holder, ttl=TTL, **options)


def complete(
    store: Store,
    lease: Lease,
    step: str,
    *,
    parent: str | None = None,
    content: bytes = b"content",
    outputs: Blob | None = None,
    calls: Mapping[str, object] | None = None,
) -> Checkpoint:
    """Commit a step that showed ``content``; ``outputs`` names other chunks instead."""
    attempt = store.steps.begin(lease, step=step, cell_id=None, key=step.encode())
    new = chunk(content)
    return store.steps.complete(
        lease,
        attempt,
        CheckpointDraft(
            id=new_id(), parent=parent, step=step, slot=step, key=step.encode(), source="x = 1",
            source_hash=b"s", inputs={"a": "00"}, outputs=outputs or Blob(len(content), (new.digest,)),
            manifest=b"{}", mac=b"m", seconds=0.5, chunks=Supply.of([new]),
        ),
        calls=calls,
    )  # fmt: skip


def names(store: Store, run: Run) -> list[str]:
    return [c.step for c in store.checkpoints.visible(store.runs.lineage(run.id))]


def counts(store_url: str) -> dict[str, int]:
    with open_database(store_url) as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }


# -- runs ----------------------------------------------------------------------------------------


def test_runs_are_found_by_id_prefix_and_name_and_listed_newest_first(store: Store) -> None:
    first = store.runs.create(NewRun(notebook="/w/agent.ipynb"))
    second = store.runs.create(NewRun(notebook="/w/agent.ipynb", params={"n": 1}))
    assert (first.name, second.name) == ("agent-1", "agent-2")
    assert store.runs.find(first.id) == store.runs.find(first.id[:6]) == store.runs.find("agent-1") == first
    assert [run.id for run in store.runs.all()] == [second.id, first.id]
    assert store.runs.all(notebook="/w/other.ipynb") == []
    assert store.runs.find("agent-2").params == {"n": 1}


def test_an_unknown_run_is_refused_with_what_was_meant(store: Store) -> None:
    store.runs.create(NewRun(notebook="/w/agent.ipynb"))
    with pytest.raises(RunNotFound, match="Did you mean 'agent-1'"):
        store.runs.find("agnet-1")
    with pytest.raises(RunNotFound, match="evercell runs"):
        store.runs.find("zzzzzz")


def test_a_name_belongs_to_one_run(store: Store) -> None:
    store.runs.create(NewRun(notebook=None, name="mine"))
    with pytest.raises(RunNameTaken, match="mine"):
        store.runs.create(NewRun(notebook=None, name="mine"))


def test_only_legal_transitions_are_committed(store: Store) -> None:
    run = store.runs.create(NewRun(notebook=None))
    assert store.runs.set_status(None, run.id, RunStatus.CANCELLED).status is RunStatus.CANCELLED
    with pytest.raises(IllegalTransition, match="cannot become running"):
        store.runs.set_status(None, run.id, RunStatus.RUNNING)


def test_in_sqlite_only_a_synchronous_commit_waits_for_the_disk(tmp_path: Path) -> None:
    """As SQLite numbers them: 2 is FULL, 1 NORMAL."""
    url = f"sqlite:///{tmp_path}/store.db"
    engine = connect(url)
    direct_connection = DirectConnection(engine, url)
    found = []
    for synchronous in (False, True, False):
        with direct_connection.transaction(synchronous=synchronous) as direct:
            found.append(direct.driver.execute("PRAGMA synchronous").fetchone()[0])
    with direct_connection.autocommit() as direct:
        found.append(direct.driver.execute("PRAGMA synchronous").fetchone()[0])
    direct_connection.close()
    engine.dispose()
    assert found == [1, 2, 1, 2]


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    yield from postgres_database(postgres_server)


@pytest.mark.postgres
def test_a_connection_that_the_server_ended_meanwhile_is_opened_anew(postgres_url: str) -> None:
    with open_store(postgres_url) as store:
        run = store.runs.create(NewRun(notebook=None))
        lease = take(store, run)
        first = complete(store, lease, "one")
        with open_database(postgres_url) as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            ended = connection.execute(sa.text(others + "AND datname = current_database()")).scalars().all()
        assert True in ended
        complete(store, lease, "two", parent=first.id)
        assert names(store, run) == ["one", "two"]


def test_a_transaction_that_is_interrupted_leaves_nothing_and_the_next_one_works(
    store: Store, store_url: str
) -> None:
    class Interrupting(dict[str, object]):
        """Interrupts where the transaction has written a part already."""

        def __bool__(self) -> bool:
            raise KeyboardInterrupt

    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    before = counts(store_url)
    with pytest.raises(KeyboardInterrupt):
        complete(store, lease, "one", calls=Interrupting())
    now = counts(store_url)
    assert {table for table in now if now[table] != before[table]} == {"steps", "attempts", "events"}
    assert [a.status for a in store.steps.attempts(run.id)] == [AttemptStatus.RUNNING]
    complete(store, lease, "one")
    assert names(store, run) == ["one"]


# -- leases --------------------------------------------------------------------------------------


def test_two_sessions_cannot_write_to_one_run(store: Store) -> None:
    run = store.runs.create(NewRun(notebook=None))
    take(store, run)
    with pytest.raises(LeaseHeld, match="somebody@elsewhere"):
        take(store, run, this_holder())


def test_a_lost_lease_changes_nothing(store: Store, store_url: str) -> None:
    run = store.runs.create(NewRun(notebook=None))
    lost = take(store, run)
    attempt = store.steps.begin(lost, step="one", cell_id=None, key=b"k")
    take(store, run, this_holder(), replacing=lost.token)
    before, head = counts(store_url), store.runs.find(run.id)
    draft = CheckpointDraft(
        new_id(),
        None,
        "one",
        "one",
        b"k",
        "",
        b"",
        {},
        Blob(0),
        b"",
        b"",
        0.0,
        chunks=Supply.of([chunk(b"late")]),
    )
    for write in (
        lambda: store.steps.complete(lost, attempt, draft),
        lambda: store.steps.begin(lost, step="two", cell_id=None, key=b"k"),
        lambda: store.steps.fail(
            lost, attempt, status=AttemptStatus.FAILED, error=None, outputs=Blob(0), chunks=Supply()
        ),
        lambda: store.leases.renew(lost, ttl=TTL),
    ):
        with pytest.raises(LeaseLost):
            write()
    assert counts(store_url) == before
    assert store.runs.find(run.id) == head
    assert [a.status for a in store.steps.attempts(run.id)] == [AttemptStatus.INTERRUPTED]


def test_an_expired_lease_is_taken_over_and_tokens_only_grow(store: Store, store_url: str) -> None:
    run = store.runs.create(NewRun(notebook=None))
    first = take(store, run)
    with open_store(store_url, lease_clock=lambda: system_clock() + 2 * TTL) as later:
        second = take(later, run, this_holder())
        assert second.token > first.token
        later.leases.release(second)
        assert later.leases.get(run.id) is None
        assert take(later, run).token > second.token


def test_of_many_processes_at_once_one_gets_the_lease(store: Store, store_url: str) -> None:
    run = store.runs.create(NewRun(notebook=None))
    script = (
        "import sys\nfrom tests.contract.test_store import *\n"
        "with open_store(sys.argv[1]) as store:\n    run = store.runs.find(sys.argv[2])\n"
        "    print('ready', flush=True)\n    input()\n    try:\n        take(store, run)\n        print('won')\n"
        "    except LeaseHeld:\n        print('held')\n"
    )
    racers = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", script, store_url, run.id],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(8)
    ]  # fmt: skip
    for racer in racers:
        assert racer.stdout is not None and racer.stdout.readline() == "ready\n"
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("\n")
        racer.stdin.flush()
    results = [racer.communicate(timeout=120)[0].strip() for racer in racers]
    assert sorted(results) == ["held"] * 7 + ["won"]


# -- steps and checkpoints -----------------------------------------------------------------------


def test_a_completed_step_is_there_as_a_whole(store: Store) -> None:
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    done = complete(store, lease, "one")
    assert store.checkpoints.get(done.id) == done
    assert store.runs.find(run.id).head == done.id
    assert [(a.number, a.status) for a in store.steps.attempts(run.id)] == [(1, AttemptStatus.COMPLETED)]
    assert store.chunks.find(done.outputs.digests)[done.outputs.digests[0]].read() == b"content"
    assert store.journal.verify(run.id) == 4


@pytest.mark.parametrize("size", [10, 70_000, 3_000_000])
def test_content_of_any_size_comes_back(store: Store, size: int) -> None:
    run = store.runs.create(NewRun(notebook=None))
    content = bytes(range(256)) * (size // 256 + 1)
    done = complete(store, take(store, run), "one", content=content)
    (stored,) = store.chunks.find(done.outputs.digests).values()
    assert stored.read() == content
    assert store.chunks.absent([*done.outputs.digests, b"x" * 32]) == {b"x" * 32}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_commit_that_is_refused_leaves_no_file_behind(store: Store, store_url: str) -> None:
    """What is tried again and again in an outage would fill the disk with what no row names."""
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    attempt = store.steps.begin(lease, step="one", cell_id=None, key=b"k")
    large = Supply.of([chunk(bytes(3_000_000))])
    draft = CheckpointDraft(
        new_id(), None, "one", "one", b"k", "", b"", {}, Blob(0), b"", b"", 0.0, chunks=large
    )
    folder = Path(f"{store_url.removeprefix('sqlite:///')}.packs")
    with open_database(store_url) as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        with store.outages.nobody_waits(busy=0), pytest.raises(StoreUnavailable):
            store.steps.complete(lease, attempt, draft)
    assert folder.exists() and not list(folder.iterdir())
    take(store, run, this_holder(), replacing=lease.token)
    with pytest.raises(LeaseLost):
        store.steps.complete(lease, attempt, draft)
    assert not list(folder.iterdir())


def test_the_same_content_is_stored_once(store: Store, store_url: str) -> None:
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    complete(store, lease, "one")
    before = counts(store_url)["chunks"]
    complete(store, lease, "two")
    assert counts(store_url)["chunks"] == before


def test_a_branch_copies_nothing_and_sees_its_history(store: Store, store_url: str) -> None:
    run = store.runs.create(NewRun(notebook=None, name="trunk"))
    lease = take(store, run)
    one = complete(store, lease, "one")
    two = complete(store, lease, "two", parent=one.id)
    before = counts(store_url)
    branch = store.runs.create(NewRun(notebook=None, name="b", parent=run.id, branch_point=one.id))
    after = counts(store_url)
    assert {k for k in before if before[k] != after[k]} == {"runs", "events"}
    assert (branch.head, names(store, branch), names(store, run)) == (one.id, ["one"], ["one", "two"])
    mine = complete(store, take(store, branch), "mine", parent=one.id)
    twig = store.runs.create(NewRun(notebook=None, parent=branch.id, branch_point=one.id))
    leaf = store.runs.create(NewRun(notebook=None, parent=branch.id, branch_point=mine.id))
    assert names(store, twig) == ["one"], "branched at an inherited checkpoint"
    assert names(store, leaf) == ["one", "mine"]
    assert store.checkpoints.ancestors(mine.id) == [mine.id, one.id]
    with pytest.raises(StepNotFound, match="not part of the history"):
        store.runs.create(NewRun(notebook=None, parent=branch.id, branch_point=two.id))


# -- the journal ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("harm", "bad"),
    [
        ('UPDATE events SET data = \'{"step":"else"}\' WHERE seq = 3', 3),
        ("UPDATE events SET at = at + 1 WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq = 2", 2),
        ("DELETE FROM events WHERE seq > 3", 4),
        ("UPDATE events SET seq = 100 WHERE seq = 3", 3),
    ],
)
def test_the_journal_names_its_first_bad_entry(store: Store, store_url: str, harm: str, bad: int) -> None:
    run = store.runs.create(NewRun(notebook=None))
    complete(store, take(store, run), "one")
    assert store.journal.verify(run.id) == 4
    with open_database(store_url) as connection:
        connection.execute(sa.text(harm))
    with pytest.raises(JournalBroken, match=f"entry {bad} "):
        store.journal.verify(run.id)


# -- what can be wrong with a store --------------------------------------------------------------


def test_a_newer_schema_is_refused_with_what_to_do(store_url: str) -> None:
    open_store(store_url).close()
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match="upgrade evercell"):
        open_store(store_url)


def test_migrations_lead_to_the_schema(store_url: str) -> None:
    with open_database(store_url) as connection:
        upgrade(connection)
    with open_database(store_url) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == REVISION


_INDEXES = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL",
    "postgresql": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


def _partial_indexes(connection: sa.Connection) -> set[str]:
    rows = connection.exec_driver_sql(_INDEXES[connection.dialect.name])
    return {name for name, definition in rows if " WHERE " in definition}


def test_an_index_of_some_rows_is_one_however_the_store_was_made(store_url: str) -> None:
    open_store(store_url).close()
    with open_database(store_url) as connection:
        made = _partial_indexes(connection)
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
        upgrade(connection)
        assert made == _partial_indexes(connection)
    assert "approvals_pending" in made


@dataclass(frozen=True)
class Older:
    """A store as an earlier version left it, and what is in it."""

    url: str
    run: Run
    lease: Lease
    made: Checkpoint
    under_way: Attempt
    entries: int

    def check(self, store: Store) -> None:
        """It is all there, and work goes on."""
        assert store.journal.verify(self.run.id) == self.entries
        assert store.checkpoints.get(self.made.id) == replace(self.made, entry=None, seal=None)
        assert read_all(store, self.made.outputs.digests) == b"content"
        assert [s.name for s in store.steps.of_run(self.run.id)] == ["one", "two"]
        take(store, self.run, this_holder(), replacing=self.lease.token)
        (attempt,) = store.steps.attempts(self.run.id, step="two")
        assert (attempt.id, attempt.status) == (self.under_way.id, AttemptStatus.INTERRUPTED)


@pytest.fixture
def older(store_url: str) -> Older:
    with open_store(store_url) as store:
        run = store.runs.create(NewRun(notebook="/w/agent.ipynb"))
        lease = take(store, run)
        made = complete(store, lease, "one")
        under_way = store.steps.begin(lease, step="two", cell_id="c2", key=b"k")
        entries = store.journal.verify(run.id)
    with open_database(store_url) as connection:
        rows = {
            table: [row._asdict() for row in connection.execute(sa.select(table))]
            for table in metadata.sorted_tables
        }
        metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
        upgrade(connection, "0003")
        connection.execute(sa.text("DELETE FROM meta"))
        inspector = sa.inspect(connection)
        for table, found in rows.items():
            if found and inspector.has_table(table.name):
                known = {column["name"] for column in inspector.get_columns(table.name)}
                older = [{name: value for name, value in row.items() if name in known} for row in found]
                connection.execute(sa.insert(table), older)
    return Older(store_url, run, lease, made, under_way, entries)


def test_an_older_store_is_brought_up_to_date_with_all_that_is_in_it(older: Older, tmp_path: Path) -> None:
    with open_store(older.url) as store:
        older.check(store)
    if older.url.startswith("sqlite"):
        new = f"sqlite:///{tmp_path}/new.db"
        open_store(new).close()
        assert _trees(older.url) == _trees(new), "as if it had been made today"


def _trees(store_url: str) -> set[tuple[str, str, bool]]:
    """What an SQLite store has trees for, and which tables have no other beside them."""
    with open_database(store_url) as connection:
        found = connection.execute(sa.text("SELECT type, name, sql FROM sqlite_master"))
        return {(kind, name, "WITHOUT ROWID" in (sql or "")) for kind, name, sql in found}


def test_a_kill_at_the_end_of_an_upgrade_leaves_the_older_store_whole(older: Older) -> None:
    before = _looks(older.url)
    script = "import sys\nfrom evercell.store import open_store\nopen_store(sys.argv[1])\n"
    killed = subprocess.run(
        [sys.executable, "-c", script, older.url],
        env={**os.environ, "EVERCELL_FAULT": "after_upgrade_before_commit"},
        check=False,
        timeout=120,
    )
    assert killed.returncode == -signal.SIGKILL
    assert _looks(older.url) == before
    with open_store(older.url) as store:
        older.check(store)


def _looks(store_url: str) -> dict[str, object]:
    """The store's revision, tables and indexes, and how many rows there are."""
    with open_database(store_url) as connection:
        inspector = sa.inspect(connection)
        tables = {
            name: sorted(str((i["name"], i["column_names"])) for i in inspector.get_indexes(name))
            for name in inspector.get_table_names()
        }
        rows = {n: connection.execute(sa.text(f"SELECT count(*) FROM {n}")).scalar() for n in tables}
        revision = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
        return {"revision": revision, "tables": tables, "rows": rows}


def test_many_processes_may_make_a_store_at_once(store_url: str) -> None:
    assert len(_opened_at_once(store_url)) == 1


def test_many_processes_may_bring_an_older_store_up_to_date_at_once(older: Older) -> None:
    assert len(_opened_at_once(older.url)) == 1
    with open_store(older.url) as store:
        older.check(store)


def _opened_at_once(store_url: str) -> set[str]:
    """The store's id, as each of four processes that open it at once tells it."""
    script = (
        "import sys\nfrom evercell.store import migrations, open_store\nprint('ready', flush=True)\ninput()\n"
        "with open_store(sys.argv[1]) as s:\n    print(s.store_id)\n"
    )
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", script, store_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for opener in openers:
        assert opener.stdout is not None and opener.stdout.readline() == "ready\n"
    for opener in openers:  # all are told before one is waited for
        assert opener.stdin is not None
        opener.stdin.write("\n")
        opener.stdin.flush()
    ids = {opener.communicate(timeout=120)[0].strip() for opener in openers}
    assert "" not in ids, "one of them failed"
    return ids


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:///{tmp}", "is a folder"),
        ("sqlite:///{tmp}/file.txt", "not a database"),
        ("sqlite:////proc/nowhere/store.db", "cannot be made"),
        ("sqlite://", "in memory"),
        ("mysql://localhost/x", "SQLite or PostgreSQL"),
        ("not a url", "not a database URL"),
        ("postgresql://me:secret@127.0.0.1:1/x", "did not answer"),
    ],
)
def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path, url: str, said: str) -> None:
    (tmp_path / "file.txt").write_text("This is no database, whatever its name may be. " * 50)
    with pytest.raises(StoreUnavailable, match=said) as caught:
        open_store(url.format(tmp=tmp_path))
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_a_read_only_store_can_be_read_and_says_so_when_written(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}"
    with open_store(url) as store:
        store.runs.create(NewRun(notebook=None, name="seen"))
    script = (
        "import os, sys\nfrom evercell.store import open_store\nfrom evercell.core.records import NewRun\n"
        "os.setuid(65534)\n"  # the tests may run as root, whom no file mode stops
        "with open_store(sys.argv[1]) as store:\n    print(store.runs.find('seen').name)\n"
        "    try:\n        store.runs.create(NewRun(notebook=None))\n"
        "    except Exception as error:\n        print(type(error).__name__, bool(error.hint))\n"
    )
    for path in tmp_path.iterdir():
        path.chmod(0o755 if path.is_dir() else 0o444)
    temporary = Path(tempfile.gettempdir())
    for folder in [tmp_path, *(parent for parent in tmp_path.parents if temporary in parent.parents)]:
        folder.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["seen", StoreReadOnly.__name__, "True"], done.stderr


def test_a_pack_that_is_gone_or_cut_short_is_named(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'store.db'}") as store:
        run = store.runs.create(NewRun(notebook=None))
        done = complete(store, take(store, run), "one", content=b"x" * 100_000)
        (pack,) = (tmp_path / "store.db.packs").iterdir()
        pack.write_bytes(b"x" * 99_999)
        with pytest.raises(ChunkMissing, match="cut short"):
            read_all(store, done.outputs.digests)
        pack.unlink()
        with pytest.raises(ChunkMissing, match="is gone"):
            read_all(store, done.outputs.digests)


def test_every_error_says_what_to_do(store: Store) -> None:
    for call in (lambda: store.runs.find("none"), lambda: store.checkpoints.get("none")):
        with pytest.raises(EvercellError) as caught:
            call()
        assert caught.value.hint
