"""Limits, and the slots of them: wanted, taken, given back. A slot counts as long as its holder's lease is live."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.errors import LimitNotFound
from evercell.core.queueing import Limit, Slot
from evercell.core.records import Lease
from evercell.store.database import Database
from evercell.store.locks import lock_admission
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import leases, limits, queue, slots


class Granted(Protocol):
    """What a rule says of a wanted slot."""

    @property
    def why_not(self) -> str:
        """Empty: it is given."""

    @property
    def borrows(self) -> bool:
        """It is that of whatever is around its holder, and counts already."""


Rule = Callable[[Limit, list[Slot], Slot, datetime], Granted]
"""Whether a slot of a limit is given now, of which these are wanted, held, or were taken lately."""


@asks_again
class Limits:
    """The limits of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, limit: Limit, *, by: str) -> None:
        """Commit a limit; what is held of it stays held."""
        values: dict[str, Any] = {
            "at_once": limit.at_once,
            "rate": limit.rate,
            "period": limit.period,
            "set_by": by,
        }
        with self._database.writing() as connection:
            lock_admission(connection)
            values["set_at"] = self._database.clock()
            known = sa.update(limits).where(limits.c.key == limit.key)
            if not connection.execute(known.values(values)).rowcount:
                connection.execute(sa.insert(limits).values(key=limit.key, **values))

    def remove(self, key: str) -> None:
        """Commit that nothing is limited by this key any more. Raises `LimitNotFound`."""
        with self._database.writing() as connection:
            lock_admission(connection)
            connection.execute(sa.delete(slots).where(slots.c.limit_key == key))
            if connection.execute(sa.delete(limits).where(limits.c.key == key)).rowcount:
                return
            known = [row.key for row in connection.execute(sa.select(limits.c.key))]
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"Did you mean {close[0]!r}?" if close else "`evercell limit` lists them."
        raise LimitNotFound(f"There is no limit {key!r}.", hint=hint)

    def all(self) -> dict[str, Limit]:
        """The limits, by key."""
        with self._database.reading() as connection:
            return read_limits(connection)

    def slots(self) -> list[Slot]:
        """What is wanted and held now, and what was taken lately."""
        with self._database.reading() as connection:
            return read_slots(connection, self._database.lease_now(connection))

    # -- slots of steps and calls ----------------------------------------------------------------

    def want(self, lease: Lease, key: str, *, slot_id: str, holder: str, lent_by: str | None) -> bool:
        """Commit that a step or call waits for a slot; False where nobody has set this limit.

        ``lent_by``: the slot of whatever is around it. Without one, that of the run as a whole, where it has one.
        """
        with self._database.writing() as connection:
            lock_admission(connection)
            if connection.execute(sa.select(limits.c.key).where(limits.c.key == key)).first() is None:
                return False
            if connection.execute(sa.select(slots.c.id).where(slots.c.id == slot_id)).first() is not None:
                return True  # committed before, and nobody was told
            now = self._database.lease_now(connection)
            forget_slots(connection, key, now)
            of_run = sa.select(slots.c.id).where(
                slots.c.limit_key == key, slots.c.run_id == lease.run_id, slots.c.token.is_(None),
                slots.c.given_back_at.is_(None),
            )  # fmt: skip
            lent_by = lent_by or connection.execute(of_run).scalar()
            share = connection.execute(
                sa.select(queue.c.share).where(queue.c.run_id == lease.run_id)
            ).scalar()
            connection.execute(
                sa.insert(slots).values(
                    id=slot_id, limit_key=key, run_id=lease.run_id, holder=holder, token=lease.token,
                    share=share or lease.holder.user[:200], lent_by=lent_by, wanted_at=now,
                )
            )  # fmt: skip
            return True

    def take(self, slot_id: str, rule: Rule) -> str:
        """Commit that a wanted slot is taken, where ``rule`` lets it be; returns why not, or nothing."""
        with self._database.reading() as connection:  # most looks find that it is too early
            granted = self._ask(connection, slot_id, rule)
        if granted is None or granted.why_not:
            return granted.why_not if granted is not None else ""
        with self._database.writing() as connection:
            lock_admission(connection)
            granted = self._ask(connection, slot_id, rule)
            if granted is None or granted.why_not:
                return granted.why_not if granted is not None else ""
            values: dict[str, Any] = {"taken_at": self._database.lease_now(connection)}
            if not granted.borrows:
                values["lent_by"] = None
            connection.execute(sa.update(slots).where(slots.c.id == slot_id).values(values))
        return ""

    def _ask(self, connection: Connection, slot_id: str, rule: Rule) -> Granted | None:
        """What the rule says; None where there is nothing to ask: somebody removed the limit, or it is taken."""
        key = connection.execute(sa.select(slots.c.limit_key).where(slots.c.id == slot_id)).scalar()
        limit = read_limits(connection).get(key) if key is not None else None
        if limit is None:
            return None
        now = self._database.lease_now(connection)
        known = read_slots(connection, now, key)
        mine = next((slot for slot in known if slot.id == slot_id), None)
        return rule(limit, known, mine, now) if mine is not None and mine.taken_at is None else None

    def give_back(self, slot_id: str) -> None:
        """Commit that a slot is free again, or not wanted any more."""
        with self._database.writing() as connection:
            now = self._database.lease_now(connection)
            connection.execute(sa.delete(slots).where(slots.c.id == slot_id, slots.c.taken_at.is_(None)))
            connection.execute(sa.update(slots).where(slots.c.id == slot_id).values(given_back_at=now))


