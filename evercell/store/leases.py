"""Leases: the right of one session to write to a run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.clock import local_text
from evercell.core.errors import LeaseHeld, LeaseLost, RowDamaged
from evercell.core.records import EventKind, Holder, Lease
from evercell.core.statuses import AttemptStatus
from evercell.store.database import Database
from evercell.store.journal import require_end
from evercell.store.outages import asks_again
from evercell.store.rows import decoded, raw, read_each, row_of
from evercell.store.run_transaction import RunTransaction
from evercell.store.schema import REVISION, attempts, leases

UNREADABLE = -1
"""Stands for the token of a lease whose row cannot be read."""


@asks_again
class Leases:
    """The leases of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, run_id: str) -> Lease | None:
        """The run's lease as it stands, expired or not; None after it was given back."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*raw(leases)).where(leases.c.run_id == run_id)).first()
            return read_lease(row) if row else None

    def now(self) -> datetime:
        """The moment that expiries are compared with. It may be another one than this host's clock has."""
        with self._database.reading() as connection:
            return self._database.lease_now(connection)

    def all(self) -> dict[str, Lease]:
        """The leases that were not given back, expired or not, by run."""
        with self._database.reading() as connection:
            found = read_each(connection.execute(sa.select(*raw(leases))).all(), read_lease)
        return {lease.run_id: lease for lease in found}

    def acquire(
        self,
        run_id: str,
        *,
        session_id: str,
        holder: Holder,
        ttl: timedelta,
        replacing: int | None = None,
        within: Connection | None = None,
    ) -> Lease:
        """Commit a lease with a new fencing token: whoever held one before cannot write any more.

        Granted where none is held, the one held has expired, or its token is ``replacing`` (`UNREADABLE`: its row
        means nothing); else `LeaseHeld`. Attempts that the former holder left running become ``interrupted``.
        ``within``: a transaction that commits it together with something else.
        """
        with self._database.run_transaction(run_id, within=within) as transaction:
            require_end(transaction)
            row = self._former(transaction, is_forced=replacing == UNREADABLE)
            now = self._database.lease_now(transaction.connection)
            if row is not None and row.session_id == session_id:
                return _lease_of(row)  # committed before, and nobody was told
            if row is not None and row.expires_at > now and row.token != replacing:
                raise LeaseHeld(
                    f"Run {transaction.row.name} is held by {row.owner}@{row.host}, process {row.pid}, "
                    f"until {local_text(row.expires_at)}.",
                    hint="Take over with %evercell takeover, or work in a run of your own with %branch.",
                )
            lease = Lease(run_id, session_id, transaction.row.fence + 1, holder, now, now + ttl)
            self._put_lease(transaction, lease, row)
            interrupt_attempts(transaction, before=lease.token)
        return lease

    def _former(self, transaction: RunTransaction[Connection], *, is_forced: bool) -> Any:
        query = sa.select(*raw(leases)).where(leases.c.run_id == transaction.row.id)
        row = transaction.connection.execute(query).first()
        try:
            return decoded(leases, row) if row is not None else None
        except RowDamaged:
            if not is_forced:
                raise
            return None  # whoever it was: the new token keeps them from writing

    def _put_lease(self, transaction: RunTransaction[Connection], lease: Lease, former: Any) -> None:
        transaction.connection.execute(sa.delete(leases).where(leases.c.run_id == lease.run_id))
        transaction.connection.execute(
            sa.insert(leases).values(
                run_id=lease.run_id, session_id=lease.session_id, token=lease.token,
                host=lease.holder.host, boot=lease.holder.boot, pid=lease.holder.pid,
                started=lease.holder.started, owner=lease.holder.user,
                acquired_at=lease.acquired_at, expires_at=lease.expires_at,
            )
        )  # fmt: skip
        transaction.changes["fence"] = lease.token
        data = {"token": lease.token, **_holder_data(lease.holder), SCHEMA: REVISION}
        if former is None:
            transaction.append_event(EventKind.LEASE_ACQUIRED, data)
        else:
            before = {"token": former.token, "user": former.owner, "host": former.host, "pid": former.pid}
            transaction.append_event(EventKind.LEASE_TAKEN, {**data, "from": before})

    def renew(self, lease: Lease, *, ttl: timedelta) -> Lease:
        """Commit a later expiry. Raises `LeaseLost` where another session took over."""
        ours = (leases.c.run_id == lease.run_id) & (leases.c.token == lease.token)
        with self._database.writing() as connection:
            now = self._database.lease_now(connection)
            done = connection.execute(sa.update(leases).where(ours).values(expires_at=now + ttl))
            if done.rowcount != 1:
                raise LeaseLost(
                    f"Run {lease.run_id} was taken over by another session.",
                    hint="Go on in a run of your own with %branch, or %evercell takeover.",
                )
        return Lease(lease.run_id, lease.session_id, lease.token, lease.holder, lease.acquired_at, now + ttl)

    def release(self, lease: Lease) -> None:
        """Commit that nobody holds the run; nothing happens if the lease was lost already."""
        ours = (leases.c.run_id == lease.run_id) & (leases.c.token == lease.token)
        with self._database.run_transaction(lease.run_id) as transaction:
            if transaction.connection.execute(sa.delete(leases).where(ours)).rowcount:
                transaction.append_event(
                    EventKind.LEASE_RELEASED, {"token": lease.token, **_holder_data(lease.holder)}
                )


def interrupt_attempts(
    transaction: RunTransaction[Connection], *, before: int | None = None, why: str = "its kernel went away"
) -> None:
    """Within a transaction: attempts that are left running (under a lease ``before`` this token) end by that."""
    left = (attempts.c.run_id == transaction.row.id) & (attempts.c.status == str(AttemptStatus.RUNNING))
    query = sa.select(*raw(attempts, [attempts.c.id, attempts.c.step, attempts.c.number])).where(left)
    for step, number in read_each(transaction.connection.execute(query).all(), _read_place):
        interrupted = {"step": step, "attempt": number, "why": why}
        transaction.append_event(EventKind.ATTEMPT_INTERRUPTED, interrupted)
    is_meant = left if before is None else left & (attempts.c.token < before)
    ended = {"status": str(AttemptStatus.INTERRUPTED), "ended_at": transaction.now}
    transaction.connection.execute(sa.update(attempts).where(is_meant).values(ended))


SCHEMA = "schema"
"""Under this the entry of a lease has which schema its holder's evercell writes. (None: it is from before 0008.)"""


def _holder_data(holder: Holder) -> dict[str, Any]:
    return {"user": holder.user, "host": holder.host, "pid": holder.pid}


@row_of(attempts)
def _read_place(row: Row[Any]) -> tuple[str, int]:
    return row.step, row.number


@row_of(leases)
def read_lease(row: Row[Any]) -> Lease:
    """The record of a row."""
    return _lease_of(row)


def _lease_of(row: Any) -> Lease:
    """The record of what `row_of` decoded."""
    holder = Holder(row.host, row.boot, row.pid, row.started, row.owner)
    return Lease(row.run_id, row.session_id, row.token, holder, row.acquired_at, row.expires_at)
