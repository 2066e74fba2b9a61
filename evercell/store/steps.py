"""Steps and their attempts: begun, failed, completed. A completion is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.chunks import Blob, Supply, blob_from_json, blob_to_json
from evercell.core.errors import ContentCollected, RunPaused
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.ids import new_id
from evercell.core.records import (
    Attempt,
    Checkpoint,
    CheckpointDraft,
    ErrorRecord,
    EventKind,
    Lease,
    Step,
)
from evercell.core.statuses import ENDED, PAUSE, AttemptStatus, RunStatus
from evercell.core.text import as_word
from evercell.store.checkpoints import checkpoint_values, committed, read_checkpoint
from evercell.store.database import Database
from evercell.store.mission_states import refuse_closed
from evercell.store.outages import asks_again, is_asked_again
from evercell.store.packs import PackWriter
from evercell.store.prepared import Direct, Prepared, insert_into
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_transaction import RunTransaction
from evercell.store.runs import change_status, request_of
from evercell.store.schema import attempts, checkpoints, collected, steps

_NEW_STEP = {
    "run_id": sa.bindparam("run"),
    "name": sa.bindparam("step"),
    "position": sa.bindparam("seq"),
    "cell_id": sa.bindparam("cell"),
    "attempts": 1,
}


@cache
def _count_attempt(dialect: str) -> Prepared:
    """Insert the step, or count one attempt more; returns how many there are now."""
    insert = insert_into(steps, dialect).values(_NEW_STEP)
    counted = {"attempts": steps.c.attempts + 1, "cell_id": insert.excluded.cell_id}
    keys = [steps.c.run_id, steps.c.name]
    return Prepared(
        insert.on_conflict_do_update(index_elements=keys, set_=counted).returning(steps.c.attempts)
    )


_BEGUN = ("id", "run_id", "step", "number", "status", "key", "token", "started_at")
_INSERT_ATTEMPT = Prepared(sa.insert(attempts), columns=_BEGUN)
_INSERT_CHECKPOINT = Prepared(sa.insert(checkpoints), columns=checkpoints.c.keys())
_FIND_WHOLE = Prepared(
    sa.select(checkpoints.c.id).where(
        checkpoints.c.id == sa.bindparam("checkpoint"),
        ~sa.exists().where(collected.c.checkpoint_id == checkpoints.c.id),
    )
)
_END_ATTEMPT = Prepared(
    sa.update(attempts)
    .where(attempts.c.id == sa.bindparam("attempt"))
    .values(
        status=sa.bindparam("new_status"),
        ended_at=sa.bindparam("now", type_=attempts.c.ended_at.type),
        error=sa.bindparam("new_error", type_=attempts.c.error.type),
        outputs=sa.bindparam("new_outputs", type_=attempts.c.outputs.type),
    )
)


@asks_again
class Steps:
    """The steps of a store's runs, and their attempts."""

    def __init__(self, database: Database, packs: PackWriter) -> None:
        self._database = database
        self._packs = packs
        self._latest: tuple[str, str] | None = None
        """Session and checkpoint of the last commit."""

    def begin(
        self,
        lease: Lease,
        *,
        step: str,
        cell_id: str | None,
        key: bytes,
        line: str = "",
        is_first: bool = True,
        synchronous: bool = True,
        attempt_id: str | None = None,
    ) -> Attempt:
        """Commit that an attempt at a step begins. The run counts as running from here on.

        ``line``: the first one of the step's source.
        With ``synchronous=False`` a power cut may undo it, which is harmless where the step executes again anyway.
        Asked again with the same ``attempt_id``, it begins once.
        Raises `LeaseLost`, and `RunPaused` before the first attempt (a step under way comes to its end).
        """
        if attempt_id is not None and is_asked_again() and (begun := self._attempt(attempt_id)):
            return begun
        reach("before_start")
        with self._database.direct_transaction(lease, synchronous=synchronous) as transaction:
            if is_first:
                _refuse_paused(transaction)
            number = self._count_attempt(transaction, step, cell_id)
            attempt = Attempt(
                attempt_id or new_id(),
                lease.run_id,
                step,
                number,
                AttemptStatus.RUNNING,
                key,
                lease.token,
                transaction.now,
            )
            _INSERT_ATTEMPT.run(
                transaction.connection,
                {
                    "id": attempt.id,
                    "run_id": attempt.run_id,
                    "step": step,
                    "number": number,
                    "status": "running",
                    "key": key,
                    "token": lease.token,
                    "started_at": transaction.now,
                },
            )
            change_status(transaction, RunStatus.RUNNING)
            started = {"step": step, "attempt": number, "key": key.hex()} | ({"line": line} if line else {})
            transaction.append_event(EventKind.ATTEMPT_STARTED, started)
        reach("after_start")
        return attempt

    def _attempt(self, attempt_id: str) -> Attempt | None:
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*raw(attempts)).where(attempts.c.id == attempt_id)).first()
            return read_attempt(row) if row is not None else None

    def _count_attempt(self, transaction: RunTransaction[Direct], step: str, cell_id: str | None) -> int:
        values = {
            "run": transaction.row.id,
            "step": step,
            "cell": cell_id,
            "seq": transaction.row.journal_seq + 1,
        }
        statement = _count_attempt(transaction.connection.dialect.name)
        return int(statement.run(transaction.connection, values).fetchone()[0])

    def fail(
        self,
        lease: Lease,
        attempt: Attempt,
        *,
        status: AttemptStatus,
        error: ErrorRecord | None,
        outputs: Blob,
        chunks: Supply,
        calls: Mapping[str, Any] | None = None,
    ) -> None:
        """Commit that an attempt failed or was interrupted, with what it showed. Raises `LeaseLost`."""
        if is_asked_again() and (ended := self._attempt(attempt.id)) and ended.status is status:
            return
        shown = {"ename": error.ename, "evalue": error.evalue[:2000]} if error else {}
        stored = {**shown, "traceback": list(error.traceback)} if error else None
        kinds = {AttemptStatus.INTERRUPTED: EventKind.ATTEMPT_INTERRUPTED}
        with self._packs.packed(chunks) as packs, self._database.direct_transaction(lease) as transaction:
            packs.insert(transaction)
            self._end_attempt(transaction, attempt, status, error=stored, outputs=blob_to_json(outputs))
            transaction.append_event(
                kinds.get(status, EventKind.ATTEMPT_FAILED),
                {"step": attempt.step, "attempt": attempt.number, **shown, **(calls or {})},
            )

    def complete(
        self,
        lease: Lease,
        attempt: Attempt | None,
        draft: CheckpointDraft,
        *,
        calls: Mapping[str, Any] | None = None,
        may_be_there: bool = False,
        seal: Callable[[Checkpoint], bytes] | None = None,
    ) -> Checkpoint:
        """Commit outputs, state and completion, and move the run's head, in one transaction.

        ``calls`` goes into the journal's entry: how many durable calls the step made, and a digest of them.
        ``seal`` signs the row once its number is known.

        The chunks are on disk before it begins to commit; without the commit nothing names them. ``may_be_there``:
        it may have been committed before, though nobody was told.
        Without an attempt the checkpoint repeats ``draft.origin``: a replay carried onto this head (the run counts
        as running from here on), or what changed after the step.
        Raises `LeaseLost` with nothing changed where another session took the run over.
        """
        if (may_be_there or is_asked_again()) and (done := self._checkpoint(draft.id)):
            return done
        with (
            self._packs.packed(draft.chunks) as packs,
            self._database.direct_transaction(lease) as transaction,
        ):
            packs.insert(transaction)
            if RunStatus(transaction.row.status) in ENDED:
                refuse_closed(transaction)
            self._require_base(transaction, lease, draft)
            if attempt is not None:
                self._end_attempt(transaction, attempt, AttemptStatus.COMPLETED)
            kind = _kind(attempt, draft)
            data: dict[str, Any] = {"step": draft.step, "checkpoint": draft.id, "mac": draft.mac.hex()}
            data |= {"attempt": attempt.number} if attempt else {"carried": draft.origin}
            data |= calls or {}
            if kind is EventKind.STEP_REPLAYED:
                change_status(transaction, RunStatus.RUNNING)
            seq = transaction.append_event(kind, data)
            checkpoint = committed(draft, transaction, seq, attempt)
            if seal is not None:
                checkpoint = replace(checkpoint, seal=seal(checkpoint))
            _INSERT_CHECKPOINT.run(transaction.connection, checkpoint_values(checkpoint))
            transaction.changes["head"] = draft.id
            transaction.finish()
            reach("after_chunks_before_commit")
        self._latest = (lease.session_id, draft.id)
        reach("after_commit_before_reply")
        return checkpoint

    def _require_base(
        self, transaction: RunTransaction[Direct], lease: Lease, draft: CheckpointDraft
    ) -> None:
        """Raise `ContentCollected` where what a draft builds on is gone. (What was committed last under the same lease
        is not.)
        """
        if draft.base is None or (lease.session_id, draft.base) == self._latest:
            return
        if _FIND_WHOLE.run(transaction.connection, {"checkpoint": draft.base}).fetchone() is None:
            error = ContentCollected(
                f"Step {draft.step} builds on checkpoint {draft.base}, which `evercell gc` removed meanwhile; nothing "
                "was committed.",
                hint="Run the cell again: all that is in memory is saved anew.",
            )
            error.has_lost_base = True
            raise error

    def _checkpoint(self, checkpoint_id: str) -> Checkpoint | None:
        with self._database.reading() as connection:
            row = connection.execute(
                sa.select(*raw(checkpoints)).where(checkpoints.c.id == checkpoint_id)
            ).first()
            return read_checkpoint(row) if row is not None else None

    def _end_attempt(
        self,
        transaction: RunTransaction[Direct],
        attempt: Attempt,
        status: AttemptStatus,
        *,
        error: Mapping[str, Any] | None = None,
        outputs: list[Any] | None = None,
    ) -> None:
        _END_ATTEMPT.run(
            transaction.connection,
            {
                "attempt": attempt.id,
                "new_status": str(status),
                "now": transaction.now,
                "new_error": error,
                "new_outputs": outputs,
            },
        )

    def record_replay(self, lease: Lease, checkpoint: Checkpoint, *, move_head: bool) -> None:
        """Commit that a step was replayed; ``move_head`` makes its checkpoint the run's head."""
        with self._database.direct_transaction(lease) as transaction:
            change_status(transaction, RunStatus.RUNNING)
            transaction.append_event(
                EventKind.STEP_REPLAYED,
                {"step": checkpoint.step, "checkpoint": checkpoint.id, "head": move_head},
            )
            if move_head:
                transaction.changes["head"] = checkpoint.id

    # -- reading ---------------------------------------------------------------------------------

    def of_run(self, run_id: str) -> Found[Step]:
        """The steps that were attempted in a run, in order of their first attempt."""
        query = sa.select(*raw(steps)).where(steps.c.run_id == run_id).order_by(steps.c.position)
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_step)

    def progress(self, run_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
        """By run, how many of its steps completed at least once, and how many were attempted."""
        is_done = sa.case((attempts.c.status == str(AttemptStatus.COMPLETED), attempts.c.step))
        counts = [
            attempts.c.run_id,
            sa.func.count(is_done.distinct()),
            sa.func.count(attempts.c.step.distinct()),
        ]
        query = sa.select(*counts).where(attempts.c.run_id.in_(run_ids)).group_by(attempts.c.run_id)
        with self._database.reading() as connection:
            return {run_id: (done, begun) for run_id, done, begun in connection.execute(query)}

    def newest(self, run_ids: Sequence[str]) -> dict[str, Attempt]:
        """By run, the attempt that began last; of those that can be read."""
        begun = sa.type_coerce(attempts.c.started_at, sa.BigInteger)
        last = (
            sa.select(attempts.c.run_id, sa.func.max(begun).label("begun"))
            .where(attempts.c.run_id.in_(run_ids))
            .group_by(attempts.c.run_id)
            .subquery()
        )
        query = sa.select(*raw(attempts)).join(
            last, (attempts.c.run_id == last.c.run_id) & (begun == last.c.begun)
        )
        with self._database.reading() as connection:
            found = read_each(connection.execute(query).all(), read_attempt)
        return {attempt.run_id: attempt for attempt in found}

    def is_under_way(self, run_id: str) -> bool:
        """Whether an attempt at a step of the run began and has not ended."""
        running = (attempts.c.run_id == run_id) & (attempts.c.status == str(AttemptStatus.RUNNING))
        with self._database.reading() as connection:
            return connection.execute(sa.select(attempts.c.id).where(running).limit(1)).first() is not None

    def attempts(self, run_id: str, *, step: str | None = None) -> Found[Attempt]:
        """The attempts of a run (at one step), oldest first."""
        query = sa.select(*raw(attempts)).where(attempts.c.run_id == run_id)
        if step is not None:
            query = query.where(attempts.c.step == step)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(attempts.c.started_at, attempts.c.number)).all()
            return read_each(rows, read_attempt)


