"""What ``%%setup`` cells made: referred to, where other state holds it, for each kernel makes it anew."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Set
from typing import Any

from evercell.state.internals.torch import PARTS_OF_MODELS
from evercell.state.typerules.names import type_name
from evercell.state.typerules.places import Place, Step, find_part
from evercell.state.typerules.shareable import is_atom_type
from evercell.state.typerules.tensors import storage_behind
from evercell.state.typerules.training import is_model

_MOST = 1000
"""Parts of a variable that are known, the nearest first."""
_CODE = (types.FunctionType, type)
_OF_CLASSES = (staticmethod, classmethod, property)
_FUNCTIONS_BEHIND = ("__func__", "fget", "fset", "fdel")
_TABLE = "sqlalchemy.sql.schema.Table"
_PLAIN_KEYS = (str, int, float, bool, type(None))


class SetupParts:
    """The objects of setup variables as they were when their cell had run, each with its place."""

    def __init__(self, variables: dict[str, Any], names: Set[str]) -> None:
        """``names`` are the setup variables of the moment: one that another cell bound is one no more."""
        self._variables = variables
        self._names = names
        self._places: dict[int, Place] = {}
        self._code: dict[int, Place] = {}

    def note(self, name: str) -> None:
        """A setup cell bound this variable."""
        for way, part in _parts(self._variables.get(name)):
            places = self._code if isinstance(part, _CODE) else self._places
            if (
                not way or id(part) not in places
            ):  # (the shortest: ``helper`` rather than ``tools["helper"]``)
                places[id(part)] = (name, way)

    @property
    def ids(self) -> Set[int]:
        """Ids that parts had."""
        return self._places.keys() if self._names else frozenset()

    def place(self, value: Any) -> Place | None:
        """Where this object is found in each kernel, None for one that is no part of a setup variable."""
        return self._found(self._places.get(id(value)), value)

    def place_of_code(self, definition: Any) -> Place | None:
        """The same of a function or class."""
        return self._found(self._code.get(id(definition)), definition)

    def _found(self, place: Place | None, value: Any) -> Place | None:
        if place is None or place[0] not in self._names:
            return None
        return place if find_part(self._variables, place) is value else None


def _parts(value: Any) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """The mutable objects, functions and classes in a value, with the way to each."""
    waiting: list[tuple[tuple[Step, ...], Any]] = [((), value)]
    seen: set[int] = set()
    for way, part in waiting:
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, types.ModuleType):
            continue
        if not is_atom_type(type(part)) or isinstance(part, _CODE):
            yield way, part
        if len(waiting) < _MOST:
            waiting += [((*way, step), inner) for step, inner in _inside(part)]


def _inside(part: Any) -> Iterator[tuple[Step, Any]]:
    kind = type(part)
    if kind is dict:
        for key, value in list(part.items())[:_MOST]:
            if type(key) in _PLAIN_KEYS:
                yield ("item", key), value
    elif kind in (list, tuple):
        for number, value in enumerate(part[:_MOST]):
            yield ("item", number), value
    elif (storage := storage_behind(part)) is not None:
        yield ("storage", None), storage
    elif is_model(part):
        for name in PARTS_OF_MODELS:
            if held := vars(part).get(name):
                yield ("attribute", name), held
    elif kind in _OF_CLASSES:
        for name in _FUNCTIONS_BEHIND:
            if (function := getattr(part, name, None)) is not None:
                yield ("function", name), function
    elif type_name(kind) == _TABLE:
        for name, column in part.columns.items():
            yield ("column", name), column
    elif (attributes := _attributes(part, kind)) is not None:
        for name, value in list(attributes.items())[:_MOST]:
            yield ("attribute", name), value


def _attributes(part: Any, kind: type) -> Mapping[str, Any] | None:
    """Those of a class of the notebook, or of an object of one."""
    if isinstance(part, type):
        return vars(part) if part.__module__ == "__main__" else None
    attributes = getattr(part, "__dict__", None) if kind.__module__ == "__main__" else None
    return attributes if isinstance(attributes, dict) else None
