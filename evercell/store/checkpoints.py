"""Checkpoints: found by what a run sees, and walked along their parents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.chunks import blob_from_json, blob_to_json
from evercell.core.errors import RowDamaged, StepNotFound
from evercell.core.found import Found
from evercell.core.records import Attempt, Checkpoint, CheckpointDraft
from evercell.core.statuses import AttemptStatus
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.prepared import Direct
from evercell.store.rows import raw, read_each, row_damaged, row_of
from evercell.store.run_transaction import RunTransaction
from evercell.store.runs import Lineage
from evercell.store.schema import attempts, checkpoints, collected

_BY_ID = sa.select(*raw(checkpoints)).where(checkpoints.c.id == sa.bindparam("id"))


_COLUMNS = checkpoints.c.keys()
_LISTED = [column for column in checkpoints.c if column.name not in ("manifest", "source")]
_BATCH = 50

IS_WHOLE = ~sa.exists().where(collected.c.checkpoint_id == checkpoints.c.id)
"""Not of those whose row stays, since others build on it, though nobody gets its content any more."""

_AT_ONCE = 500
"""Bound values of one query."""


# (put together once: to do so takes as long as to execute them)
_OF_RUN = (
    sa.select(*raw(checkpoints, _LISTED))
    .where(checkpoints.c.run_id == sa.bindparam("run"))
    .order_by(checkpoints.c.seq)
)
_OF_RUN_UNTIL = _OF_RUN.where(checkpoints.c.seq <= sa.bindparam("cut"))
_DONE = sa.select(
    *raw(
        attempts,
        [attempts.c[name] for name in ("id", "run_id", "step", "number", "status", "key", "ended_at")],
    )
).where(attempts.c.run_id == sa.bindparam("run"), attempts.c.status == str(AttemptStatus.COMPLETED))
_MADE_BY = sa.select(*raw(checkpoints, [checkpoints.c.attempt_id])).where(
    checkpoints.c.run_id == sa.bindparam("run")
)


def _ancestors() -> sa.Select[Any]:
    start = sa.select(checkpoints.c.id, checkpoints.c.parent, sa.literal(0).label("age"))
    path = start.where(checkpoints.c.id == sa.bindparam("id")).cte("path", recursive=True)
    further = sa.select(checkpoints.c.id, checkpoints.c.parent, path.c.age + 1)
    path = path.union_all(further.join(path, checkpoints.c.id == path.c.parent))
    return sa.select(path.c.id).order_by(path.c.age)


ANCESTORS = _ancestors()
"""The id of a checkpoint and those of its parents."""


@asks_again
class Checkpoints:
    """The checkpoints of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, checkpoint_id: str) -> Checkpoint:
        """One checkpoint; raises `StepNotFound` where the store has none of this id."""
        with self._database.reading() as connection:
            row = connection.execute(_BY_ID, {"id": checkpoint_id}).first()
        if row is None:
            raise StepNotFound(
                f"There is no checkpoint {checkpoint_id} in {self._database.url}.",
                hint="`evercell show RUN` lists the steps of a run.",
            )
        return read_checkpoint(row)

    def visible(self, lineage: Lineage) -> Found[Checkpoint]:
        """All checkpoints that a run sees, oldest first, without their manifests (``b""``)."""
        rows: list[Row[Any]] = []
        with self._database.reading() as connection:
            for run_id, cut in reversed(lineage.cuts):
                if cut is None:
                    rows += connection.execute(_OF_RUN, {"run": run_id}).all()
                else:
                    rows += connection.execute(_OF_RUN_UNTIL, {"run": run_id, "cut": cut}).all()
        return read_each(rows, read_listed_checkpoint)

    def missing(self, run_id: str) -> list[RowDamaged]:
        """Attempts that completed, and whose checkpoints are not among those of the run."""
        with self._database.reading() as connection:
            known = set(connection.execute(_MADE_BY, {"run": run_id}).scalars())
            rows = [row for row in connection.execute(_DONE, {"run": run_id}).all() if row.id not in known]
        return [_checkpoint_missing(row) for row in rows]

    def newest(self, run_id: str) -> Checkpoint | None:
        """The newest checkpoint that a run made, without its manifest and source; None: it made none."""
        return next(self.before(run_id, None), None)

    def before(self, run_id: str, seq: int | None) -> Iterator[Checkpoint]:
        """Those that a run made up to a number, the newest first; those that cannot be read are left out."""
        while True:
            query = sa.select(*raw(checkpoints, _LISTED)).where(checkpoints.c.run_id == run_id)
            if seq is not None:
                query = query.where(checkpoints.c.seq <= seq)
            with self._database.reading() as connection:
                rows = connection.execute(query.order_by(checkpoints.c.seq.desc()).limit(_BATCH)).all()
            yield from read_each(rows, read_listed_checkpoint)
            if len(rows) < _BATCH:
                return
            seq = rows[-1].seq - 1

    def after(self, run_id: str, seq: int) -> Found[Checkpoint]:
        """The first checkpoint that a run made beyond a number, if it can be read."""
        query = sa.select(*raw(checkpoints, _LISTED)).where(
            checkpoints.c.run_id == run_id, checkpoints.c.seq > seq
        )
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(checkpoints.c.seq).limit(1)).all()
        return read_each(rows, read_listed_checkpoint)

    def beginnings(self, checkpoint_ids: Sequence[str], *, length: int = 400) -> dict[str, str]:
        """By id, how their sources begin; what is no text any more is shown as such."""
        found: dict[str, str] = {}
        with self._database.reading() as connection:
            source: Any = checkpoints.c.source
            if connection.dialect.name == "sqlite":  # whose driver refuses a damaged text
                source = sa.cast(source, sa.LargeBinary)
            query = sa.select(checkpoints.c.id, sa.func.substr(source, 1, length))
            for start in range(0, len(checkpoint_ids), _AT_ONCE):
                some = checkpoint_ids[start : start + _AT_ONCE]
                rows = connection.execute(query.where(checkpoints.c.id.in_(some))).all()
                found |= {row[0]: _as_text(row[1]) for row in rows}
        return found

    def steps_of(self, checkpoint_ids: Sequence[str]) -> dict[str, tuple[str, int]]:
        """By id, the step that a checkpoint is of and its number in its run; of those that can be read."""
        found: dict[str, tuple[str, int]] = {}
        columns = [checkpoints.c.id, checkpoints.c.step, checkpoints.c.seq]
        with self._database.reading() as connection:
            query = sa.select(*raw(checkpoints, columns))
            for start in range(0, len(checkpoint_ids), _AT_ONCE):
                some = checkpoint_ids[start : start + _AT_ONCE]
                rows = connection.execute(query.where(checkpoints.c.id.in_(some))).all()
                found |= {row[0]: (row[1], row[2]) for row in read_each(rows, _read_place)}
        return found

    def counts(self, run_ids: Sequence[str]) -> dict[str, list[int]]:
        """By run, the numbers of the checkpoints that its steps made when they executed, ascending."""
        found: dict[str, list[int]] = {}
        query = sa.select(*raw(checkpoints, [checkpoints.c.run_id, checkpoints.c.seq]))
        with self._database.reading() as connection:
            for start in range(0, len(run_ids), _AT_ONCE):
                some = run_ids[start : start + _AT_ONCE]
                here = query.where(checkpoints.c.run_id.in_(some), checkpoints.c.origin.is_(None), IS_WHOLE)
                for run_id, seq in connection.execute(here.order_by(checkpoints.c.run_id, checkpoints.c.seq)):
                    found.setdefault(run_id, []).append(seq)
        return found

    def run_with_code(self, run_ids: Sequence[str], slot: str, source_hash: bytes) -> str | None:
        """One of these runs that executed a step with this code to its end, the latest first; None if none did."""
        query = (
            sa.select(checkpoints.c.run_id)
            .where(checkpoints.c.slot == slot, checkpoints.c.source_hash == source_hash)
            .where(checkpoints.c.origin.is_(None), checkpoints.c.run_id.in_(run_ids[:_AT_ONCE]))
            .order_by(checkpoints.c.created_at.desc())
        )
        with self._database.reading() as connection:
            found = connection.execute(query.limit(1)).scalar()
        return str(found) if found is not None else None

    def ancestors(self, checkpoint_id: str) -> list[str]:
        """The checkpoint's id and those of its parents, newest first."""
        with self._database.reading() as connection:
            return list(connection.execute(ANCESTORS, {"id": checkpoint_id}).scalars())


