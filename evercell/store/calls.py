"""Durable calls: one statement each, which commits by itself and checks the lease as it writes."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.engine.default import DefaultDialect

from evercell.core.chunks import Blob, Supply, blob_from_json, blob_to_json
from evercell.core.errors import LeaseLost, UsageError
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.records import Call, Lease
from evercell.store.column_types import JsonText, Moment
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.packs import PackWriter
from evercell.store.prepared import Prepared, insert_into
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import calls, heartbeats, leases

_KEY = (calls.c.run_id, calls.c.step, calls.c.step_key, calls.c.key)


@cache
def _record(dialect: str) -> Prepared:
    """Insert a call where the lease is still held. One that failed, or is to be replaced, may be recorded anew.

    On PostgreSQL the lease's row is locked against a take-over until the call is in: whichever comes first, holds.
    """
    held = sa.select(leases.c.token).where(
        leases.c.run_id == sa.bindparam("run"), leases.c.token == sa.bindparam("token")
    )
    values = sa.select(*(sa.bindparam(f"new_{c.name}", type_=c.type).label(c.name) for c in calls.c)).where(
        held.with_for_update(read=True, key_share=True).exists()
    )
    insert = insert_into(calls, dialect).from_select([c.name for c in calls.c], values)
    again = {c.name: insert.excluded[c.name] for c in calls.c if c not in _KEY}
    may_change = sa.or_(sa.not_(calls.c.ok), calls.c.mac == sa.bindparam("replaced", type_=calls.c.mac.type))
    return Prepared(insert.on_conflict_do_update(index_elements=list(_KEY), set_=again, where=may_change))


_CALLS = sa.select(*raw(calls)).where(
    calls.c.run_id == sa.bindparam("run"),
    calls.c.step == sa.bindparam("step"),
    calls.c.step_key == sa.bindparam("step_key"),
)


_LISTED = sa.select(
    *raw(calls, [c for c in calls.c if c.name not in ("arguments", "value", "mac", "undo")]),
    sa.func.length(calls.c.value).label("value_size"),
)
_TRIES, _ENDED_AT, _NO_DIALECT = JsonText(), Moment(), DefaultDialect()


@asks_again
class Calls:
    """The durable calls of a store's runs."""

    def __init__(self, database: Database, packs: PackWriter) -> None:
        self._database = database
        self._packs = packs

    def record(self, lease: Lease, call: Call, chunks: Supply, *, replaced: bytes = b"") -> None:
        """Commit that a call ended. A call that returned is not overwritten, but for the one of the mac ``replaced``.

        Raises `LeaseLost`, and `UsageError` where another call of this key returned something else before.
        """
        reach("before_call_commit")
        values = _values(lease, call, replaced)
        if chunks.size:
            with self._packs.packed(chunks) as packs, self._database.direct_transaction(lease) as transaction:
                packs.insert(transaction)
                direct = transaction.connection
                written = _record(direct.dialect.name).run(direct, values).rowcount
        else:
            with self._database.direct.autocommit() as direct:
                written = _record(direct.dialect.name).run(direct, values).rowcount
        if not written:
            self._explain_refusal(lease, call)
        reach("after_call_commit")

    def _explain_refusal(self, lease: Lease, call: Call) -> None:
        """Raise where the call is not in the store now as this session had it."""
        key = {"run_id": call.run_id, "step": call.step, "step_key": call.step_key, "key": call.key}
        recorded = sa.select(calls.c.mac).where(*(calls.c[name] == value for name, value in key.items()))
        query = sa.select(leases.c.token).where(leases.c.run_id == lease.run_id)
        with self._database.reading() as connection:
            token = connection.execute(query).scalar()
            found = connection.execute(recorded).scalar()
        if token != lease.token:
            raise LeaseLost(
                f"Call {call.key} of step {call.step} was not recorded: another session took its run over.",
                hint="%branch keeps what this kernel has; %evercell takeover takes the run back.",
            )
        if found is not None and bytes(found) != call.mac:
            raise UsageError(
                f"Call {call.key} of step {call.step} ended, but another call of the same key ended before it with "
                "another result, which holds.",
                hint="Calls that run at once need keys of their own: key=...",
            )

    def of_step(self, run_id: str, step: str, step_key: bytes) -> Found[Call]:
        """The recorded calls of a step, in the order in which they began."""
        parameters = {"run": run_id, "step": step, "step_key": step_key}
        with self._database.reading() as connection:
            rows = connection.execute(_CALLS, parameters).all()
        found = read_each(rows, read_whole_call)
        return Found([*sorted(found, key=lambda call: call.position), *found.damaged])

    def beside(self, run_id: str, step: str, step_key: bytes) -> Found[Call]:
        """The calls of a step when it had another code or other inputs."""
        query = sa.select(*raw(calls)).where(calls.c.run_id == run_id, calls.c.step == step)
        with self._database.reading() as connection:
            return read_each(
                connection.execute(query.where(calls.c.step_key != step_key)).all(), read_whole_call
            )

    def undoable(self, run_id: str) -> Found[Call]:
        """All calls of a run that can be undone, newest first."""
        query = sa.select(*raw(calls)).where(calls.c.run_id == run_id, calls.c.undo.is_not(None), calls.c.ok)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(calls.c.ended_at.desc(), calls.c.position.desc())).all()
        return read_each(rows, read_whole_call)

    def tries(self, run_id: str, step: str) -> dict[str, list[dict[str, Any]]]:
        """The tries of every call of a step, by the call's key."""
        query = sa.select(*raw(calls)).where(calls.c.run_id == run_id, calls.c.step == step)
        with self._database.reading() as connection:
            return dict(_read_tries(row) for row in connection.execute(query).all())

    def listed(self, run_id: str, *, step: str | None = None, limit: int | None = None) -> Found[Call]:
        """The calls of a run (of one step), with their tries, as they ended; of their values only the sizes.

        With a ``limit`` the newest ones.
        """
        query = _LISTED.where(calls.c.run_id == run_id)
        if step is not None:
            query = query.where(calls.c.step == step)
        with self._database.reading() as connection:
            rows = connection.execute(
                query.order_by(sa.type_coerce(calls.c.ended_at, sa.BigInteger).desc()).limit(limit)
            ).all()
        return read_each(reversed(rows), read_listed_call)

    def extent(self, run_id: str) -> tuple[int, int]:
        """How many calls a run has, and when the newest ended (microseconds): another pair, another timeline."""
        query = sa.select(sa.func.count(), sa.func.max(sa.type_coerce(calls.c.ended_at, sa.BigInteger)))
        with self._database.reading() as connection:
            count, newest = connection.execute(query.where(calls.c.run_id == run_id)).one()
        return int(count), newest if isinstance(newest, int) else 0

    # -- heartbeats ------------------------------------------------------------------------------

    def record_heartbeat(self, lease: Lease, step: str, step_key: bytes, key: str, details: Any) -> None:
        """Commit that a call is alive, and its progress (JSON). Raises `LeaseLost`."""
        row = {"run_id": lease.run_id, "step": step, "step_key": step_key, "key": key}
        with self._database.run_transaction(lease.run_id, lease) as transaction:
            insert = insert_into(heartbeats, transaction.connection.dialect.name).values(
                **row, at=transaction.now, details=details
            )
            again = {"at": insert.excluded.at, "details": insert.excluded.details}
            transaction.connection.execute(insert.on_conflict_do_update(index_elements=list(row), set_=again))

    def last_heartbeat(self, run_id: str, step: str, step_key: bytes, key: str) -> Any:
        """The details of a call's last heartbeat, None without one."""
        row = {"run_id": run_id, "step": step, "step_key": step_key, "key": key}
        query = sa.select(*raw(heartbeats)).where(*(heartbeats.c[n] == value for n, value in row.items()))
        with self._database.reading() as connection:
            found = connection.execute(query).first()
        return read_heartbeat(found) if found is not None else None


