"""Packs: a checkpoint's new chunks go, in order, into one pack, a row or a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa

from evercell.core.chunks import Chunk, Supply
from evercell.core.errors import ContentCollected
from evercell.core.ids import new_id
from evercell.store.database import Database
from evercell.store.disk_room import RESERVE, is_full, no_room, room_at
from evercell.store.opening import driver_errors
from evercell.store.prepared import Direct, Prepared, insert_into
from evercell.store.schema import chunks, packs
from evercell.store.store_files import WatchedPath, packs_replaced

SMALL_PACK = 64 * 1024
"""Up to this many bytes a pack is a row of the database, beyond it a file (on SQLite)."""

LARGE_ROW = 16 * 1024 * 1024
"""No pack in a row grows much beyond this many bytes."""

_FOLDER_MODE = 0o700

_BUFFERED = 128 * 1024

_INSERT_PACKS = Prepared(sa.insert(packs), columns=packs.c.keys())


_FIND_CHUNK = Prepared(
    sa.select(chunks.c.digest).where(chunks.c.digest == sa.bindparam("digest", type_=chunks.c.digest.type))
)


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


class ContentTransaction(Protocol):
    """A transaction that content may come with."""

    connection: Direct
    now: datetime
    is_sent: bool

    @property
    def row(self) -> Any:
        """Has the mark of the store's ``last_collection``."""


class Packs:
    """Packs on their way into one transaction."""

    def __init__(self, packs: Iterable[Packed], new: Supply, folder: Path | None) -> None:
        self.packs = packs
        self._new = new
        self._folder = folder
        self._transaction: ContentTransaction | None = None

    def insert(self, transaction: ContentTransaction) -> None:
        """Write the rows of the packs and their chunks. Raises `ContentCollected` where what is there no more is
        needed.
        """
        self._transaction = transaction
        self._require_relied_on(transaction)
        for pack in self.packs:
            if pack.data is None and self._folder is not None:
                _require_file(self._folder / pack.id)
            _INSERT_PACKS.run(
                transaction.connection,
                {"id": pack.id, "size": pack.size, "data": pack.data, "created_at": transaction.now},
            )
            _insert_chunks(transaction.connection.dialect.name).run_many(transaction.connection, pack.rows)

    def _require_relied_on(self, transaction: ContentTransaction) -> None:
        """The chunks that were not written, since the store had them: where some were removed since, are they there?"""
        new = self._new
        if new.as_of is None or new.as_of == (transaction.row.last_collection or ""):
            return
        for digest in new.relied_on:
            if _FIND_CHUNK.run(transaction.connection, {"digest": digest}).fetchone() is None:
                raise ContentCollected(
                    f"A part of what is to be saved (chunk {digest.hex()[:16]}) was in the store, and `evercell gc` "
                    "removed it meanwhile; nothing was committed.",
                    hint="Run the cell again: it is saved anew.",
                )

    @property
    def may_be_committed(self) -> bool:
        """Whether the database was asked to commit them."""
        return self._transaction is not None and self._transaction.is_sent


def _require_file(path: Path) -> None:
    """A file that lay here for very long without a commit may have been taken for one that nobody wants."""
    if not path.exists():
        error = ContentCollected(
            f"The pack {path} was removed before it was committed.", hint="It is written anew by itself."
        )
        error.passes = True
        raise error


def pack_folder(database: Database) -> Path:
    """Where an SQLite store keeps the packs that are files."""
    return Path(f"{database.path}.packs")


class PackWriter:
    """Puts new chunks into packs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._folder = WatchedPath(pack_folder(database)) if database.path is not None else None
        self._newest: str | None = None
        """Name of the file written last."""
        if self._folder is not None:
            self._folder.look()

    def require_folder(self) -> None:
        """Raise `StoreReplaced` where the packs' folder is not the one that was there; a copy of it is taken up."""
        folder = self._folder
        if folder is None or folder.is_same():
            return
        if folder.is_gone() or (self._newest is not None and not (folder.path / self._newest).exists()):
            raise packs_replaced(folder.path, is_gone=folder.is_gone())
        folder.look()

    @contextmanager
    def packed(self, new: Supply) -> Iterator[Packs]:
        """Chunks in packs, for the transaction that is made inside. A file is whole on disk by then.

        Where the transaction is refused before the database was asked to commit it, the file goes again.
        """
        packs = Packs(self._pack(new), new, self._folder.path if self._folder is not None else None)
        try:
            yield packs
        except BaseException:
            if not packs.may_be_committed:
                self._remove(packs)
            raise

    def _pack(self, new: Supply) -> Iterable[Packed]:
        self.require_folder()
        if not new.size:
            return []
        if self._database.path is not None and new.size > SMALL_PACK:
            with driver_errors(self._database.url):
                return [self.write_file(new)]
        return (_pack_row(part) for part in _parts(new))

    def _remove(self, packs: Packs) -> None:
        """Files that no row names, and that would be written anew when the commit is tried again."""
        if isinstance(packs.packs, list):
            for pack in packs.packs:
                with suppress(OSError):
                    (pack_folder(self._database) / pack.id).unlink()
                self._newest = None

    def write_file(self, new: Supply) -> Packed:
        folder = pack_folder(self._database)
        fresh = not folder.exists()
        folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        if fresh:
            _sync_folder(folder.parent)
        if self._folder is not None and not self._folder.is_known:
            self._folder.look()
        name = new_id()
        rows = _Rows(name)
        try:
            with (folder / name).open("xb", buffering=_BUFFERED) as file:
                for chunk in new:
                    rows.add(chunk)
                    file.write(chunk.data)
                file.flush()
                os.fsync(file.fileno())
            _sync_folder(folder)
            self._require_reserve(folder / name, new)
        except BaseException as error:
            (folder / name).unlink(missing_ok=True)  # half a pack would keep a full disk full
            if isinstance(error, OSError) and is_full(error):
                raise no_room(Path(str(self._database.path)), needed=new.size) from error
            raise
        self._newest = name
        return Packed(name, rows.size, None, rows.rows)

    def _require_reserve(self, path: Path, new: Supply) -> None:
        room = room_at(path)
        if room is not None and room < RESERVE:
            path.unlink()
            raise no_room(Path(str(self._database.path)), needed=new.size)


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


def _sync_folder(folder: Path) -> None:
    """Make a new name in the folder survive a power failure."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
