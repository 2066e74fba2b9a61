"""Durable calls and signals: one statement each, which commits by itself and checks the lease as it writes."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.chunks import Blob, Supply
from evercell.core.errors import LeaseLost
from evercell.core.faults import reach
from evercell.core.records import Call, Lease, Signal
from evercell.store.checkpoints import blob_json, blob_of
from evercell.store.chunks import Chunks
from evercell.store.prepared import Prepared, insert_into
from evercell.store.schema import calls, heartbeats, leases, signals

_KEY = (calls.c.run_id, calls.c.step, calls.c.step_key, calls.c.key)


@cache
def _record(dialect: str) -> Prepared:
    """Insert a call where the lease is still held. A call that failed before may be recorded anew."""
    values = sa.select(*(sa.bindparam(f"new_{c.name}", type_=c.type).label(c.name) for c in calls.c)).where(
        sa.exists().where(leases.c.run_id == sa.bindparam("run"), leases.c.token == sa.bindparam("token"))
    )
    insert = insert_into(calls, dialect).from_select([c.name for c in calls.c], values)
    again = {c.name: insert.excluded[c.name] for c in calls.c if c not in _KEY}
    return Prepared(
        insert.on_conflict_do_update(index_elements=list(_KEY), set_=again, where=sa.not_(calls.c.ok))
    )


@cache
def _send(dialect: str) -> Prepared:
    """Insert a signal; the first one of its name stays."""
    return Prepared(insert_into(signals, dialect).on_conflict_do_nothing(), columns=signals.c.keys())


_REPLAYED = [c for c in calls.c if c.name not in ("run_id", "step", "step_key", "tries")]
_CALLS = sa.select(*_REPLAYED).where(
    calls.c.run_id == sa.bindparam("run"),
    calls.c.step == sa.bindparam("step"),
    calls.c.step_key == sa.bindparam("step_key"),
)


class Calls(Chunks):
    """The calls and signals of a store's runs."""

    # -- calls -----------------------------------------------------------------------------------

    def record_call(self, lease: Lease, call: Call, chunks: Supply) -> None:
        """Commit that a call ended. Raises `LeaseLost`; a call that returned is never overwritten."""
        reach("before_call_commit")
        if chunks.size:
            packed = self._pack(chunks)
            with self._direct_turn(lease) as turn:
                self._store_packed(turn, packed)
                _record(turn.connection.dialect.name).run(turn.connection, _values(lease, call))
        else:
            with self._direct.alone() as direct:
                written = _record(direct.dialect.name).run(direct, _values(lease, call)).rowcount
            if not written:
                self._explain_refusal(lease, call)
        reach("after_call_commit")

    def _explain_refusal(self, lease: Lease, call: Call) -> None:
        query = sa.select(leases.c.token).where(leases.c.run_id == lease.run_id)
        with self._reading() as connection:
            token = connection.execute(query).scalar()
        if token != lease.token:
            raise LeaseLost(
                f"Call {call.key} of step {call.step} was not recorded: another session took its run over.",
                hint="%branch keeps what this kernel has; %evercell takeover takes the run back.",
            )

    def calls(self, run_id: str, step: str, step_key: bytes) -> list[Call]:
        """The recorded calls of a step, in the order in which they began; their tries are left out."""
        parameters = {"run": run_id, "step": step, "step_key": step_key}
        with self._reading() as connection:
            rows = connection.execute(_CALLS, parameters).all()
        found = [_call(row, run_id, step, step_key) for row in rows]
        return sorted(found, key=lambda call: call.position)

    def calls_to_undo(self, run_id: str) -> list[Call]:
        """All calls of a run that can be undone, newest first."""
        query = sa.select(calls).where(calls.c.run_id == run_id, calls.c.undo.is_not(None), calls.c.ok)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(calls.c.ended_at.desc(), calls.c.position.desc())).all()
        return [_call(row, run_id, row.step, bytes(row.step_key)) for row in rows]

    def call_tries(self, run_id: str, step: str) -> dict[str, list[dict[str, Any]]]:
        """The tries of every call of a step, by the call's key."""
        query = sa.select(calls.c.key, calls.c.tries).where(calls.c.run_id == run_id, calls.c.step == step)
        with self._reading() as connection:
            return {row.key: row.tries for row in connection.execute(query)}

    # -- heartbeats ------------------------------------------------------------------------------

    def beat(self, lease: Lease, step: str, step_key: bytes, key: str, details: Any) -> None:
        """Commit a sign of life of a call, and how far it came (JSON). Raises `LeaseLost`."""
        row = {"run_id": lease.run_id, "step": step, "step_key": step_key, "key": key}
        with self._turn(lease.run_id, lease) as turn:
            insert = insert_into(heartbeats, turn.connection.dialect.name).values(
                **row, at=turn.now, details=details
            )
            again = {"at": insert.excluded.at, "details": insert.excluded.details}
            turn.connection.execute(insert.on_conflict_do_update(index_elements=list(row), set_=again))

    def heartbeat(self, run_id: str, step: str, step_key: bytes, key: str) -> Any:
        """What a call told last, None if it told nothing."""
        row = {"run_id": run_id, "step": step, "step_key": step_key, "key": key}
        query = sa.select(heartbeats.c.details).where(*(heartbeats.c[n] == value for n, value in row.items()))
        with self._reading() as connection:
            return connection.execute(query).scalar()

    # -- signals ---------------------------------------------------------------------------------

    def send_signal(self, signal: Signal) -> Signal:
        """Commit a signal; returns the one that the run has, which is an earlier one of that name if any."""
        with self._write() as connection:
            _send(connection.dialect.name).run(
                connection,
                {name: getattr(signal, name) for name in signals.c.keys()},  # noqa: SIM118
            )
        found = self.signal(signal.run_id, signal.name)
        return found if found is not None else signal

    def signal(self, run_id: str, name: str) -> Signal | None:
        """The signal of a name, None while there is none."""
        query = sa.select(signals).where(signals.c.run_id == run_id, signals.c.name == name)
        with self._reading() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return Signal(row.run_id, row.name, bytes(row.value), bytes(row.mac), row.sent_at, row.sent_by)


def _values(lease: Lease, call: Call) -> dict[str, Any]:
    blob = call.value if isinstance(call.value, Blob) else None
    return {
        "run": lease.run_id,
        "token": lease.token,
        "new_run_id": call.run_id,
        "new_step": call.step,
        "new_step_key": call.step_key,
        "new_key": call.key,
        "new_position": call.position,
        "new_name": call.name,
        "new_arguments": call.arguments,
        "new_ok": call.ok,
        "new_value": None if blob else call.value,
        "new_blob": blob_json(blob) if blob else None,
        "new_mac": call.mac,
        "new_tries": list(call.tries),
        "new_ended_at": call.ended_at,
        "new_undo": call.undo,
    }


def _call(row: Row[Any], run_id: str, step: str, step_key: bytes) -> Call:
    return Call(
        run_id=run_id,
        step=step,
        step_key=step_key,
        key=row.key,
        position=row.position,
        name=row.name,
        arguments=bytes(row.arguments),
        ok=row.ok,
        value=bytes(row.value) if row.value is not None else blob_of(row.blob),
        mac=bytes(row.mac),
        tries=(),
        ended_at=row.ended_at,
        undo=bytes(row.undo) if row.undo is not None else None,
    )
