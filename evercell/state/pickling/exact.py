"""Identity where pickle knows none: which NaN is which, a module's own tuple, the namespace, what a setup cell made.

A pickler that asks for every object is slower, so a value is first taken apart without, and again where something
of the kind turned up. Such a stream ends with a mark.
"""

from __future__ import annotations

import builtins
import io
import pickle
import struct
from collections.abc import Sequence
from functools import cache, cached_property
from sys import getrefcount
from typing import Any

from evercell.state.pickling.object_ids import met_ids
from evercell.state.pickling.pickler import NotebookPickler
from evercell.state.pickling.setup_parts import SetupParts
from evercell.state.typerules import sentinels
from evercell.state.typerules.places import NOWHERE, find_part, no_part

MARK = b"evercell-exact"
"""Behind the end of a stream whose objects are to be asked for."""

_NAN, _NEGATIVE_NAN = (b"G" + struct.pack(">d", value) for value in (float("nan"), -float("nan")))
"""How a stream says NaN."""
_FEW = 1 << 18
"""Bytes of a stream up to which it pays to look for tuples of modules in it."""


def needs_exactness(pickler: NotebookPickler, stream: bytes, setup: SetupParts) -> bool:
    """Whether something in a value is to be told from an equal one, and pickle does not tell."""
    if _NAN in stream or _NEGATIVE_NAN in stream or b"__builtins__" in stream:
        return True
    if any(text in stream for text in sentinels.texts_of_modules()):
        return True
    if setup.ids and met_ids(pickler, setup.ids):
        return True
    if len(stream) > _FEW or (b"\x85" not in stream and b"\x86" not in stream and b"t" not in stream):
        return False
    return bool(met_ids(pickler, sentinels.tuples_of_modules().keys()))


class ExactPickler(NotebookPickler):
    """Refers to such objects, in place of their content."""

    setup: SetupParts
    refers = False
    """Whether there was one."""

    def persistent_id(self, value: Any) -> Any:
        """What `Exact.find` makes of it; None for an object that is kept as usual."""
        kind = type(value)
        if kind is float:
            return None if value == value else self._nan(value)
        if kind is str:
            place = self._texts.get(id(value))
            return None if place is None else self._refer("text", *place, value.encode())
        if kind is tuple:
            place = sentinels.place_of_value(value)
            return None if place is None else self._refer("tuple", *place, *value)
        if kind is dict and value is builtins.__dict__:
            return self._refer("builtins")
        if value is self._variables:
            return self._refer("notebook")
        place_in_setup = self.setup.place(value)
        return None if place_in_setup is None else self._refer("setup", *place_in_setup)

    def _refer(self, *reference: Any) -> list[Any]:
        self.refers = True
        return list(reference)

    def _nan(self, value: float) -> Any:
        place = sentinels.place_of_value(value)
        if place is not None:
            return self._refer("nan", struct.pack(">d", value), *place)
        if getrefcount(value) > _references_to_one():
            self.notes.identities.add(id(value))
        return self._refer(
            "nan", struct.pack(">d", value), self._numbers.setdefault(id(value), len(self._numbers))
        )

    @cached_property
    def _texts(self) -> dict[int, sentinels.Place]:
        return sentinels.places_of_texts()

    @property
    def _numbers(self) -> dict[int, int]:
        found: dict[int, int] = self.__dict__.setdefault("nan_numbers", {})
        return found


class _Counter(pickle.Pickler):
    """Notes what `getrefcount` says of an object that one tuple alone holds."""

    count = 0

    def persistent_id(self, value: Any) -> Any:
        if type(value) is float:
            self.count = self._look(value)
        return None

    def _look(self, value: float) -> int:
        return getrefcount(value)


@cache
def _references_to_one() -> int:
    counter = _Counter(io.BytesIO(), 5)
    counter.dump((float("nan"),))  # of all containers pickle holds on to a tuple's items least
    return counter.count


class ExactUnpickler(pickle.Unpickler):
    """Finds what `ExactPickler` refers to."""

    def __init__(self, stream: Any, *, buffers: Sequence[Any], variables: dict[str, Any]) -> None:
        super().__init__(io.BytesIO(stream), buffers=buffers)
        self._variables = variables
        self._nans: dict[int, float] = {}

    def persistent_load(self, reference: list[Any]) -> Any:
        """The object that was meant."""
        kind, *rest = reference
        if kind == "nan":
            return self._nan(*rest)
        if kind == "tuple":
            module, name, *items = rest
            found = sentinels.find(module, name, None)
            return found if type(found) is tuple and found == tuple(items) else tuple(items)
        if kind == "text":
            module, name, content = rest
            return sentinels.find(module, name, content.decode())
        if kind == "builtins":
            return builtins.__dict__
        if kind == "notebook":
            return self._variables
        return self._of_setup(*rest)

    def _nan(self, content: bytes, *place: Any) -> float:
        made: float = struct.unpack(">d", content)[0]
        if len(place) == 1:
            return self._nans.setdefault(place[0], made)
        module, name = place
        found = sentinels.find(module, name, made)
        return found if type(found) is float else made

    def _of_setup(self, name: str, way: tuple[Any, ...]) -> Any:
        found = find_part(self._variables, (name, way))
        return no_part(name) if found is NOWHERE else found
