"""Who holds a database that is busy: a process on this machine, or a session of the server."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.errors import StoreError, StoreUnavailable

_WAL_WRITE_LOCK = 120
"""The byte of SQLite's -shm file that its one writer locks."""

_OLDEST_WRITER = sa.text(
    "SELECT application_name, pid, coalesce(state, 'at work') AS state,"
    " round(extract(epoch FROM clock_timestamp() - xact_start)) AS seconds FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL"
    " ORDER BY xact_start LIMIT 1"
)


def busy_error(error: StoreError, url: str, holder: str | None) -> StoreError:
    """The error of a database that stayed busy, with who holds it."""
    explained = StoreUnavailable(
        f"The store {url} is held by {holder or 'another process'} in the middle of a commit.",
        hint="Let it come to its end, or end it: what it has not committed is lost to it alone.",
    )
    explained.__cause__ = error.__cause__
    return explained


# -- SQLite --------------------------------------------------------------------------------------


def sqlite_holder(path: str) -> str | None:
    """The process that writes to an SQLite file, None where it cannot be told.

    The file itself is not opened: closing it again would drop the locks that this process has on it.
    """
    with suppress(OSError, ValueError):
        stat = Path(f"{path}-shm").stat()
        inode = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            _, _, _, kind, pid, where, first, last = line.replace("-> ", "").split()[:8]
            end = int(last) if last.isdigit() else _WAL_WRITE_LOCK
            if kind == "WRITE" and where == inode and int(first) <= _WAL_WRITE_LOCK <= end:
                return _process(int(pid))
    return None


def _process(pid: int) -> str | None:
    if pid <= 0:
        return "a process in another container"
    import psutil

    try:
        process = psutil.Process(pid)
        stopped = ", which is stopped," if process.status() == psutil.STATUS_STOPPED else ""
        return f"process {pid} ({' '.join(process.cmdline())[:80]}){stopped}"
    except psutil.Error:
        return f"process {pid}"


# -- PostgreSQL ----------------------------------------------------------------------------------


def postgres_holder(connection: Connection) -> str | None:
    """The session of the server that has been writing for the longest time, None where there is none any more."""
    row = connection.execute(_OLDEST_WRITER).first()
    if row is None:
        return None
    who = row.application_name or "a session"
    return f"{who} (server process {row.pid}, {row.state} for {row.seconds:.0f} s)"
