"""How much room the disk of an SQLite store has, and what is said where it has too little."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from sqlalchemy.engine import make_url

from evercell.core.errors import StoreFull

RESERVE = 1 << 20
"""Bytes that packs leave free, so that on a disk that they fill leases, journals and small steps go on."""

_SQLITE_NEEDS = 64 * 1024
"""Bytes that SQLite takes to open a database for writing."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def is_full(error: OSError) -> bool:
    """Whether the system says that there is no room."""
    return error.errno in _NO_ROOM


def room_at(path: Path) -> int | None:
    """Bytes that may still be written beside a path; None where nobody can tell."""
    try:
        found = os.statvfs(path.parent)
    except (OSError, AttributeError):
        return None
    return found.f_bavail * found.f_frsize


def has_no_room(path: Path) -> bool:
    """Whether SQLite could not even begin to write there."""
    room = room_at(path)
    return room is not None and room < _SQLITE_NEEDS


_INDEX = 32 * 1024
"""Bytes of SQLite's index of its log, while somebody has the database open."""


def opens_only_unchanged(path: Path) -> bool:
    """Whether a database can only be read as it is, since there is no room for the files that SQLite lays beside it."""
    log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
    is_at_rest = not log.exists() or not log.stat().st_size
    is_open_elsewhere = index.exists() and index.stat().st_size >= _INDEX
    return path.exists() and is_at_rest and not is_open_elsewhere and has_no_room(path)


def no_room(path: Path, *, needed: int | None = None) -> StoreFull:
    """The error for a disk that is full."""
    room = room_at(path)
    free = f"{_size(room)} free" if room is not None else "no room left"
    if needed is None:
        missing = ""
    else:
        missing = f": up to {_size(needed)} are to be written"
        if room is not None and needed + RESERVE > room:
            missing += f", so up to {_size(needed + RESERVE - room)} are missing"
    return StoreFull(
        f"The store {path} cannot be written: the disk is full ({free}){missing}. Nothing was committed.",
        hint=f"Free some space in {path.parent}; the next commit then works, in this kernel, too. Until then "
        "everything can be listed, shown and resumed.",
    )


def path_of(shown: str) -> Path | None:
    """The file of the store at a URL, None for a database that is none."""
    url = make_url(shown)
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _size(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"