def _values(lease: Lease, call: Call, replaced: bytes) -> dict[str, Any]:
    blob = call.value if isinstance(call.value, Blob) else None
    return {
        "run": lease.run_id,
        "token": lease.token,
        "replaced": replaced,
        "new_run_id": call.run_id,
        "new_step": call.step,
        "new_step_key": call.step_key,
        "new_key": call.key,
        "new_position": call.position,
        "new_name": call.name,
        "new_arguments": call.arguments,
        "new_ok": call.ok,
        "new_value": None if blob else call.value,
        "new_blob": blob_to_json(blob) if blob else None,
        "new_mac": call.mac,
        "new_tries": list(call.tries),
        "new_ended_at": call.ended_at,
        "new_undo": call.undo,
    }


@row_of(heartbeats)
def read_heartbeat(row: Row[Any]) -> Any:
    """The details in a row."""
    return row.details


@row_of(calls)
def _read_tries(row: Row[Any]) -> tuple[str, list[dict[str, Any]]]:
    if not all(isinstance(one, dict) for one in row.tries):
        raise TypeError("its tries are no list of JSON objects")
    return row.key, row.tries


def read_listed_call(row: Any) -> Call:
    """The record of a row without arguments, value and signature; of the value it has the size."""
    with suppress(ValueError, TypeError):
        return _read_plain(row)
    return _read_listed(row, row.value_size)


_PLAIN = (str, str, bytes, str, int, str)
"""Types of the columns from the run's id to the call's name."""


def _read_plain(row: Any) -> Call:
    """The record of a row that is as nearly all are: to check each column by itself takes ten times as long, and
    there are thousands of rows. Raises `ValueError` or `TypeError` for any other.
    """
    *plain, ok, blob, tries, ended_at, size = row
    made = _TRIES.process_result_value(tries, _NO_DIALECT)
    ended = _ENDED_AT.process_result_value(ended_at, _NO_DIALECT)
    if (
        tuple(map(type, plain)) != _PLAIN or ok not in (0, 1) or blob is not None or type(size) is not int
        or ended is None or type(made) is not list or not all(type(one) is dict for one in made)
    ):  # fmt: skip
        raise ValueError("it is another one")
    run_id, step, step_key, key, position, name = plain
    return Call(
        run_id, step, step_key, key, position, name, b"", bool(ok), Blob(size), b"", tuple(made), ended
    )


@row_of(calls)
def _read_listed(row: Row[Any], size: Any) -> Call:
    blob = blob_from_json(row.blob) if row.blob is not None else Blob(int(size or 0))
    if not all(isinstance(one, dict) for one in row.tries):
        raise TypeError("its tries are no list of JSON objects")
    return Call(
        row.run_id, row.step, row.step_key, row.key, row.position, row.name, b"", row.ok, Blob(blob.size), b"",
        tuple(row.tries), row.ended_at,
    )  # fmt: skip


@row_of(calls)
def read_whole_call(row: Row[Any]) -> Call:
    """The record of a row. What its tries say that are none is no reason to make the call again."""
    tries = row.tries if isinstance(row.tries, list) else []
    return Call(
        run_id=row.run_id,
        step=row.step,
        step_key=row.step_key,
        key=row.key,
        position=row.position,
        name=row.name,
        arguments=bytes(row.arguments),
        ok=row.ok,
        value=bytes(row.value) if row.value is not None else blob_from_json(row.blob),
        mac=bytes(row.mac),
        tries=tuple(one for one in tries if isinstance(one, dict)),
        ended_at=row.ended_at,
        undo=bytes(row.undo) if row.undo is not None else None,
    )
