"""A connection of its own for what a step commits again and again: its beginning, its calls, its end.

SQLAlchemy opens it. Borrowing it from the pool anew for each commit would cost as much as the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Protocol

from sqlalchemy.engine import Engine

from evercell.store.locks import CONTENT
from evercell.store.opening import driver_error_types, driver_errors
from evercell.store.prepared import Direct

_BEGIN_SHARING = f"BEGIN; SELECT pg_advisory_xact_lock_shared({CONTENT})"
"""No content is removed until the transaction ends. In one go with its beginning: it costs no way to the server."""


class Surroundings(Protocol):
    """What a connection needs from whoever knows its process and files."""

    def require_own_process(self) -> None:
        """Raise `ForkedProcess` in a child of the process that opened it."""

    def require_file(self) -> None:
        """Raise `StoreReplaced` where the database's file is not the one that was opened."""

    def require_files(self) -> None:
        """The same in a transaction that writes, of its log, too."""


class DirectConnection:
    """A driver's connection in autocommit mode, for one thread at a time; a broken one is opened anew."""

    def __init__(self, engine: Engine, url: str, around: Surroundings | None = None) -> None:
        """``url`` is what error messages show; ``around`` raises where a commit would be lost."""
        self._engine = engine
        self._is_postgres = engine.dialect.name == "postgresql"
        self._url = url
        self._around = around
        self._lock = Lock()
        self._connection: Any = None

    @contextmanager
    def autocommit(self) -> Iterator[Direct]:
        """For statements that each commit by themselves."""
        if self._around is not None:
            self._around.require_own_process()
        with self._lock, driver_errors(self._url):
            try:
                direct = self._direct()
                if self._around is not None:
                    self._around.require_file()
                yield direct
            except BaseException:
                self._drop()  # it may be broken, or in the middle of something
                raise

    @contextmanager
    def transaction(self, *, synchronous: bool = True) -> Iterator[Direct]:
        """A transaction that writes; SQLite takes the write lock at its beginning.

        With ``synchronous=False`` a commit in SQLite does not wait for the disk. It survives the process, but a
        power cut may undo it and later commits of this kind; the next synchronous commit makes them durable.
        """
        with self.autocommit() as direct:
            relaxed = not synchronous and not self._is_postgres
            if relaxed:
                direct.driver.execute("PRAGMA synchronous = NORMAL")
            direct = self._begin(direct)
            yield direct
            if self._around is not None:
                self._around.require_files()
            direct.driver.execute("COMMIT")
            if relaxed:
                direct.driver.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Give the connection up."""
        with self._lock:
            self._drop()

    def _begin(self, direct: Direct) -> Direct:
        if not self._is_postgres:
            direct.driver.execute("BEGIN IMMEDIATE")
            return direct
        try:
            direct.driver.execute(_BEGIN_SHARING, prepare=False)
        except driver_error_types():  # the server was restarted meanwhile; nothing was asked of it yet
            self._drop()
            direct = self._direct()
            direct.driver.execute(_BEGIN_SHARING, prepare=False)
        return direct

    def _direct(self) -> Direct:
        if self._connection is None:
            self._connection = self._engine.raw_connection()
            driver: Any = self._connection.driver_connection
            if self._is_postgres:
                driver.autocommit = True
        return Direct(self._connection.driver_connection, self._engine.dialect)

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(Exception):
            if not self._is_postgres:
                # closing does not end the transaction while a traceback holds a cursor of it
                connection.driver_connection.rollback()
        with suppress(Exception):
            connection.invalidate()


def keep_for_ever(*objects: object) -> None:
    """Never free these, not even when the process ends.

    SQLite must not so much as close a connection in a forked child, and a pool that is freed ends what is under way.
    """
    import ctypes

    for kept in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(kept))
