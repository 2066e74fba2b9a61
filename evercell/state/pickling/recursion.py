"""Long chains of objects (a linked list, a deep tree): taking them apart recurses once for each link.

A thread with a large stack has room for that, where Python lets C code use it. (3.12 and 3.13 do not: there is a limit
that nobody can raise.) What does not get through there is taken apart by code that is written in Python, which is slow
and recurses as far as there is memory.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from threading import Thread, local, stack_size
from typing import TypeVar

T = TypeVar("T")

_STACK = 256 << 20
"""Bytes of address space; memory is only used where the recursion gets to."""

_LIMIT = 100_000
_LIMIT_IN_PYTHON = 250_000


class _Room(local):
    in_python = False
    """Whether nothing is to recurse in C in this thread."""


_room = _Room()


def is_for_python() -> bool:
    """Whether values are to be taken apart without recursion in C."""
    return _room.in_python


def is_too_deep(error: Exception) -> bool:
    """Whether an error says that there was no room for more recursion."""
    return isinstance(error, RecursionError) or (
        isinstance(error, pickle.PicklingError) and isinstance(error.__cause__, RecursionError)
    )


def with_room(function: Callable[[], T]) -> T:
    """Call a function where it may recurse deeply: in a thread with a large stack; again `is_for_python` there, where
    that was not enough.
    """
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(_called_twice(function))
        except BaseException as error:  # noqa: BLE001  raised where it was asked for
            outcome.append(error)

    limit, size = sys.getrecursionlimit(), stack_size(_STACK)
    sys.setrecursionlimit(max(limit, _LIMIT))
    try:
        thread = Thread(target=run, name="evercell-deep")
        thread.start()
        thread.join()
    finally:
        stack_size(size)
        sys.setrecursionlimit(limit)
    (found,) = outcome
    if isinstance(found, BaseException):
        raise found
    return found


def _called_twice(function: Callable[[], T]) -> T:
    try:
        return function()
    except Exception as error:
        if not is_too_deep(error):
            raise
    sys.setrecursionlimit(_LIMIT_IN_PYTHON)
    _room.in_python = True
    return function()
