"""Checkpoints: found by what a run sees, and walked along their parents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.chunks import blob_from_json, blob_to_json
from evercell.core.errors import StepNotFound
from evercell.core.records import Attempt, Checkpoint, CheckpointDraft
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.prepared import Direct
from evercell.store.rows import row_of
from evercell.store.run_transaction import RunTransaction
from evercell.store.runs import Lineage
from evercell.store.schema import checkpoints

_AT_ONCE = 500
"""Bound values of one query."""

_BY_ID = sa.select(checkpoints).where(checkpoints.c.id == sa.bindparam("id"))


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

    def visible(self, lineage: Lineage) -> list[Checkpoint]:
        """All checkpoints that a run sees, oldest first, without their manifests (``b""``)."""
        columns = [c for c in checkpoints.c if c.name not in ("manifest", "source")]
        found: list[Checkpoint] = []
        with self._database.reading() as connection:
            for run_id, cut in reversed(lineage.cuts):
                query = sa.select(*columns).where(checkpoints.c.run_id == run_id)
                if cut is not None:
                    query = query.where(checkpoints.c.seq <= cut)
                for row in connection.execute(query.order_by(checkpoints.c.seq)).all():
                    found.append(read_checkpoint(row, manifest=b"", source=""))
        return found

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

    def ancestors(self, checkpoint_id: str) -> list[str]:
        """The checkpoint's id and those of its parents, newest first."""
        start = sa.select(checkpoints.c.id, checkpoints.c.parent, sa.literal(0).label("age"))
        path = start.where(checkpoints.c.id == checkpoint_id).cte("path", recursive=True)
        further = sa.select(checkpoints.c.id, checkpoints.c.parent, path.c.age + 1)
        path = path.union_all(further.join(path, checkpoints.c.id == path.c.parent))
        with self._database.reading() as connection:
            return list(connection.execute(sa.select(path.c.id).order_by(path.c.age)).scalars())


def _as_text(value: Any) -> str:
    return (
        bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value or "")
    )


def checkpoint_values(
    draft: CheckpointDraft, transaction: RunTransaction[Direct], seq: int, attempt: Attempt | None
) -> dict[str, Any]:
    """The row of a draft."""
    return {
        "id": draft.id,
        "run_id": transaction.row.id,
        "seq": seq,
        "parent": draft.parent,
        "step": draft.step,
        "slot": draft.slot,
        "key": draft.key,
        "origin": draft.origin,
        "attempt_id": attempt.id if attempt else None,
        "source": draft.source,
        "source_hash": draft.source_hash,
        "inputs": dict(draft.inputs),
        "outputs": blob_to_json(draft.outputs),
        "manifest": draft.manifest,
        "mac": draft.mac,
        "seconds": draft.seconds,
        "created_at": transaction.now,
    }


def checkpoint_of(values: dict[str, Any]) -> Checkpoint:
    """The record of a row."""
    return Checkpoint(**{**values, "outputs": blob_from_json(values["outputs"])})


@row_of(checkpoints)
def read_checkpoint(row: Row[Any], **columns: Any) -> Checkpoint:
    """The record of a row; ``columns`` stand for those that were not selected."""
    return checkpoint_of({**row._mapping, **columns})