def _is_live(now: datetime) -> sa.ColumnElement[bool]:
    """Whether a slot's holder may be there still."""
    return sa.or_(
        sa.and_(
            slots.c.token.is_(None),
            sa.exists().where(queue.c.run_id == slots.c.run_id, queue.c.admitted_at.is_not(None)),
        ),
        sa.exists().where(
            leases.c.run_id == slots.c.run_id, leases.c.token == slots.c.token, leases.c.expires_at > now
        ),
    )


def forget_slots(connection: Connection, key: str, now: datetime) -> None:
    """Within a transaction: remove the slots of a limit that nothing counts any more.

    A clock that was set back does not keep what it had taken for longer than a period.
    """
    period = connection.execute(sa.select(limits.c.period).where(limits.c.key == key)).scalar() or 0.0
    of_key = slots.c.limit_key == key
    connection.execute(sa.update(slots).where(of_key, slots.c.taken_at > now).values(taken_at=now))
    is_void = sa.or_(slots.c.given_back_at.is_not(None), ~_is_live(now))
    is_old = sa.or_(slots.c.taken_at.is_(None), slots.c.taken_at <= now - timedelta(seconds=period))
    connection.execute(sa.delete(slots).where(of_key, is_void, is_old))


def read_limits(connection: Connection) -> dict[str, Limit]:
    """Within a transaction: the limits, by key."""
    found = read_each(connection.execute(sa.select(*raw(limits))).all(), read_limit)
    return {limit.key: limit for limit in found}


def read_slots(connection: Connection, now: datetime, key: str | None = None) -> list[Slot]:
    """Within a transaction: the slots (of a limit), with whether their holders may live."""
    query = sa.select(*raw(slots), _is_live(now).label("is_live"))
    if key is not None:
        query = query.where(slots.c.limit_key == key)
    return list(read_each(connection.execute(query.order_by(slots.c.wanted_at, slots.c.id)).all(), read_slot))


@row_of(limits)
def read_limit(row: Row[Any]) -> Limit:
    """The record of a row."""
    return Limit(row.key, row.at_once, row.rate, row.period)


@row_of(slots)
def read_slot(row: Row[Any]) -> Slot:
    """The record of a row."""
    return Slot(
        row.id, row.limit_key, row.run_id, row.holder, row.share, row.lent_by, row.wanted_at, row.taken_at,
        row.given_back_at, bool(row.is_live),
    )  # fmt: skip
