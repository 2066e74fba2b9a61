"""Chunks and the packs that hold them: a checkpoint's new chunks go, in order, into one pack."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.chunks import Chunk, Codec
from evercell.core.errors import ChunkMissing
from evercell.core.ids import new_id
from evercell.store.database import Database, Turn
from evercell.store.opening import driver_errors
from evercell.store.prepared import Prepared, insert_into
from evercell.store.schema import chunks, packs

SMALL_PACK = 64 * 1024
"""Up to this many bytes a pack is a row of the database, beyond it a file (on SQLite)."""

LARGE_ROW = 16 * 1024 * 1024
"""No pack in a row grows much beyond this many bytes."""

_BATCH = 500
"""Bound parameters in one query."""

_FOLDER_MODE = 0o700

_INSERT_PACKS = Prepared(sa.insert(packs), columns=packs.c.keys())


@cache
def _insert_chunks(dialect: str) -> Prepared:
    """Insert chunks that another session may be inserting at this very moment."""
    return Prepared(insert_into(chunks, dialect).on_conflict_do_nothing(), columns=chunks.c.keys())


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack about to be committed: ``data`` for a row, None for a file that is on disk already."""

    id: str
    size: int
    data: bytes | None
    rows: list[dict[str, Any]]


class Chunks(Database):
    """The content of a store."""

    def absent_chunks(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of ``digests`` that the store does not have."""
        wanted = set(digests)
        with self._reading() as connection:
            for batch in _batches(sorted(wanted)):
                query = sa.select(chunks.c.digest).where(chunks.c.digest.in_(batch))
                wanted -= {bytes(digest) for digest in connection.execute(query).scalars()}
        return wanted

    def read_chunks(self, digests: Iterable[bytes]) -> dict[bytes, Chunk]:
        """The stored chunks by digest. Raises `ChunkMissing` for one that is not there, or not whole."""
        wanted = set(digests)
        found: dict[bytes, Chunk] = {}
        with self._reading() as connection:
            for batch in _batches(sorted(wanted)):
                found.update(self._read_batch(connection, batch))
        if missing := wanted - found.keys():
            raise _missing(next(iter(missing)), "the database has no row for it")
        return found

    def _read_batch(self, connection: Connection, batch: Sequence[bytes]) -> Iterator[tuple[bytes, Chunk]]:
        # substr counts from 1; on PostgreSQL it reads only the part, since packs are stored uncompressed
        start, length = sa.cast(chunks.c.start + 1, sa.Integer), sa.cast(chunks.c.length, sa.Integer)
        part = sa.func.substr(packs.c.data, start, length).label("part")
        query = sa.select(chunks, part).join(packs, packs.c.id == chunks.c.pack_id)
        query = query.where(chunks.c.digest.in_(batch)).order_by(chunks.c.pack_id, chunks.c.start)
        for row in connection.execute(query):
            data = self._from_file(row) if row.part is None else bytes(row.part)
            digest = bytes(row.digest)
            if len(data) != row.length:
                raise _missing(digest, f"its pack {row.pack_id} is cut short")
            yield digest, Chunk(digest, row.size, Codec(row.codec), data)

    def _from_file(self, row: Any) -> bytes:
        path = self._folder() / row.pack_id
        try:
            with path.open("rb") as pack:
                return os.pread(pack.fileno(), row.length, row.start)
        except FileNotFoundError:
            raise _missing(bytes(row.digest), f"its pack {path} is gone") from None

    def _folder(self) -> Path:
        return Path(f"{self.path}.packs")

    # -- writing ---------------------------------------------------------------------------------

    def _pack(self, new: Sequence[Chunk]) -> list[Packed]:
        """Put chunks into packs. A file is whole on disk before this returns; no row names it yet."""
        if not new:
            return []
        size = sum(len(chunk.data) for chunk in new)
        if self.path is not None and size > SMALL_PACK:
            with driver_errors(self.url):
                return [self._pack_file(new)]
        return [_pack_row(part) for part in _parts(new)]

    def _pack_file(self, new: Sequence[Chunk]) -> Packed:
        folder = self._folder()
        fresh = not folder.exists()
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if fresh:
            _sync_folder(folder.parent)
        name = new_id()
        with (folder / name).open("xb", buffering=0) as file:
            for chunk in new:
                _write_all(file, chunk.data)
            os.fsync(file.fileno())
        _sync_folder(folder)
        rows, size = _rows(name, new)
        return Packed(name, size, None, rows)

    def _store_packed(self, turn: Turn, packed: list[Packed]) -> None:
        for pack in packed:
            _INSERT_PACKS.run(
                turn.connection,
                {"id": pack.id, "size": pack.size, "data": pack.data, "created_at": turn.now},
            )
            _insert_chunks(turn.connection.dialect.name).run_many(turn.connection, pack.rows)


def _pack_row(new: Sequence[Chunk]) -> Packed:
    name = new_id()
    rows, size = _rows(name, new)
    return Packed(name, size, b"".join(bytes(chunk.data) for chunk in new), rows)


def _rows(pack_id: str, new: Sequence[Chunk]) -> tuple[list[dict[str, Any]], int]:
    rows, start = [], 0
    for chunk in new:
        length = len(chunk.data)
        rows.append(
            {
                "digest": chunk.digest,
                "pack_id": pack_id,
                "start": start,
                "length": length,
                "size": chunk.size,
                "codec": int(chunk.codec),
            }
        )
        start += length
    return rows, start


def _parts(new: Sequence[Chunk]) -> Iterator[list[Chunk]]:
    part: list[Chunk] = []
    size = 0
    for chunk in new:
        if part and size + len(chunk.data) > LARGE_ROW:
            yield part
            part, size = [], 0
        part.append(chunk)
        size += len(chunk.data)
    yield part


def _batches(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), _BATCH):
        yield digests[start : start + _BATCH]


def _write_all(file: Any, data: bytes | bytearray | memoryview) -> None:
    rest = memoryview(data).cast("B")
    while rest:
        rest = rest[file.write(rest) :]


def _sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power failure."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _missing(digest: bytes, why: str) -> ChunkMissing:
    return ChunkMissing(
        f"A part of the saved state (chunk {digest.hex()[:16]}) cannot be read: {why}.",
        hint="Put the store's files back from a backup, or go on from an earlier step: %checkout RUN@STEP.",
    )