def _kind(attempt: Attempt | None, draft: CheckpointDraft) -> EventKind:
    if attempt is not None:
        return EventKind.STEP_COMPLETED
    return EventKind.STATE_CHANGED if draft.late else EventKind.STEP_REPLAYED


def _refuse_paused(transaction: RunTransaction[Direct]) -> None:
    request = request_of(transaction.row)
    if request is not None and request.what == PAUSE:
        name = transaction.row.name
        raise RunPaused(
            f"Run {name} was paused by {request.by}.",
            hint=f"To go on: %unpause, or evercell unpause {as_word(name)}.",
        )


@row_of(steps)
def read_step(row: Row[Any]) -> Step:
    """The record of a row."""
    return Step(row.run_id, row.name, row.position, row.cell_id, row.attempts)


@row_of(attempts)
def read_attempt(row: Row[Any]) -> Attempt:
    """The record of a row."""
    error = row.error
    return Attempt(
        id=row.id, run_id=row.run_id, step=row.step, number=row.number, status=AttemptStatus(row.status),
        key=row.key, token=row.token, started_at=row.started_at, ended_at=row.ended_at,
        error=ErrorRecord(error["ename"], error["evalue"], tuple(error["traceback"])) if error else None,
        outputs=blob_from_json(row.outputs) if row.outputs else Blob(0),
    )  # fmt: skip
