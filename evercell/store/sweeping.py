"""Chunks that nothing names, and packs without any, taken off the disk while others write.

Every transaction that removes content leaves a mark (`mark_collection`). A commit whose author found chunks there
before says which (``Supply.relied_on``, ``as_of``): where something was removed since, it looks whether they still are.
Both happen under `lock_content`, the one alone and the others together; SQLite has one writer anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.chunks import Blob
from evercell.core.faults import reach
from evercell.core.ids import new_id
from evercell.store.content_names import (
    content_of_attempts,
    content_of_calls,
    content_of_results,
    content_of_threads,
)
from evercell.store.database import Database
from evercell.store.holes import punch
from evercell.store.locks import lock_content
from evercell.store.outages import asks_again
from evercell.store.packs import pack_folder
from evercell.store.prepared import insert_into
from evercell.store.schema import LAST_COLLECTION, checkpoints, chunks, meta, packs

_AT_ONCE = 500
"""Bound values of one query."""

GRACE = 3600.0
"""Seconds that a file may lie in the folder of packs without a row: somebody may be about to commit it."""

_WORTH = 0.25
"""Part of a pack in the database from which on it is written anew without what nobody names."""


_HOLE_EDGES = 2 * 4096
"""Bytes beside a part that is kept, at most, which no hole can have."""


def mark_collection(connection: Connection) -> None:
    """Within a transaction that removes content: let commits that are under way look again."""
    insert = insert_into(meta, connection.dialect.name).values(key=LAST_COLLECTION, value=new_id())
    connection.execute(
        insert.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": insert.excluded.value})
    )


@dataclass(slots=True)
class Swept:
    """What was, or would be, removed."""

    chunks: int = 0
    size: int = 0
    """Bytes of these chunks as they are stored."""
    packs: int = 0
    stray_files: int = 0
    stray_size: int = 0
    """Files in the folder of packs that no commit names."""
    files: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at when it was worked out what is reached."""

    checkpoints: frozenset[str]


@dataclass(frozen=True, slots=True)
class NewContent:
    """A checkpoint that was committed meanwhile."""

    id: str
    manifest: bytes
    outputs: Any
    """As JSON."""


Reach = Callable[[list[NewContent], list[Blob]], set[bytes]]
"""The digests that checkpoints name which were committed meanwhile, and other content that is there now."""


