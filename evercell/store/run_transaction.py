"""A write transaction on a run: checked against the run's lease, and entered in its journal."""

from __future__ import annotations

import hashlib
from collections import namedtuple
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.canonical import canonical_json
from evercell.core.clock import Clock, local_text
from evercell.core.errors import LeaseLost, RowDamaged, RunNotFound
from evercell.core.records import EventKind, Lease
from evercell.core.statuses import RunStatus
from evercell.store.column_types import microseconds
from evercell.store.prepared import Direct, Prepared
from evercell.store.rows import decoded, raw
from evercell.store.schema import LAST_COLLECTION, events, leases, meta, runs

GENESIS = bytes(32)
"""What the first entry of a journal has for the digest before it."""

_RUN_COLUMNS = (
    runs.c.id,
    runs.c.name,
    runs.c.status,
    runs.c.head,
    runs.c.fence,
    runs.c.journal_seq,
    runs.c.journal_digest,
    runs.c.asked,
    runs.c.deleted_at,
)
_RUN = sa.select(*raw(runs, _RUN_COLUMNS)).where(runs.c.id == sa.bindparam("run")).with_for_update()
_LAST_COLLECTION = (
    sa.select(meta.c.value).where(meta.c.key == LAST_COLLECTION).scalar_subquery().label("last_collection")
)
_RUN_AND_LEASE = (
    sa.select(
        *_RUN_COLUMNS,
        _LAST_COLLECTION,
        leases.c.token,
        leases.c.session_id,
        leases.c.owner,
        leases.c.host,
        leases.c.pid,
    )
    .select_from(runs.outerjoin(leases, leases.c.run_id == runs.c.id))
    .where(runs.c.id == sa.bindparam("run"))
    .with_for_update(of=runs)
)
_SELECT_LEASED = Prepared(_RUN_AND_LEASE)
_LeasedRow = namedtuple("_LeasedRow", [column.name for column in _RUN_AND_LEASE.selected_columns])  # type: ignore[misc]
_INSERT_EVENTS = Prepared(sa.insert(events), columns=events.c.keys())

C = TypeVar("C", bound=Connection | Direct)
"""What a transaction goes over: SQLAlchemy's connection, or the driver's own, for prepared statements only."""


def event_digest(
    prev: bytes, *, run_id: str, seq: int, at: datetime, kind: str, data: Mapping[str, Any]
) -> bytes:
    """The 32-byte digest of a journal entry: it covers the entry and, through ``prev``, all before it."""
    entry = canonical_json([run_id, seq, microseconds(at), kind, dict(data)])
    return hashlib.sha256(prev + entry.encode()).digest()


class RunTransaction(Generic[C]):
    """One write transaction on a run: gathers its events, then writes them with the run's row, once."""

    def __init__(self, connection: C, row: Any, now: datetime) -> None:
        self.connection = connection
        self.row = row
        """The run as it was at the beginning."""
        self.now = now
        self.changes: dict[str, Any] = {}
        """Columns of the run to change at the end."""
        self.is_sent = False
        """Whether the database may have committed it: it was asked to."""
        self._seq: int = row.journal_seq
        self._digest: bytes = row.journal_digest
        self._entries: list[dict[str, Any]] = []

    def append_event(self, kind: EventKind, data: Mapping[str, Any]) -> int:
        """Add an entry to the run's journal; returns its sequence number."""
        self._seq += 1
        digest = event_digest(
            self._digest, run_id=self.row.id, seq=self._seq, at=self.now, kind=kind, data=data
        )
        self._entries.append(
            {
                "run_id": self.row.id,
                "seq": self._seq,
                "at": self.now,
                "kind": str(kind),
                "data": dict(data),
                "prev": self._digest,
                "digest": digest,
            }
        )
        self._digest = digest
        return self._seq

    @property
    def digest(self) -> bytes:
        """The digest of the newest entry, which covers all before it."""
        return self._digest

    def finish(self) -> None:
        """Write the gathered events and the run's row. Nothing is left to write afterwards."""
        if self._entries:
            _INSERT_EVENTS.run_many(self.connection, self._entries)
            self.changes |= {"journal_seq": self._seq, "journal_digest": self._digest}
        if self.changes:
            values = {f"new_{name}": value for name, value in self.changes.items()}
            _update_run(frozenset(self.changes)).run(
                self.connection, {"run": self.row.id, "new_updated_at": self.now, **values}
            )
        self._entries, self.changes = [], {}


