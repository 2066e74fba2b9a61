"""Looking at objects while other threads change them.

Python lets another thread run every few milliseconds. A dict that grows while somebody walks over it raises, a key that
was there is gone. Most looks are over before that; one that was disturbed is repeated while the others wait.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, active_count
from typing import TypeVar

from evercell.core.garbage import collected_later

T = TypeVar("T")

_PATIENCE = (0.02, 0.1, 0.5)
"""Seconds that a thread which computes is kept waiting while a look is repeated, for the first time, the second, …"""

_HALF_A_MICROSECOND = 5e-7

_last_repeats: list[None] = []
"""One for each that is under way: what fails there was not disturbed, as far as we can tell."""


class _Turns:
    """How long Python lets a thread go on, and what it was before the first of those came who make the others wait."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._usual = 0.0
        self._asked: list[float] = []

    def ask(self, seconds: float) -> None:
        with self._lock:
            if not self._asked:
                self._usual = sys.getswitchinterval()
            self._asked.append(seconds)
            self._set(max(self._usual, *self._asked))

    def give_back(self, seconds: float) -> None:
        with self._lock:
            self._asked.remove(seconds)
            self._set(max([self._usual, *self._asked]))

    @staticmethod
    def _set(seconds: float) -> None:
        """Rounded: Python cuts off what is no whole microsecond, so that each time it would be a little less."""
        sys.setswitchinterval(seconds + _HALF_A_MICROSECOND)


_turns = _Turns()


@contextmanager
def others_waiting(seconds: float) -> Iterator[None]:
    """While inside, Python takes turns less often. (Who waited for its turn already has it first, once.)"""
    _turns.ask(seconds)
    try:
        yield
    finally:
        _turns.give_back(seconds)


def is_disturbed(error: Exception) -> bool:
    """Whether an error may be that of a walk over something that another thread changed meanwhile."""
    if _last_repeats or active_count() == 1:
        return False
    if isinstance(error, AttributeError):
        return error.name is not None  # one that was looked up; that of a pickler says what it cannot take
    return isinstance(error, KeyError | IndexError) or (
        isinstance(error, RuntimeError) and "iteration" in str(error)
    )


def settled(look: Callable[[], T]) -> T:
    """What a function sees that only looks; it looks again where another thread's change made it fail."""
    try:
        return look()
    except Exception as error:
        if not is_disturbed(error):
            raise
        failed = error
    return _repeated(look, failed)


def _repeated(look: Callable[[], T], failed: Exception) -> T:
    *tries, last = _PATIENCE
    with collected_later():
        for seconds in tries:
            with others_waiting(seconds):
                try:
                    return look()
                except Exception as error:
                    if not is_disturbed(error):
                        raise
                    if repr(error) == repr(failed) and not isinstance(error, RuntimeError):
                        break  # no other thread's doing
                    failed = error
        _last_repeats.append(None)
        try:
            with others_waiting(last):
                return look()
        finally:
            _last_repeats.pop()
