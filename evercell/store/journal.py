"""Journals: every run's append-only, hash-chained log."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.clock import local_text
from evercell.core.errors import JournalBroken, RowDamaged
from evercell.core.found import Found
from evercell.core.records import Event, EventKind, Json, Lease
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_transaction import GENESIS, RunTransaction, event_digest
from evercell.store.schema import events, runs

_BATCH = 200
"""Entries in one query, where the newest ones are looked for."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in a journal: the number of an entry, and the digest of all up to it."""

    seq: int
    digest: bytes


BEGINNING = Entry(0, GENESIS)


@asks_again
class Journal:
    """The journals of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, lease: Lease | None, run_id: str, kind: EventKind, data: Json) -> None:
        """Commit one entry; with a lease only as its holder (else `LeaseLost`)."""
        with self._database.run_transaction(run_id, lease) as transaction:
            transaction.append_event(kind, data)

    def events(self, run_id: str, *, after: int = 0, limit: int | None = None) -> Found[Event]:
        """The entries of a run's journal beyond number ``after``, oldest first."""
        query = sa.select(*raw(events)).where((events.c.run_id == run_id) & (events.c.seq > after))
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(events.c.seq).limit(limit)).all()
        return read_each(rows, _event)

    def of_kinds(self, run_id: str, kinds: Collection[EventKind]) -> Found[Event]:
        """The entries of some kinds, the oldest first."""
        with self._database.reading() as connection:
            return events_of(connection, run_id, kinds)

    def verify(self, run_id: str, *, after: Entry = BEGINNING) -> int:
        """The number of entries of a whole journal; raises `JournalBroken` naming the first bad one.

        Entries up to ``after``, which is known to be whole, are not read.
        """
        with self._database.reading() as connection:
            return after.seq + sum(1 for _ in verified_events(connection, run_id, after=after))

    def end(self, run_id: str) -> Entry:
        """The newest entry, as the run's row has it."""
        with self._database.reading() as connection:
            return _tail(connection, run_id)[1]

    def require_end(self, run_id: str) -> None:
        """Raise `JournalBroken` unless the newest entry is the one that the run's row names."""
        with self._database.reading() as connection:
            name, end = _tail(connection, run_id)
            _require_end(connection, run_id, name, end)

    def digest(self, run_id: str, seq: int) -> bytes | None:
        """The digest of one entry, None where there is none."""
        query = sa.select(*raw(events, [events.c.digest]))
        with self._database.reading() as connection:
            found = connection.execute(query.where(events.c.run_id == run_id, events.c.seq == seq)).scalar()
        return found if isinstance(found, bytes) else None

    def newest(self, run_id: str, kinds: Collection[EventKind]) -> Iterator[Event]:
        """The entries of some kinds, the newest first; raises `JournalBroken` in the place of one that was altered."""
        before: int | None = None
        while True:
            rows = self._newest(run_id, kinds, before)
            for row in rows:
                yield _whole_event(row, run_id)
            if len(rows) < _BATCH:
                return
            before = rows[-1].seq

    def _newest(self, run_id: str, kinds: Collection[EventKind], before: int | None) -> Sequence[Row[Any]]:
        query = sa.select(*raw(events)).where(events.c.run_id == run_id, events.c.kind.in_(map(str, kinds)))
        if before is not None:
            query = query.where(events.c.seq < before)
        with self._database.reading() as connection:
            return connection.execute(query.order_by(events.c.seq.desc()).limit(_BATCH)).all()


def events_of(connection: Connection, run_id: str, kinds: Collection[EventKind]) -> Found[Event]:
    """The entries of some kinds, the oldest first."""
    query = sa.select(*raw(events)).where(events.c.run_id == run_id, events.c.kind.in_(map(str, kinds)))
    return read_each(connection.execute(query.order_by(events.c.seq)).all(), _event)


def verified_events(connection: Connection, run_id: str, *, after: Entry = BEGINNING) -> Iterator[Event]:
    """The entries of a run's journal, oldest first; raises `JournalBroken` in the place of the first bad one."""
    name, end = _tail(connection, run_id)
    prev, expected = after.digest, after.seq + 1
    query = sa.select(*raw(events)).where(events.c.run_id == run_id, events.c.seq > after.seq)
    for row in connection.execute(query.order_by(events.c.seq)):
        if row.seq != expected:
            raise _broken(name, expected, f"is missing: entry {row.seq} follows")
        event = _whole_event(row, name, expected)
        if event.prev != prev:
            raise _broken(name, expected, f"({event.kind} at {local_text(event.at)}) was altered")
        yield event
        prev, expected = event.digest, expected + 1
    if expected - 1 != end.seq or prev != end.digest:
        raise _broken(name, expected, f"is missing: the journal should have {end.seq} entries")


def require_end(transaction: RunTransaction[Connection]) -> None:
    """Raise `JournalBroken` unless the newest entry is the one that the run's row names: no other is added to it."""
    run = transaction.row
    _require_end(transaction.connection, run.id, run.name, Entry(run.journal_seq, run.journal_digest))


def _require_end(connection: Connection, run_id: str, name: str, end: Entry) -> None:
    query = sa.select(*raw(events)).where(events.c.run_id == run_id, events.c.seq == end.seq)
    row = connection.execute(query).first()
    if row is None and end != BEGINNING:
        raise _broken(name, end.seq, "is missing")
    if row is not None and _whole_event(row, name, end.seq).digest != end.digest:
        raise _broken(name, end.seq, "is not the one that the run's row names")


def _tail(connection: Connection, run_id: str) -> tuple[str, Entry]:
    """The run's name, and the entry that its row says is the newest."""
    columns = raw(runs, [runs.c.id, runs.c.name, runs.c.journal_seq, runs.c.journal_digest])
    return _read_tail(connection.execute(sa.select(*columns).where(runs.c.id == run_id)).one())


@row_of(runs)
def _read_tail(row: Row[Any]) -> tuple[str, Entry]:
    return row.name, Entry(row.journal_seq, row.journal_digest)


def _whole_event(row: Row[Any], run: str, expected: int | None = None) -> Event:
    """The entry of a row which says by itself that it is as it was written."""
    seq = row.seq if expected is None else expected
    try:
        event = _event(row)
    except RowDamaged as error:
        raise _broken(run, seq, "cannot be read") from error
    if event.digest != _digest(event):
        raise _broken(run, seq, f"({event.kind} at {local_text(event.at)}) was altered")
    return event


def _digest(event: Event) -> bytes:
    return event_digest(
        event.prev, run_id=event.run_id, seq=event.seq, at=event.at, kind=event.kind, data=event.data
    )


def _broken(run_name: str, seq: int, what: str) -> JournalBroken:
    return JournalBroken(
        f"The journal of run {run_name} does not verify: entry {seq} {what}.",
        hint="What the steps left is signed by itself, and is not read from it. To go on: %branch --from STEP (or "
        "evercell branch RUN --from STEP) begins a run with a journal of its own at a step of this one. Entries "
        "before the bad one can be trusted; `evercell verify` says what else is damaged.",
    )


@row_of(events)
def _event(row: Row[Any]) -> Event:
    return Event(
        row.run_id, row.seq, row.at, EventKind(row.kind), dict(row.data), bytes(row.prev), bytes(row.digest)
    )
