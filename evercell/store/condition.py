"""In which condition a store is: whether it answers and can be written, its clock, its room."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from evercell.store.database import Database
from evercell.store.disk_room import room_at
from evercell.store.outages import asks_again
from evercell.store.runs import IS_THERE
from evercell.store.schema import REVISION, checkpoints, meta, runs


@dataclass(frozen=True, slots=True)
class Answer:
    """How a store answered."""

    revision: str
    seconds: float
    """How long it took."""
    now: datetime
    """By the clock that leases live on."""
    room: int | None
    """Bytes that the disk of its file has left; None: it is on a server, or nobody can tell."""


@asks_again
class Condition:
    """What can be asked of a store about itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self) -> Answer:
        """How it answers."""
        began = time.monotonic()
        with self._database.reading() as connection:
            now = self._database.lease_now(connection)
        seconds, path = time.monotonic() - began, self._database.path
        return Answer(REVISION, seconds, now, room_at(Path(path)) if path is not None else None)

    def require_writable(self) -> None:
        """Raise `StoreReadOnly`, `StoreFull` or `StoreUnavailable` where nothing can be written. Nothing is changed."""
        try:
            with self._database.writing() as connection:
                same = sa.update(meta).where(meta.c.key == "store_id").values(value=self._database.store_id)
                connection.execute(same)
                raise _TakenBack
        except _TakenBack:
            return

    def newest_head(self) -> str | None:
        """Id of the head of the run that was written to last, None where nothing was committed."""
        query = sa.select(runs.c.head).join(checkpoints, checkpoints.c.id == runs.c.head).where(IS_THERE)
        with self._database.reading() as connection:
            found: str | None = connection.execute(query.order_by(runs.c.updated_at.desc()).limit(1)).scalar()
        return found


class _TakenBack(Exception):
    """Rolls a transaction back."""
