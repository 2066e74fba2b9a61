"""Journals: every run's append-only, hash-chained log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.clock import utc_text
from evercell.core.errors import JournalBroken, RowDamaged
from evercell.core.records import Event, EventKind, Json, Lease
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.rows import decoded, raw_columns, row_of
from evercell.store.run_transaction import GENESIS, event_digest
from evercell.store.schema import events, runs


@asks_again
class Journal:
    """The journals of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, lease: Lease | None, run_id: str, kind: EventKind, data: Json) -> None:
        """Commit one entry; with a lease only as its holder (else `LeaseLost`)."""
        with self._database.run_transaction(run_id, lease) as transaction:
            transaction.append_event(kind, data)

    def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> list[Event]:
        """The entries of a run's journal beyond number ``after``, oldest first."""
        query = sa.select(events).where((events.c.run_id == run_id) & (events.c.seq > after))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.seq).limit(limit)).all()
        return [_event(row) for row in rows]

    def verify(self, run_id: str) -> int:
        """The number of entries of a whole journal; raises `JournalBroken` naming the first bad one."""
        with self._database.reading() as connection:
            return sum(1 for _ in verified_events(connection, run_id))


def verified_events(connection: Connection, run_id: str) -> Iterator[Event]:
    """The entries of a run's journal, oldest first; raises `JournalBroken` in the place of the first bad one."""
    tail = sa.select(runs.c.name, runs.c.journal_seq, runs.c.journal_digest).where(runs.c.id == run_id)
    run = connection.execute(tail).one()
    prev, expected = GENESIS, 1
    query = sa.select(*raw_columns(events)).where(events.c.run_id == run_id).order_by(events.c.seq)
    for row in connection.execute(query).all():
        if row.seq != expected:
            raise _broken(run.name, expected, f"is missing: entry {row.seq} follows")
        try:
            event = _event(decoded(events, row))
        except RowDamaged as error:
            raise _broken(run.name, expected, f"({row.kind}) was altered") from error
        if event.prev != prev or event.digest != _digest(event):
            raise _broken(run.name, expected, f"({event.kind} at {utc_text(event.at)}) was altered")
        yield event
        prev, expected = event.digest, expected + 1
    if expected - 1 != run.journal_seq or prev != bytes(run.journal_digest):
        raise _broken(run.name, expected, f"is missing: the journal should have {run.journal_seq} entries")


def _digest(event: Event) -> bytes:
    return event_digest(
        event.prev, run_id=event.run_id, seq=event.seq, at=event.at, kind=event.kind, data=event.data
    )


def _broken(run_name: str, seq: int, what: str) -> JournalBroken:
    return JournalBroken(
        f"The journal of run {run_name} does not verify: entry {seq} {what}.",
        hint="Entries before it can be trusted. Compare with a backup of the store.",
    )


@row_of(events)
def _event(row: Row[Any]) -> Event:
    return Event(
        row.run_id, row.seq, row.at, EventKind(row.kind), dict(row.data), bytes(row.prev), bytes(row.digest)
    )
