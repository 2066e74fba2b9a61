"""Long chains of objects (a linked list, a deep tree): taking them apart recurses once for each link."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from threading import Thread, stack_size
from typing import TypeVar

T = TypeVar("T")

_STACK = 256 << 20
"""Bytes of address space; memory is only used where the recursion gets to."""

_LIMIT = 100_000


def is_too_deep(error: Exception) -> bool:
    """Whether an error says that there was no room for more recursion."""
    return isinstance(error, RecursionError) or (
        isinstance(error, pickle.PicklingError) and isinstance(error.__cause__, RecursionError)
    )


def with_room(function: Callable[[], T]) -> T:
    """Call a function where it may recurse deeply: in a thread with a large stack."""
    outcome: list[T | BaseException] = []

    def run() -> None:
        try:
            outcome.append(function())
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
