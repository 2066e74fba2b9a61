"""Some runs of a store as a store of their own, to try something with and to throw away."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.store.database import Database
from evercell.store.opening import connect, driver_errors, writing
from evercell.store.outages import asks_again
from evercell.store.packs import pack_folder
from evercell.store.schema import (
    attempts,
    calls,
    checkpoints,
    chunks,
    collected,
    events,
    meta,
    packs,
    policies,
    runs,
    signals,
    steps,
    thread_checkpoints,
    thread_writes,
    threads,
)

_OF_RUNS = (
    steps,
    attempts,
    checkpoints,
    collected,
    calls,
    signals,
    events,
    policies,
    thread_checkpoints,
    thread_writes,
)
"""Tables whose rows go with their run. (Who is on it, what is asked of it and what waits for it stays behind.)"""

_AT_ONCE = 400
"""Rows, or bound values of one query."""


@asks_again
class Excerpts:
    """Copies of parts of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, path: Path, run_ids: Sequence[str], digests: Collection[bytes]) -> None:
        """Make an SQLite store at ``path`` that has these runs (ancestors first) and this content, as of one moment.

        It has the name of this store, so that what is signed here is there, too. Large packs that are files are linked.
        """
        url = f"sqlite:///{path}"
        engine = connect(url)
        try:
            with (
                self._database.snapshot() as source,
                driver_errors(url),
                writing(engine).begin() as target,
            ):
                target.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
                named = sa.update(meta).where(meta.c.key == "store_id")
                target.execute(named.values(value=self._database.store_id))
                self._copy_runs(source, target, run_ids)
                files = self._copy_content(source, target, digests)
        finally:
            engine.dispose()
        folder = Path(f"{path}.packs")
        folder.mkdir(mode=0o700, exist_ok=True)
        for name in files:
            (folder / name).symlink_to((pack_folder(self._database) / name).absolute())

    def _copy_runs(self, source: Connection, target: Connection, run_ids: Sequence[str]) -> None:
        _insert(target, runs, ({**row, "asked": None} for row in _rows(source, runs, runs.c.id, run_ids)))
        for table in (thread_checkpoints, thread_writes):
            named = sa.select(table.c.thread).where(table.c.run_id.in_(run_ids))
            keys = [bytes(key) for key in source.execute(named).scalars()]
            new = set(keys) - {bytes(key) for key in target.execute(sa.select(threads.c.key)).scalars()}
            _insert(target, threads, _rows(source, threads, threads.c.key, new))
        for table in _OF_RUNS:
            _insert(target, table, _rows(source, table, table.c.run_id, run_ids))

    def _copy_content(self, source: Connection, target: Connection, digests: Collection[bytes]) -> list[str]:
        """The names of packs that are files."""
        found = list(_rows(source, chunks, chunks.c.digest, digests))
        files = []
        for row in _rows(source, packs, packs.c.id, {row["pack_id"] for row in found}):
            _insert(target, packs, [row])
            if row["data"] is None:
                files.append(row["id"])
        _insert(target, chunks, found)
        return files


def _rows(
    source: Connection, table: sa.Table, column: sa.ColumnElement[Any], values: Iterable[Any]
) -> Iterable[dict[str, Any]]:
    wanted = list(values)
    for start in range(0, len(wanted), _AT_ONCE):
        query = sa.select(table).where(column.in_(wanted[start : start + _AT_ONCE]))
        for row in source.execute(query):
            yield dict(row._mapping)


def _insert(target: Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == _AT_ONCE:
            target.execute(sa.insert(table), some)
            some = []
    if some:
        target.execute(sa.insert(table), some)