def _as_text(value: Any) -> str:
    return (
        bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value or "")
    )


def committed(
    draft: CheckpointDraft, transaction: RunTransaction[Direct], seq: int, attempt: Attempt | None
) -> Checkpoint:
    """What becomes of a draft in a transaction that has journalled it."""
    return Checkpoint(
        id=draft.id,
        run_id=transaction.row.id,
        seq=seq,
        parent=draft.parent,
        step=draft.step,
        slot=draft.slot,
        key=draft.key,
        origin=draft.origin,
        attempt_id=attempt.id if attempt else None,
        source=draft.source,
        source_hash=draft.source_hash,
        inputs=dict(draft.inputs),
        outputs=draft.outputs,
        manifest=draft.manifest,
        mac=draft.mac,
        seconds=draft.seconds,
        created_at=transaction.now,
        entry=transaction.digest,
    )


def checkpoint_values(checkpoint: Checkpoint) -> dict[str, Any]:
    """The row of a record."""
    values = {name: getattr(checkpoint, name) for name in _COLUMNS}
    return {**values, "outputs": blob_to_json(checkpoint.outputs)}


def checkpoint_of(values: dict[str, Any]) -> Checkpoint:
    """The record of a row."""
    if not isinstance(values["inputs"], dict):
        raise TypeError("its inputs are no JSON object")
    return Checkpoint(**{**values, "outputs": blob_from_json(values["outputs"])})


def _checkpoint_missing(row: Row[Any]) -> RowDamaged:
    error = row_damaged(checkpoints, row, "it is missing")
    made = RowDamaged(
        f"The checkpoint of step {row.step} (attempt {row.number} of run {row.run_id}) is missing: what the step left "
        "is lost.",
        hint=error.hint,
    )
    made.values = error.values
    return made


@row_of(checkpoints)
def read_checkpoint(row: Row[Any], **columns: Any) -> Checkpoint:
    """The record of a row; ``columns`` stand for those that were not selected."""
    return checkpoint_of({**row._mapping, **columns})


@row_of(checkpoints)
def _read_place(row: Row[Any]) -> tuple[str, str, int]:
    return row.id, row.step, row.seq


def read_listed_checkpoint(row: Row[Any]) -> Checkpoint:
    """The record of a row without its manifest and source."""
    return read_checkpoint(row, manifest=b"", source="")
