"""Policies: what counts for a run stays with it, whatever is written elsewhere later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.errors import UsageError
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.policy import FrozenPolicy
from evercell.core.records import EventKind, Lease
from evercell.core.text import as_word
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import children, policies, runs


@asks_again
class Policies:
    """The frozen policies of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def above(self, run_id: str) -> Found[FrozenPolicy]:
        """What is frozen in a run, in those that it branched from, and in those that started it; released or not."""
        with self._database.reading() as connection:
            if connection.execute(sa.select(policies.c.run_id).limit(1)).first() is None:
                return Found()
            line = _line_of(connection, run_id)
            query = sa.select(*raw(policies)).where(policies.c.run_id.in_(line))
            rows = connection.execute(query.order_by(policies.c.frozen_at, policies.c.digest)).all()
        return read_each(rows, read_frozen)

    def freeze(self, lease: Lease, found: Sequence[FrozenPolicy]) -> None:
        """Commit that these count for the run from now on. Raises `LeaseLost`."""
        reach("before_policy_commit")
        with self._database.run_transaction(lease.run_id, lease) as transaction:
            for one in found:
                here = policies.c.run_id == lease.run_id, policies.c.digest == one.digest
                transaction.connection.execute(sa.delete(policies).where(*here))
                row = {name: getattr(one, name) for name in ("digest", "content", "mac", "origin")}
                transaction.connection.execute(
                    sa.insert(policies), {**row, "run_id": lease.run_id, "frozen_at": transaction.now}
                )
                said = {"digest": one.digest.hex(), "origin": one.origin}
                transaction.append_event(EventKind.POLICY_FROZEN, said)
        reach("after_policy_commit")

    def release(self, run_id: str, digest: bytes, *, by: str) -> None:
        """Commit that a policy counts no more for a run, unless it is written where the run is executed.

        Raises `UsageError` where it does not count now.
        """
        with self._database.run_transaction(run_id) as transaction:
            held = sa.and_(
                policies.c.run_id == run_id, policies.c.digest == digest, policies.c.released_at.is_(None)
            )
            released = {"released_at": transaction.now, "released_by": by}
            if not transaction.connection.execute(
                sa.update(policies).where(held).values(**released)
            ).rowcount:
                raise UsageError(
                    f"Run {transaction.row.name} has no policy {digest.hex()[:16]} that counts.",
                    hint=f"`evercell policy show {as_word(transaction.row.name)}` lists them.",
                )
            said = {"digest": digest.hex(), "by": by}
            transaction.append_event(EventKind.POLICY_RELEASED, said)


def _line_of(connection: Connection, run_id: str) -> list[str]:
    """The run, those that it branched from, those that started it, and so on for each of these."""
    found, waiting = [run_id], [run_id]
    while waiting:
        one = waiting.pop()
        branched = sa.select(runs.c.parent).where(runs.c.id == one)
        started = sa.select(children.c.parent_id).where(children.c.run_id == one)
        above = [connection.execute(query).scalar() for query in (branched, started)]
        new = [run for run in above if run is not None and run not in found]
        found += new
        waiting += new
    return found


@row_of(policies)
def read_frozen(row: Row[Any]) -> FrozenPolicy:
    """The record of a row."""
    return FrozenPolicy(
        row.run_id, bytes(row.digest), row.content, bytes(row.mac), row.frozen_at, row.origin,
        row.released_at, row.released_by,
    )  # fmt: skip
