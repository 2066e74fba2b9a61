"""The objects that a pickler met, by id: what two variables share is what both picklers met.

The memo of a pickler holds every object once. For a state of a million objects each step in Python costs
more than the pickling itself, so the memo is sifted by functions written in C.
"""

from __future__ import annotations

import gc
import io
import pickle
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Set
from functools import cache
from itertools import chain, compress
from operator import add, itemgetter, sub
from pickle import PickleBuffer
from sys import getrefcount
from types import FunctionType
from typing import Any
from weakref import getweakrefcount

from evercell.core.garbage import collected_later
from evercell.state.internals.pandas import is_index_type
from evercell.state.proxies.paths import stored_parts
from evercell.state.typerules.names import module_of
from evercell.state.typerules.packages import is_users_own_class, library_of
from evercell.state.typerules.pandas import held_by_indexes_alone
from evercell.state.typerules.shareable import is_atom_type

_object_of = itemgetter(1)

_SEE_THROUGH = (tuple, frozenset, PickleBuffer)
"""Types that are nobody's to share but refer to what is."""

_WORTH_COUNTING = 5000
"""Objects in a value up to which it pays to tell references from the inside: it saves searching others."""


def mutable_ids(pickler: Any, inlined: set[int]) -> frozenset[int]:
    """Ids of the mutable objects in a pickler's memo, and of ``inlined`` ones.

    What was made for the sake of the pickling alone (a ``__getstate__``'s dict) is left out: it is soon gone, and
    its id used again.
    """
    with collected_later():
        memo = _Memo(pickler, inlined)
        lasting = frozenset(compress(memo.found, map(_of_nobody_else().__lt__, memo.counts())))
        del memo
    return lasting


def shareable_ids(pickler: Any, inlined: set[int], root: int) -> frozenset[int]:
    """Those by which another value may be tied to this one: objects that somebody else holds, too.

    CPython counts the references to each object. Those from the inside, and one from its variable to the object
    with the id ``root``, are no others'.
    """
    with collected_later():
        memo = _Memo(pickler, inlined)
        counts, kinds = memo.counts(), memo.kinds
        if len(memo.objects) <= _WORTH_COUNTING:
            inside = _references_inside(memo, pickler.buffers, root)
            weakly = map(getweakrefcount, memo.objects_found())
            counts = map(add, map(sub, counts, map(inside.__getitem__, memo.found)), weakly)
        others = frozenset(compress(memo.found, map(_of_nobody_else().__lt__, counts)))
        del memo, counts
    return others - frozenset[int]().union(*map(_of_its_library, kinds))


class _Memo:
    """A copy of a pickler's memo, and the mutable objects found in it. To be gone before the collector is on."""

    def __init__(self, pickler: Any, inlined: set[int]) -> None:
        self.objects: dict[int, tuple[int, Any]] = pickler.memo.copy()
        kinds = list(map(type, map(_object_of, self.objects.values())))
        self.kinds = {kind for kind in set(kinds) if not is_atom_type(kind)}
        self.found = list(compress(self.objects, map(self.kinds.__contains__, kinds)))
        self.found += inlined & self.objects.keys()
        if any(map(is_index_type, set(kinds))):
            tying_nothing = held_by_indexes_alone(map(_object_of, self.objects.values()))
            self.found = [one for one in self.found if one not in tying_nothing]

    def objects_found(self) -> Iterator[Any]:
        return map(_object_of, map(self.objects.__getitem__, self.found))

    def counts(self) -> Iterator[int]:
        """References to each object found: no variable may refer to it while they are counted."""
        return map(getrefcount, self.objects_found())


def _references_inside(memo: _Memo, buffers: Iterable[PickleBuffer], root: int) -> Counter[int]:
    """How often each object is referred to by others of the same value, and by its variable."""
    inside, holders = Counter([root]), set(memo.found)
    for one in chain(map(_object_of, memo.objects.values()), buffers):
        if id(one) in holders or type(one) in _SEE_THROUGH:
            inside.update(map(id, _held_by(one, holders)))
        elif id(one) == root and issubclass(type(one), type):  # isinstance would wake a resource
            for attribute in list(vars(one).values()):  # not in the memo by themselves, as its dict is not
                inside[id(attribute)] += 1
                if type(attribute) is FunctionType and id(attribute) not in holders:
                    inside.update(map(id, gc.get_referents(attribute)))
    return inside


