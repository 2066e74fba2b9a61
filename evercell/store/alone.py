"""The connection on which every statement commits by itself: one of a durable call is one commit."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import Any

from sqlalchemy.engine import Engine

from evercell.store.opening import driver_errors


class Alone:
    """A driver's connection in autocommit mode, for one thread at a time (``with``)."""

    def __init__(self, engine: Engine, shown: str) -> None:
        """``shown``: the store's address as it may be shown."""
        self._engine = engine
        self._errors = driver_errors(shown)
        self._lock = Lock()
        self._connection: Any = None

    def __enter__(self) -> Any:
        self._lock.acquire()
        try:
            with self._errors:
                if self._connection is None:
                    self._connection = self._open()
                return self._connection.driver_connection
        except BaseException:
            self._lock.release()
            raise

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is not None:
                self._drop()  # it may be broken: the next one who wants it opens another
                self._errors.__exit__(kind, error, trace)
        finally:
            self._lock.release()

    def _open(self) -> Any:
        connection = self._engine.raw_connection()
        driver: Any = connection.driver_connection
        if self._engine.dialect.name == "postgresql":
            driver.autocommit = True
        else:
            driver.execute("PRAGMA synchronous = FULL")  # whoever had it before may have written lightly
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.invalidate()

    def close(self) -> None:
        """Give the connection up."""
        with self._lock:
            self._drop()
