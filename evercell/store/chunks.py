"""Chunks and the packs that hold them: a checkpoint's new chunks go, in order, into one pack."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.chunks import Chunk, Codec, StoredChunk, Supply
from evercell.core.errors import ChunkMissing
from evercell.core.ids import new_id
from evercell.store.database import Database, Turn
from evercell.store.opening import driver_errors
from evercell.store.prepared import Direct, Prepared, insert_into
from evercell.store.schema import chunks, packs

SMALL_PACK = 64 * 1024
"""Up to this many bytes a pack is a row of the database, beyond it a file (on SQLite)."""

LARGE_ROW = 16 * 1024 * 1024
"""No pack in a row grows much beyond this many bytes."""

_BATCH = 500
"""Bound parameters in one query."""

_FOLDER_MODE = 0o700

_BUFFERED = 128 * 1024

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

    def find_chunks(self, digests: Iterable[bytes]) -> dict[bytes, StoredChunk]:
        """Where the chunks are, by digest. Raises `ChunkMissing` for one that is not there."""
        wanted = set(digests)
        found: dict[bytes, StoredChunk] = {}
        files: dict[str, _PackFile] = {}
        with self._reading() as connection:
            for batch in _batches(sorted(wanted)):
                found.update(self._find_batch(connection, batch, files))
        if missing := wanted - found.keys():
            raise _missing(next(iter(missing)), "the database has no row for it")
        return found

    def _find_batch(
        self, connection: Connection, batch: Sequence[bytes], files: dict[str, _PackFile]
    ) -> Iterator[tuple[bytes, StoredChunk]]:
        # substr counts from 1; on PostgreSQL it reads only the part, since packs are stored uncompressed
        start, length = sa.cast(chunks.c.start + 1, sa.Integer), sa.cast(chunks.c.length, sa.Integer)
        part = sa.func.substr(packs.c.data, start, length).label("part")
        query = sa.select(chunks, part).join(packs, packs.c.id == chunks.c.pack_id)
        query = query.where(chunks.c.digest.in_(batch)).order_by(chunks.c.pack_id, chunks.c.start)
        for row in connection.execute(query):
            digest = bytes(row.digest)
            if row.part is None:
                file = files.get(row.pack_id)
                if file is None:
                    file = files[row.pack_id] = _PackFile(self._folder() / row.pack_id)
                read = partial(file.read_into, digest, row.start)
            else:
                read = partial(_copy_into, digest, row.pack_id, bytes(row.part))
            yield digest, StoredChunk(digest, row.size, Codec(row.codec), row.length, read)

    def stored_bytes(self, digests: Iterable[bytes]) -> dict[bytes, int]:
        """How many bytes the chunks take in the store, by digest; those that are not there are left out."""
        found: dict[bytes, int] = {}
        with self._reading() as connection:
            for batch in _batches(sorted(set(digests))):
                query = sa.select(chunks.c.digest, chunks.c.length).where(chunks.c.digest.in_(batch))
                found.update((bytes(row.digest), row.length) for row in connection.execute(query))
        return found

    def _folder(self) -> Path:
        return Path(f"{self.path}.packs")

    # -- writing ---------------------------------------------------------------------------------

    def _pack(self, new: Supply) -> Iterable[Packed]:
        """Put chunks into packs. A file is whole on disk before this returns; no row names it yet."""
        if not new.size:
            return []
        if self.path is not None and new.size > SMALL_PACK:
            with driver_errors(self.url):
                return [self._pack_file(new)]
        return (_pack_row(part) for part in _parts(new))

    def _pack_file(self, new: Supply) -> Packed:
        folder = self._folder()
        fresh = not folder.exists()
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if fresh:
            _sync_folder(folder.parent)
        name = new_id()
        rows = _Rows(name)
        with (folder / name).open("xb", buffering=_BUFFERED) as file:
            for chunk in new:
                rows.add(chunk)
                file.write(chunk.data)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(folder)
        return Packed(name, rows.size, None, rows.rows)

    def _store_packed(self, turn: Turn[Direct], packed: Iterable[Packed]) -> None:
        for pack in packed:
            _INSERT_PACKS.run(
                turn.connection,
                {"id": pack.id, "size": pack.size, "data": pack.data, "created_at": turn.now},
            )
            _insert_chunks(turn.connection.dialect.name).run_many(turn.connection, pack.rows)


class _PackFile:
    """A pack on disk, opened at the first read and closed with the last of its chunks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: int | None = None
        self._lock = Lock()

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


def _copy_into(digest: bytes, pack_id: str, data: bytes, view: memoryview) -> None:
    if len(data) != len(view):
        raise _missing(digest, f"its pack {pack_id} is cut short")
    view[:] = data


class _Rows:
    """The rows of a pack's chunks, as they are laid one behind the other."""

    def __init__(self, pack_id: str) -> None:
        self._pack_id = pack_id
        self.rows: list[dict[str, Any]] = []
        self.size = 0

    def add(self, chunk: Chunk) -> None:
        """The next chunk."""
        row = {
            "digest": chunk.digest,
            "pack_id": self._pack_id,
            "start": self.size,
            "length": len(chunk.data),
        }
        self.rows.append({**row, "size": chunk.size, "codec": int(chunk.codec)})
        self.size += len(chunk.data)


def _pack_row(new: Sequence[Chunk]) -> Packed:
    rows = _Rows(new_id())
    for chunk in new:
        rows.add(chunk)
    data = b"".join(bytes(chunk.data) for chunk in new)
    return Packed(rows.rows[0]["pack_id"], rows.size, data, rows.rows)


def _parts(new: Iterable[Chunk]) -> Iterator[list[Chunk]]:
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
