"""Waits: what runs without a kernel wait for, and which of them may go on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa

from evercell.core.records import Awaited, AwaitedKind, Lease
from evercell.core.statuses import ENDED, RunStatus
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.run_transaction import begin_on_run
from evercell.store.runs import IS_THERE
from evercell.store.schema import approvals, leases, runs, signals, waits

_HOSTED = "hosted"
"""Names the moment at which a process was started for a run."""


@asks_again
class Waits:
    """The waits of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, lease: Lease, awaited: Iterable[Awaited]) -> None:
        """Commit what the run waits for once its kernel has ended; what it waited for before is over."""
        earliest: dict[tuple[str, str], Awaited] = {}
        for one in awaited:
            place = (str(one.kind), one.name)
            known = earliest.get(place)
            if known is None or (one.due_at and (known.due_at is None or one.due_at < known.due_at)):
                earliest[place] = one
        with self._database.run_transaction(lease.run_id, lease) as transaction:
            transaction.connection.execute(sa.delete(waits).where(waits.c.run_id == lease.run_id))
            rows = [
                {"run_id": lease.run_id, "kind": kind, "name": name, "due_at": one.due_at}
                for (kind, name), one in earliest.items()
            ]
            if rows:
                transaction.connection.execute(sa.insert(waits), rows)

    def of_run(self, run_id: str) -> list[Awaited]:
        """What the run waited for when it was suspended last."""
        with self._database.reading() as connection:
            found = connection.execute(sa.select(waits).where(waits.c.run_id == run_id)).all()
        return [Awaited(AwaitedKind(row.kind), row.name, row.due_at) for row in found]

    def due(self) -> list[str]:
        """The ids of the waiting runs that may go on now: what they wait for is there, or its time has come.

        One of which nothing is known is among them: its kernel will say what it waits for.
        """
        with self._database.reading() as connection:
            query = due_runs(self._database.clock(), self._database.lease_now(connection))
            return [row.id for row in connection.execute(query)]

    def note_hosted(
        self, run_id: str, *, again_after: float, over: datetime | None = None
    ) -> datetime | None:
        """Commit that a process is started for a run that is due, as `Children.note_hosted` does for a child.

        It is kept as a moment that has come: the run stays due until a session says what it waits for.
        """
        note = _note_of(run_id)
        with self._database.writing() as connection:
            # of several that ask at once, one after the other
            begin_on_run(connection, run_id, self._database.clock, is_deleted=True)
            now = self._database.lease_now(connection)
            at = connection.execute(sa.select(waits.c.due_at).where(note)).scalar()
            within = timedelta(seconds=again_after)
            if at is not None and (over is None or at > over) and abs(now - at) <= within:
                return None
            connection.execute(sa.delete(waits).where(note))
            row = {"run_id": run_id, "kind": str(AwaitedKind.MOMENT), "name": _HOSTED, "due_at": now}
            connection.execute(sa.insert(waits), row)
        return now

    def was_hosted(self, run_id: str) -> bool:
        """Whether a process was started for a run since it said last what it waits for."""
        with self._database.reading() as connection:
            return connection.execute(sa.select(waits.c.run_id).where(_note_of(run_id))).first() is not None


def _note_of(run_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(waits.c.run_id == run_id, waits.c.kind == str(AwaitedKind.MOMENT), waits.c.name == _HOSTED)


def due_runs(now: datetime, lease_now: datetime) -> sa.Select[tuple[str]]:
    """Which waiting runs nothing holds any more."""
    other = runs.alias("other")
    there = sa.or_(
        waits.c.due_at <= now,
        sa.and_(
            waits.c.kind == str(AwaitedKind.SIGNAL),
            sa.exists().where(signals.c.run_id == waits.c.run_id, signals.c.name == waits.c.name),
        ),
        sa.and_(
            waits.c.kind == str(AwaitedKind.APPROVAL),
            sa.exists().where(approvals.c.id == waits.c.name, approvals.c.decided_at.is_not(None)),
        ),
        sa.and_(
            waits.c.kind == str(AwaitedKind.RUN),
            sa.exists().where(
                other.c.id == waits.c.name,
                sa.or_(
                    other.c.status.in_([str(status) for status in ENDED]), other.c.deleted_at.is_not(None)
                ),
            ),
        ),
    )
    of_run = waits.c.run_id == runs.c.id
    return (
        sa.select(runs.c.id)
        .where(
            runs.c.status == str(RunStatus.WAITING),
            IS_THERE,
            runs.c.asked.is_(None),
            ~sa.exists().where(leases.c.run_id == runs.c.id, leases.c.expires_at > lease_now),
            sa.or_(sa.exists().where(of_run, there), ~sa.exists().where(of_run)),
        )
        .order_by(runs.c.updated_at)
    )
