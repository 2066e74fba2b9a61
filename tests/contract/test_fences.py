"""P6: what a former holder still sends after a take-over is refused, however long it had to wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from evercell.core.chunks import Blob, Supply
from evercell.core.clock import system_clock
from evercell.core.errors import LeaseHeld, LeaseLost, UsageError
from evercell.core.records import Attempt, Call, EventKind, Lease, NewRun, Run
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.store import Store, open_store
from tests.contract.test_store import chunk, complete, take
from tests.database import open_database

Write = Callable[[Store, Lease, Attempt], object]


def call(run: Run | str, value: bytes = b"v", *, mac: bytes = b"m", key: str = "ask#1") -> Call:
    run_id = run if isinstance(run, str) else run.id
    return Call(run_id, "one", b"k", key, 0, "ask", b"a", True, value, mac, (), system_clock())


WRITES: dict[str, Write] = {
    "a call": lambda store, lease, attempt: store.calls.record(lease, call(lease.run_id), Supply()),
    "a large call": lambda store, lease, attempt: store.calls.record(
        lease, call(lease.run_id), Supply.of([chunk(b"large")])
    ),
    "a heartbeat": lambda store, lease, attempt: store.calls.record_heartbeat(lease, "one", b"k", "ask#1", 1),
    "a completion": lambda store, lease, attempt: complete(store, lease, "two"),
    "a beginning": lambda store, lease, attempt: store.steps.begin(lease, step="two", cell_id=None, key=b"k"),
    "a failure": lambda store, lease, attempt: store.steps.fail(
        lease, attempt, status=AttemptStatus.FAILED, error=None, outputs=Blob(0), chunks=Supply()
    ),
    "a renewal": lambda store, lease, attempt: store.leases.renew(lease, ttl=timedelta(seconds=30)),
    "a status": lambda store, lease, attempt: store.runs.set_status(lease, lease.run_id, RunStatus.PAUSED),
    "an event": lambda store, lease, attempt: store.journal.append(
        lease, lease.run_id, EventKind.SESSION_RESUMED, {}
    ),
}


@contextmanager
def take_over_under_way(store_url: str, run: Run) -> Iterator[None]:
    """Inside, another session's take-over has written all that it writes, and is committed at the end."""
    with open_database(store_url) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(sa.text("SELECT id FROM runs WHERE id = :run FOR UPDATE"), {"run": run.id})
        row = connection.execute(sa.text("SELECT * FROM leases WHERE run_id = :run"), {"run": run.id}).one()
        connection.execute(sa.text("DELETE FROM leases WHERE run_id = :run"), {"run": run.id})
        names = ", ".join(row._mapping)
        values = {**row._mapping, "token": row.token + 1, "session_id": "another", "owner": "eve"}
        places = ", ".join(f":{name}" for name in row._mapping)
        connection.execute(sa.text(f"INSERT INTO leases ({names}) VALUES ({places})"), values)
        connection.execute(sa.text("UPDATE runs SET fence = fence + 1 WHERE id = :run"), {"run": run.id})
        yield


def wait_until_something_waits(store_url: str) -> None:
    """Until the server has a query that waits for a lock. (SQLite has one writer: whoever comes later waits.)"""
    if store_url.startswith("sqlite"):
        return
    waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    engine = sa.create_engine(store_url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for _ in range(1000):
            if connection.execute(sa.text(waits)).scalar():
                return
            connection.execute(sa.text("SELECT pg_sleep(0.01)"))
    raise AssertionError("nothing waited for the take-over")


@pytest.mark.parametrize("what", WRITES)
def test_what_waited_for_a_take_over_is_refused(store: Store, store_url: str, what: str) -> None:
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    attempt = store.steps.begin(lease, step="one", cell_id=None, key=b"k")
    before = store.journal.events(run.id)
    raised: list[BaseException] = []

    def write() -> None:
        try:
            WRITES[what](store, lease, attempt)
        except LeaseLost as error:
            raised.append(error)

    late = threading.Thread(target=write)
    with take_over_under_way(store_url, run):
        late.start()
        wait_until_something_waits(store_url)
    late.join(timeout=60)
    assert len(raised) == 1 and not late.is_alive()
    assert store.journal.events(run.id) == before, "nothing of it was committed"
    assert store.calls.of_step(run.id, "one", b"k") == []
    assert "%resume" in str(raised[0]) or "taken over" in str(raised[0]) or "%branch" in str(raised[0])


def test_a_call_that_somebody_else_recorded_otherwise_is_not_dropped_in_silence(store: Store) -> None:
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    store.calls.record(lease, call(run, b"first", mac=b"1"), Supply())
    store.calls.record(lease, call(run, b"first", mac=b"1"), Supply())  # a commit whose answer was lost
    with pytest.raises(UsageError, match="another result"):
        store.calls.record(lease, call(run, b"second", mac=b"2"), Supply())
    assert [found.value for found in store.calls.of_step(run.id, "one", b"k")] == [b"first"]


@pytest.mark.postgres
@pytest.mark.parametrize("store_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("hours", [-1, 1])
def test_a_host_whose_clock_is_wrong_robs_nobody(store: Store, store_url: str, hours: int) -> None:
    """P6 on PostgreSQL, which has hosts with clocks of their own. SQLite is one machine's, and so its clock is."""
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    with open_store(store_url, clock=lambda: system_clock() + timedelta(hours=hours)) as elsewhere:
        with pytest.raises(LeaseHeld):
            take(elsewhere, run)
        with pytest.raises(LeaseHeld):
            elsewhere.runs.set_status(None, run.id, RunStatus.FAILED)
        renewed = elsewhere.leases.renew(lease, ttl=timedelta(seconds=30))
        assert abs(renewed.expires_at - system_clock()) < timedelta(minutes=1)
        mine = elsewhere.runs.create(NewRun(notebook=None))
        assert take(elsewhere, mine).expires_at - system_clock() < timedelta(minutes=1)
    with pytest.raises(LeaseHeld):
        take(store, mine)


def test_a_lease_whose_commit_was_not_answered_is_the_sessions_own(store: Store) -> None:
    run = store.runs.create(NewRun(notebook=None))
    first = take(store, run)
    again = store.leases.acquire(
        run.id, session_id=first.session_id, holder=first.holder, ttl=timedelta(seconds=30)
    )
    assert again == first
