"""Outages: what was asked of a database that is away or busy is asked again, while somebody is patient."""

from __future__ import annotations

import inspect
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import TimeoutError as PoolTimeout

from evercell.core.errors import ContentCollected, StoreError, StoreFull, StoreReplaced

QUIET_SECONDS = 5.0
"""How long a database may be held by another writer before anybody is told: commits of large states take their time."""

_BUSY_SECONDS = 30.0
"""How long whoever has no patience waits for one."""

_PASSING_SQLITE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CANTOPEN,
    }
)
_BUSY_SQLITE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
_LOCK_NOT_AVAILABLE = "55P03"
_PASSING_POSTGRES = ("08", "25P03", "40", "53", "55P03", "57")
"""Beginnings of SQLSTATE: connections, time-outs of transactions, conflicts, resources, locks, a server that stops."""

R = TypeVar("R")
Part = TypeVar("Part", bound=type)


class Patience(Protocol):
    """Whoever can wait for the database, and tells somebody."""

    def wait(self, error: StoreError, seconds: float) -> None:
        """Return when it is time to ask again; raise ``error`` where not. It has lasted for ``seconds``."""

    def is_back(self, seconds: float) -> None:
        """The database answered again."""


_is_asked_again: ContextVar[bool] = ContextVar("evercell_asked_again", default=False)
_waits_no_longer: ContextVar[float | None] = ContextVar("evercell_waits_no_longer", default=None)


def is_asked_again() -> bool:
    """Whether this was asked before, and perhaps done, though nobody was told."""
    return _is_asked_again.get()


class Outages:
    """The outages of an open store's database."""

    def __init__(self, explain_busy: Callable[[StoreError], StoreError]) -> None:
        """``explain_busy`` makes of an error one that says who holds the database."""
        self.patience: Patience | None = None
        """Who waits for the database now; None: nobody does, it is an error."""
        self.quiet_seconds = QUIET_SECONDS
        self._explain_busy = explain_busy

    @contextmanager
    def nobody_waits(self, *, busy: float | None = None) -> Iterator[None]:
        """Inside, in this thread, an outage is an error at once, and a database that another writer holds after
        ``busy`` seconds (about: the driver waits for a second by itself).
        """
        token = _waits_no_longer.set(self.quiet_seconds if busy is None else busy)
        try:
            yield
        finally:
            _waits_no_longer.reset(token)

    def ask_again(self, ask: Callable[[], R], error: StoreError) -> R:
        """What ``ask`` returns at last; raises its error where it cannot pass, or nobody is patient any more."""
        began, was_told = time.monotonic(), False
        while True:
            seconds = time.monotonic() - began
            if not may_pass(error):
                raise error
            if not is_busy(error) or seconds > self._quiet_seconds():
                error = self._explain_busy(error) if is_busy(error) else error
                self._wait(error, seconds)
                was_told = True
            token = _is_asked_again.set(True)
            try:
                answer = ask()
            except StoreError as failed:
                error = failed
                continue
            finally:
                _is_asked_again.reset(token)
            if was_told and self.patience is not None:
                self.patience.is_back(time.monotonic() - began)
            return answer

    def _quiet_seconds(self) -> float:
        limit = _waits_no_longer.get()
        if limit is not None:
            return limit
        return self.quiet_seconds if self.patience is not None else _BUSY_SECONDS

    def _wait(self, error: StoreError, seconds: float) -> None:
        if self.patience is None or _waits_no_longer.get() is not None:
            raise error
        self.patience.wait(error, seconds)


def asks_again(part: Part) -> Part:
    """Each public method of this part of the store is one transaction: after an outage it is asked again.

    Not so one that is asked to work ``within`` a transaction: that is asked again as a whole.
    """
    for name, method in list(vars(part).items()):
        if inspect.isfunction(method) and not name.startswith("_"):
            setattr(part, name, _asking_again(method))
    return part


def _asking_again(method: Callable[..., R]) -> Callable[..., R]:
    @wraps(method)
    def ask(self: Any, *args: Any, **kwargs: Any) -> R:
        try:
            return method(self, *args, **kwargs)
        except StoreError as error:
            if kwargs.get("within") is not None:
                raise
            outages: Outages = self._database.outages
            return outages.ask_again(partial(method, self, *args, **kwargs), error)

    return ask


def may_pass(error: StoreError) -> bool:
    """Whether the database may answer later: it is away, busy or full, and not damaged or another one."""
    if isinstance(error, StoreFull | StoreReplaced):
        return True
    if isinstance(error, ContentCollected):
        return error.passes
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        return _sqlite_code(cause) in _PASSING_SQLITE
    psycopg = sys.modules.get("psycopg")
    if psycopg is not None and isinstance(cause, psycopg.Error):
        state = cause.sqlstate
        if state is None:  # there was no server to give one
            return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)
        return bool(state.startswith(_PASSING_POSTGRES))
    return isinstance(cause, PoolTimeout | OSError)


def is_busy(error: StoreError) -> bool:
    """Whether somebody else holds what was to be written."""
    if isinstance(error, ContentCollected):
        return error.passes
    cause = _cause(error)
    if isinstance(cause, sqlite3.Error):
        return _sqlite_code(cause) in _BUSY_SQLITE
    return bool(getattr(cause, "sqlstate", None) == _LOCK_NOT_AVAILABLE)


def _cause(error: StoreError) -> BaseException | None:
    """What the driver raised."""
    cause = error.__cause__
    return getattr(cause, "orig", None) or cause


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
