"""Whether anybody but one variable holds anything of its value: if not, nothing can be tied to it.

CPython counts the references to each object. Where those from inside of the value, and the variable's own,
explain all of them, nobody else has any.
"""

from __future__ import annotations

import datetime
import decimal
import gc
import uuid
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import cache
from sys import getrefcount
from typing import Any
from weakref import getweakrefcount

_CONTAINERS: frozenset[type] = frozenset(
    {list, dict, set, tuple, frozenset, deque, OrderedDict, defaultdict, bytearray}
)
"""Types that show the collector all that they refer to. (Instances of the notebook's own classes do, too.)"""

_LEAVES: frozenset[type] = frozenset(
    {
        str, bytes, int, float, complex, bool, type(None), type(Ellipsis), range, type, datetime.date,
        datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone, decimal.Decimal, uuid.UUID,
    }
)  # fmt: skip
"""Types whose objects refer to nothing that could be shared."""

_MOST = 2000
"""Objects in a value that is still worth counting."""


def is_private(value_of: Callable[[], Any]) -> bool:
    """Whether a small value of containers is held by nobody but the variable that ``value_of`` reads.

    False where that is not known.
    """
    counts = _from_outside(value_of)
    if counts is None:
        return False
    root, others = _of_private()
    return counts[0] == root and all(count == others for count in counts[1:])


def _from_outside(value_of: Callable[[], Any]) -> list[int] | None:
    """References from elsewhere to the value and to each object in it; None: that cannot be told."""
    found = [value_of()]
    if not _shows_all(found[0]):
        return None
    inside = {id(found[0]): 0}
    for container in found:
        if len(found) > _MOST or getweakrefcount(container):
            return None
        for held in gc.get_referents(container):
            if type(held) in _LEAVES or _is_constant(held):
                continue
            if not _shows_all(held):
                return None
            if id(held) not in inside:
                inside[id(held)] = 0
                found.append(held)
            inside[id(held)] += 1
    held = container = None
    return [getrefcount(one) - inside[id(one)] for one in found]


def _shows_all(held: Any) -> bool:
    kind = type(held)
    return kind in _CONTAINERS or _is_own_array(held, kind) or all(map(_is_of_the_notebook, kind.__mro__))


def _is_of_the_notebook(base: type) -> bool:
    return base is object or (base.__module__ == "__main__" and type(base) is type)


def _is_own_array(held: Any, kind: type) -> bool:
    """A NumPy array that is no view, of numbers."""
    return (
        kind.__module__ == "numpy"
        and kind.__qualname__ == "ndarray"
        and held.base is None
        and not held.dtype.hasobject
    )


def _is_constant(held: Any) -> bool:
    """A tuple of leaves: nobody could tell whether it is shared."""
    return type(held) in (tuple, frozenset) and all(type(one) in _LEAVES for one in held)


@cache
def _of_private() -> tuple[int, int]:
    """What is counted for a value that only its variable holds, and for an object that only this value holds."""
    value: list[Any] = [[]]
    counts = _from_outside(lambda: value)
    assert counts is not None
    return counts[0], counts[1]
