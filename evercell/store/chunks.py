"""Chunks: found by digest, read from the packs that hold them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.chunks import Absent, Codec, StoredChunk
from evercell.core.errors import ChunkMissing
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.packs import pack_folder
from evercell.store.rows import raw, row_of
from evercell.store.schema import LAST_COLLECTION, chunks, meta, packs

_BATCH = 500
"""Bound parameters in one query."""


def _finding() -> sa.Select[Any]:
    # substr counts from 1; on PostgreSQL it reads only the part, since packs are stored uncompressed
    start, length = sa.cast(chunks.c.start + 1, sa.Integer), sa.cast(chunks.c.length, sa.Integer)
    inside = sa.and_(chunks.c.start >= 0, chunks.c.length.between(0, packs.c.size - chunks.c.start))
    part = sa.case((inside, sa.func.substr(packs.c.data, start, length))).label("part")
    query = sa.select(*raw(chunks), part, inside.label("is_inside"))
    query = query.join(packs, packs.c.id == chunks.c.pack_id)
    wanted = sa.bindparam("digests", expanding=True, type_=chunks.c.digest.type)
    return query.where(chunks.c.digest.in_(wanted)).order_by(chunks.c.pack_id, chunks.c.start)


_FIND = _finding()


@asks_again
class Chunks:
    """The content of a store: the `ChunkReader` that state is given."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def absent(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of ``digests`` that the store does not have."""
        wanted = Absent(digests)
        with self._database.reading() as connection:
            mark = connection.execute(sa.select(meta.c.value).where(meta.c.key == LAST_COLLECTION)).scalar()
            wanted.as_of = mark or ""  # (asked for first: what is removed after it leaves another mark)
            for batch in _batches(sorted(wanted)):
                query = sa.select(*raw(chunks, [chunks.c.digest])).where(chunks.c.digest.in_(batch))
                wanted -= set(connection.execute(query).scalars())
        return wanted

    def find(self, digests: Iterable[bytes]) -> dict[bytes, StoredChunk]:
        """Where the chunks are, by digest. Raises `ChunkMissing` for one that is not there."""
        wanted = set(digests)
        found: dict[bytes, StoredChunk] = {}
        files: dict[str, _PackFile] = {}
        with self._database.reading() as connection:
            for batch in _batches(sorted(wanted)):
                found.update(self._find_batch(connection, batch, files))
        if missing := wanted - found.keys():
            raise _missing(next(iter(missing)), "the database has no row for it")
        return found

    def _find_batch(
        self, connection: Connection, batch: Sequence[bytes], files: dict[str, _PackFile]
    ) -> Iterator[tuple[bytes, StoredChunk]]:
        for row in connection.execute(_FIND, {"digests": batch}):
            chunk = _stored_chunk(row, self._reader_of(row, files))
            yield chunk.digest, chunk

    def _reader_of(self, row: Any, files: dict[str, _PackFile]) -> Callable[[memoryview], None]:
        """What reads the chunk of a row; whoever asks for its bytes makes room for no more than there are."""
        digest = row.digest
        if not row.is_inside or type(row.start) is not int or type(row.length) is not int:
            raise _missing(digest, f"its place lies outside of its pack {row.pack_id}")
        if row.part is not None:
            return partial(_copy_into, digest, row.pack_id, row.part)
        file = files.get(row.pack_id)
        if file is None:
            file = files[row.pack_id] = _PackFile(pack_folder(self._database) / row.pack_id)
        if row.start + row.length > file.size_for(digest):
            raise _missing(digest, f"its pack {row.pack_id} is cut short")
        return partial(file.read_into, digest, row.start)

    def stored_sizes(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """How many bytes the chunks take in the store, by digest; those that are not there, or lie outside of their
        packs, are left out.
        """
        found: dict[bytes, int] = {}
        with self._database.reading() as connection:
            for batch in _batches(sorted(set(digests))):
                query = sa.select(*raw(chunks)).join(packs, packs.c.id == chunks.c.pack_id)
                is_inside = chunks.c.length.between(0, packs.c.size - chunks.c.start)
                query = query.where(chunks.c.digest.in_(batch), chunks.c.start >= 0, is_inside)
                found.update(_stored_size(row) for row in connection.execute(query))
        return found


@row_of(chunks)
def _stored_chunk(row: Row[Any], read: Callable[[memoryview], None]) -> StoredChunk:
    return StoredChunk(row.digest, row.size, Codec(row.codec), row.length, read)


@row_of(chunks)
def _stored_size(row: Row[Any]) -> tuple[bytes, int]:
    return row.digest, row.length


class _PackFile:
    """A pack on disk, opened at the first read and closed with the last of its chunks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._size: int | None = None
        self._lock = Lock()

    def size_for(self, digest: bytes) -> int:
        """Its bytes; ``digest`` names the part that is lost where it is gone."""
        if self._size is None:
            try:
                self._size = self._path.stat().st_size
            except OSError:
                raise _missing(digest, f"its pack {self._path} is gone") from None
        return self._size

    def read_into(self, digest: bytes, start: int, view: memoryview) -> None:
        """Fill a buffer from the pack; ``digest`` names the part where it is missing."""
        if os.preadv(self._opened(digest), [view], start) != len(view):
            raise _missing(digest, f"its pack {self._path.name} is cut short")

    def _opened(self, digest: bytes) -> int:
        with self._lock:
            if self._handle is None:
                try:
                    self._handle = os.open(self._path, os.O_RDONLY)
                except FileNotFoundError:
                    raise _missing(digest, f"its pack {self._path} is gone") from None
                weakref.finalize(self, os.close, self._handle)
            return self._handle


def _copy_into(digest: bytes, pack_id: str, data: object, view: memoryview) -> None:
    if not isinstance(data, bytes) or len(data) != len(view):
        raise _missing(digest, f"its pack {pack_id} is cut short")
    view[:] = data


def _batches(digests: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(digests), _BATCH):
        yield digests[start : start + _BATCH]


def _missing(digest: bytes, why: str) -> ChunkMissing:
    return ChunkMissing(
        f"A part of the saved state (chunk {digest.hex()[:16]}) cannot be read: {why}.",
        hint="Put the store's files back from a backup, or go on from an earlier step: %checkout RUN@STEP.",
    )
