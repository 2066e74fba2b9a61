"""The objects that a pickler met, by id: what two variables share is what both picklers met.

The memo of a pickler holds every object once. For a state of a million objects each step in Python costs
more than the pickling itself, so the memo is sifted by functions written in C.
"""

from __future__ import annotations

import gc
import io
import pickle
import sys
from collections.abc import Iterator, Set
from contextlib import contextmanager
from functools import cache
from itertools import compress
from operator import itemgetter
from sys import getrefcount
from typing import Any

from evercell.state.atoms import is_atom_type
from evercell.state.libraries import library_of

_object_of = itemgetter(1)


def mutable_ids(pickler: Any, inlined: set[int]) -> frozenset[int]:
    """Ids of the mutable objects in a pickler's memo, and of ``inlined`` ones, that others hold, too.

    What was made for the sake of the pickling alone (a ``__getstate__``'s dict) is soon gone, and its id
    used again.
    """
    with _uncollected():
        memo: dict[int, tuple[int, Any]] = pickler.memo.copy()
        kinds = list(map(type, map(_object_of, memo.values())))
        mutable = {kind for kind in set(kinds) if not is_atom_type(kind)}
        found = list(compress(memo, map(mutable.__contains__, kinds)))
        objects = map(_object_of, map(memo.__getitem__, found))
        lasting = frozenset(compress(found, map(_temporary().__lt__, map(getrefcount, objects))))
        met = inlined & memo.keys()
        del memo, kinds
    return (lasting - frozenset[int]().union(*map(_of_its_library, mutable))) | met


def met_ids(pickler: Any, ids: Set[int]) -> Set[int]:
    """Which of these objects, known to be mutable, a pickler met."""
    with _uncollected():
        memo: dict[int, Any] = pickler.memo.copy()
        return ids & memo.keys()


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without passes of the collector: it would look at all the tuples of a memo's copy, again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@cache
def _of_its_library(kind: type) -> frozenset[int]:
    """Ids of what a library holds for all objects of it: in its classes (``DataFrame._metadata``) and
    in the settings of its package (``matplotlib.rcParams``).
    """
    libraries = {base: library for base in kind.__mro__ if (library := library_of(base.__module__))}
    held = {id(value) for base in libraries for value in list(vars(base).values())}
    for package in filter(None, map(sys.modules.get, set(libraries.values()))):
        # asking a lazy object for its class would import what it stands for: ask for its type
        settings = [value for value in list(vars(package).values()) if issubclass(type(value), dict)]
        held.update(id(value) for setting in settings for value in list(setting.values()))
    return frozenset(held)


def _is_dict(kind: type) -> bool:
    return kind is dict


class _Made:
    def __getstate__(self) -> dict[str, int]:
        return {"only": 1}


@cache
def _temporary() -> int:
    """What `getrefcount` says, where `mutable_ids` asks, of an object that nobody else holds."""
    pickler = pickle.Pickler(io.BytesIO(), protocol=5)
    pickler.dump(_Made())
    memo = pickler.memo.copy()
    counts = list(map(getrefcount, map(_object_of, memo.values())))
    kinds = map(type, map(_object_of, memo.values()))
    return min(compress(counts, map(_is_dict, kinds)))