@asks_again
class Sweeps:
    """Removing the chunks and packs of a store that nothing reaches."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sweep(
        self, reached: set[bytes], seen: Seen, reach_new: Reach, *, grace: float, dry_run: bool
    ) -> Swept:
        """Commit that chunks are gone which neither ``reached`` has nor ``reach_new`` finds; then free their space.

        A kill at any line leaves at most space that the next sweep frees.
        """
        swept = Swept()
        with self._database.reading() if dry_run else self._database.writing() as connection:
            if not dry_run:
                lock_content(connection)
            if not dry_run:
                reached |= reach_new(*self._since(connection, seen))
            dead = self._dead(connection, reached, swept)
            if not dry_run and dead:
                self._delete_chunks(connection, dead)
                reach("gc_before_chunks")
                self._compact_rows(connection, {pack for _, pack in dead})
            files = self._empty_packs(connection, dead, swept, dry_run=dry_run)
            if not dry_run:
                if dead or swept.packs:
                    mark_collection(connection)
                self._unlink_strays(connection, swept, grace=grace)
                reach("gc_before_sweep_commit")
            else:
                self._count_strays(connection, swept, grace)
        if not dry_run:
            reach("gc_before_unlink")
            self._free(files)
        return swept

    def _since(self, connection: Connection, seen: Seen) -> tuple[list[NewContent], list[Blob]]:
        ids = connection.execute(sa.select(checkpoints.c.id)).scalars()
        new = [name for name in ids if name not in seen.checkpoints]
        query = sa.select(checkpoints.c.id, checkpoints.c.manifest, checkpoints.c.outputs)
        found = [
            NewContent(row.id, bytes(row.manifest), row.outputs)
            for start in range(0, len(new), _AT_ONCE)
            for row in connection.execute(query.where(checkpoints.c.id.in_(new[start : start + _AT_ONCE])))
        ]
        return found, [
            *content_of_attempts(connection, ()),
            *content_of_calls(connection, ()),
            *content_of_results(connection, ()),
            *content_of_threads(connection, ()),
        ]

    def _dead(self, connection: Connection, reached: set[bytes], swept: Swept) -> list[tuple[bytes, str]]:
        dead = []
        for digest, pack, length in connection.execute(
            sa.select(chunks.c.digest, chunks.c.pack_id, chunks.c.length)
        ):
            if bytes(digest) not in reached:
                dead.append((bytes(digest), pack))
                swept.size += length
        swept.chunks = len(dead)
        return dead

    def _delete_chunks(self, connection: Connection, dead: list[tuple[bytes, str]]) -> None:
        for start in range(0, len(dead), _AT_ONCE):
            some = [digest for digest, _ in dead[start : start + _AT_ONCE]]
            connection.execute(sa.delete(chunks).where(chunks.c.digest.in_(some)))

    def _empty_packs(
        self, connection: Connection, dead: list[tuple[bytes, str]], swept: Swept, *, dry_run: bool
    ) -> list[str]:
        """Take out the rows of packs without a chunk; returns the names of files that may have space to free."""
        touched = {pack for _, pack in dead}
        empty = self._packs_of_nothing(connection, [] if not dry_run else dead)
        swept.packs = len(empty)
        # (others had brought all of their chunks a moment before)
        swept.size += sum(size for pack, size in empty.items() if pack not in touched)
        if dry_run:
            return []
        for start in range(0, len(empty), _AT_ONCE):
            some = sorted(empty)[start : start + _AT_ONCE]
            connection.execute(sa.delete(packs).where(packs.c.id.in_(some)))
        return sorted(touched | empty.keys())

    def _packs_of_nothing(self, connection: Connection, dead: list[tuple[bytes, str]]) -> dict[str, int]:
        """Packs, with their sizes, that hold no chunk but those that are dead."""
        lost: dict[str, int] = {}
        for _, pack in dead:
            lost[pack] = lost.get(pack, 0) + 1
        query = sa.select(packs.c.id, packs.c.size, sa.func.count(chunks.c.digest))
        query = query.select_from(packs.outerjoin(chunks, chunks.c.pack_id == packs.c.id))
        rows = connection.execute(query.group_by(packs.c.id, packs.c.size)).all()
        return {pack: size for pack, size, count in rows if count == lost.get(pack, 0)}

    def _compact_rows(self, connection: Connection, touched: Iterable[str]) -> None:
        """Write packs that are rows anew, without what nobody names."""
        for pack in sorted(touched):
            row = connection.execute(sa.select(packs.c.data, packs.c.size).where(packs.c.id == pack)).first()
            if row is None or row.data is None:
                continue
            query = sa.select(chunks.c.digest, chunks.c.start, chunks.c.length).where(
                chunks.c.pack_id == pack
            )
            kept = connection.execute(query.order_by(chunks.c.start)).all()
            size = sum(chunk.length for chunk in kept)
            if not kept or row.size - size < _WORTH * row.size:
                continue
            data, parts, place = bytes(row.data), [], 0
            for chunk in kept:
                parts.append(data[chunk.start : chunk.start + chunk.length])
                moved = sa.update(chunks).where(chunks.c.digest == chunk.digest).values(start=place)
                connection.execute(moved)
                place += chunk.length
            smaller = {"data": b"".join(parts), "size": size}
            connection.execute(sa.update(packs).where(packs.c.id == pack).values(smaller))

    # -- files -----------------------------------------------------------------------------------

    def _strays(self, connection: Connection, grace: float) -> Iterator[tuple[Path, int]]:
        """Files that no committed pack names, old enough that nobody is about to."""
        if self._database.path is None:
            return
        known = set(connection.execute(sa.select(packs.c.id)).scalars())
        with suppress(OSError):
            for path in pack_folder(self._database).iterdir():
                with suppress(OSError):
                    found = path.stat()
                    if path.name not in known and time.time() - found.st_mtime >= grace:
                        yield path, found.st_size

    def _count_strays(self, connection: Connection, swept: Swept, grace: float) -> None:
        for _, size in self._strays(connection, grace):
            swept.stray_files += 1
            swept.stray_size += size

    def _unlink_strays(self, connection: Connection, swept: Swept, *, grace: float) -> None:
        """While nobody commits: whoever wrote the file and still wants it finds it gone in time, and writes it anew."""
        for path, size in self._strays(connection, grace):
            with suppress(OSError):
                path.unlink()
                swept.stray_files += 1
                swept.stray_size += size

    def _free(self, names: list[str]) -> None:
        """Free the space of files whose chunks are gone; a part of a file becomes a hole, where the system can."""
        if self._database.path is None:
            return
        folder = pack_folder(self._database)
        for name in names:
            with self._database.reading() as connection:
                is_there = connection.execute(sa.select(packs.c.id).where(packs.c.id == name)).first()
            if is_there is None:
                with suppress(OSError):
                    (folder / name).unlink()
        for name, parts, length in self._packs_with_gaps():
            with suppress(OSError):
                if (folder / name).stat().st_blocks * 512 > length + (parts + 1) * _HOLE_EDGES:
                    punch(folder / name, self._places(name))

    def _packs_with_gaps(self) -> list[tuple[str, int, int]]:
        """Files in which something lies that nobody names, with the number and the length of what is named."""
        named = sa.func.sum(chunks.c.length)
        query = sa.select(packs.c.id, sa.func.count(), named).join(chunks, chunks.c.pack_id == packs.c.id)
        query = query.where(packs.c.data.is_(None)).group_by(packs.c.id, packs.c.size)
        with self._database.reading() as connection:
            return [
                (name, int(count), int(length))
                for name, count, length in connection.execute(query.having(named < packs.c.size))
            ]

    def _places(self, pack: str) -> list[tuple[int, int]]:
        query = sa.select(chunks.c.start, chunks.c.length).where(chunks.c.pack_id == pack)
        with self._database.reading() as connection:
            rows = connection.execute(query.order_by(chunks.c.start)).all()
        return [(part.start, part.start + part.length) for part in rows]