def begin_on_run(
    connection: Connection, run_id: str, clock: Clock, *, is_deleted: bool = False
) -> RunTransaction[Connection]:
    """A transaction on a run whose row nobody else can change until it ends; ``is_deleted``: the run may be."""
    row = connection.execute(_RUN, {"run": run_id}).first()
    if row is None:
        raise _run_gone(run_id)
    run = decoded(runs, row)
    if run.deleted_at is not None and not is_deleted:
        raise run_deleted(run_id, run.deleted_at)
    return RunTransaction(connection, run, clock())


def begin_under_lease(connection: C, lease: Lease, clock: Clock) -> RunTransaction[C]:
    """The same for the holder of a lease. Raises `LeaseLost` where another session took over."""
    found = _SELECT_LEASED.run(connection, {"run": lease.run_id}).fetchone()
    if found is None:
        raise _run_gone(lease.run_id)
    row = decoded(runs, _LeasedRow(*found))
    # PostgreSQL reads the run anew where it had to wait for its row, but not the lease: both have to be ours
    if row.fence != lease.token or row.token != lease.token or row.session_id != lease.session_id:
        raise _lease_lost(row)
    return RunTransaction(connection, row, clock())


def _run_gone(run_id: str) -> RowDamaged:
    return RowDamaged(
        f"Run {run_id} is not in the store any more: its row is gone.",
        hint="Put the store back from a backup. What is in memory stays: %evercell new starts a run with it.",
    )


def run_deleted(run_id: str, deleted_at: datetime) -> RunNotFound:
    """The error for a run that somebody deleted."""
    return RunNotFound(f"Run {run_id} was deleted ({local_text(deleted_at)}).", hint=_AFTER_DELETION)


_AFTER_DELETION = (
    "Its branches have all that they saw of it. A kernel that was on it keeps its memory: %evercell new, and the next "
    "step starts a run with it."
)


def _lease_lost(row: Any) -> LeaseLost:
    if row.deleted_at is not None:
        return LeaseLost(
            f"Run {row.id} was deleted ({local_text(row.deleted_at)}); this kernel's work since then was not "
            "committed.",
            hint=_AFTER_DELETION,
        )
    if row.status == str(RunStatus.CANCELLED):
        return LeaseLost(
            f"Run {row.name} was cancelled; this kernel's work since then was not committed.",
            hint="What is in memory stays: %evercell new, and the next step starts a run with it; or %branch.",
        )
    is_known = row.token is not None and row.token == row.fence
    taker = f"{row.owner}@{row.host}, process {row.pid}" if is_known else "another session"
    return LeaseLost(
        f"Run {row.name} was taken over by {taker}; this kernel's work since then was not committed.",
        hint="What is in memory stays: go on in a run of your own with %branch, or %evercell takeover. "
        "Once the run is free, %resume puts back what it has.",
    )


_UPDATES: dict[frozenset[str], Prepared] = {}


def _update_run(names: frozenset[str]) -> Prepared:
    """An UPDATE of these columns, built once."""
    statement = _UPDATES.get(names)
    if statement is None:
        values = {
            name: sa.bindparam(f"new_{name}", type_=runs.c[name].type) for name in {*names, "updated_at"}
        }
        statement = Prepared(sa.update(runs).where(runs.c.id == sa.bindparam("run")).values(values))
        _UPDATES[names] = statement
    return statement