def _held_by(one: Any, holders: Set[int]) -> list[Any]:
    """What an object refers to, an array's base included, of which the collector is not told.

    (The array behind a buffer is one made for the pickling, unless it is among the ``holders`` itself.)
    """
    held = gc.get_referents(one)
    arrays = [one] if id(one) in holders else []
    if type(one) is PickleBuffer:
        arrays = [array for array in held if id(array) not in holders]
    return held + [array.base for array in arrays if _is_array(array)]


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and issubclass(type(value), numpy.ndarray)


_LONG = b"\x8a\x06"
"""How a stream begins a number of six bytes."""
_FEWEST, _MOST = 1 << 46, 1 << 47
"""Where a process has its objects, on the systems of the day."""
_ALIGNED = 16


def is_like_address(number: int) -> bool:
    """Whether a number could be the ``id`` of an object."""
    return _FEWEST <= number < _MOST and number % _ALIGNED == 0


def addresses_in(stream: bytes) -> set[int]:
    """Numbers in a stream that could be. (Of other numbers few are so large, and round.)"""
    found, place = set(), stream.find(_LONG)
    while place >= 0:
        number = int.from_bytes(stream[place + 2 : place + 8], "little", signed=True)
        if is_like_address(number):
            found.add(number)
        place = stream.find(_LONG, place + 2)
    return found


def ids_of_objects(numbers: set[int]) -> set[int]:
    """Those that were the ``id`` of an object that the collector knows when they were first met.

    It looks at all objects, which takes as long as some steps: once for each number.
    """
    if unjudged := numbers - _judged.keys():
        if len(_judged) > _MOST_JUDGED:
            _judged.clear()
        known = unjudged.intersection(map(id, gc.get_objects()))
        _judged.update({number: number in known for number in unjudged})
    return {number for number in numbers if _judged.get(number)}


_judged: dict[int, bool] = {}
_MOST_JUDGED = 100_000


def holds_any(value: Any, numbers: set[int]) -> bool:
    """Whether one of these numbers is in containers and objects of the user's own. (What libraries hold is theirs.)"""
    waiting, seen = [value], set[int]()
    while waiting and len(seen) < _MOST_PARTS:
        one = waiting.pop()
        kind = type(one)
        if kind is int:
            if one in numbers:
                return True
        elif kind not in _NO_HOLDERS and id(one) not in seen:
            seen.add(id(one))
            waiting += _parts_of_users(one, kind)
    return False


_NO_HOLDERS = frozenset({str, float, bytes, bool, type(None)})
_MOST_PARTS = 100_000


def _parts_of_users(one: Any, kind: type) -> list[Any]:
    if issubclass(kind, dict):
        return [*dict.keys(one), *dict.values(one), *_attributes(one, kind)]
    if issubclass(kind, list | tuple | set | frozenset):
        return [*one, *_attributes(one, kind)] if kind.__module__ == "builtins" else _attributes(one, kind)
    if issubclass(kind, type):
        return list(vars(one).values()) if module_of(one) == "__main__" else []
    return _attributes(one, kind)


def _attributes(one: Any, kind: type) -> list[Any]:
    return [part for _, part in stored_parts(one)] if is_users_own_class(kind) else []


def met_ids(pickler: Any, ids: Set[int]) -> Set[int]:
    """Which of these objects, known to be mutable, a pickler met."""
    with collected_later():
        memo: dict[int, Any] = pickler.memo.copy()
        met = ids & memo.keys()
        del memo
    return met


@cache
def _of_its_library(kind: type) -> frozenset[int]:
    """Ids of what a library holds for all objects of it: in its classes (``DataFrame._metadata``) and
    in the settings of its package (``matplotlib.rcParams``).
    """
    libraries = {base: library for base in kind.__mro__ if (library := library_of(module_of(base)))}
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
def _of_nobody_else() -> int:
    """What `getrefcount` says, where `shareable_ids` asks, of an object that nobody else holds."""
    pickler = pickle.Pickler(io.BytesIO(), protocol=5)
    pickler.dump(_Made())
    memo = pickler.memo.copy()
    counts = list(map(getrefcount, map(_object_of, memo.values())))
    kinds = map(type, map(_object_of, memo.values()))
    return min(compress(counts, map(_is_dict, kinds)))
