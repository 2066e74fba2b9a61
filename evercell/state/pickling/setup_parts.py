"""What ``%%setup`` cells made: referred to, where other state holds it, for each kernel makes it anew."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any

from evercell.state.internals.torch import PARTS_OF_MODELS
from evercell.state.typerules.names import type_name
from evercell.state.typerules.shareable import is_atom_type
from evercell.state.typerules.tensors import storage_behind
from evercell.state.typerules.training import is_model

Step = tuple[str, Any]
"""``("item", key)``, ``("attribute", name)``, ``("column", name)``, ``("storage", None)``: the way to a part."""
Place = tuple[str, tuple[Step, ...]]
"""A variable, and the way from it to a part of it."""

_MOST = 1000
"""Parts of a variable that are known, the nearest first."""
_TABLE = "sqlalchemy.sql.schema.Table"
_PLAIN_KEYS = (str, int, float, bool, type(None))


class SetupParts:
    """The objects of setup variables as they were when their cell had run, each with its place."""

    def __init__(self, variables: dict[str, Any], names: Set[str]) -> None:
        """``names`` are the setup variables of the moment: one that another cell bound is one no more."""
        self._variables = variables
        self._names = names
        self._places: dict[int, Place] = {}

    def note(self, name: str) -> None:
        """A setup cell bound this variable."""
        value = self._variables.get(name)
        for place, part in _parts(value):
            self._places[id(part)] = (name, place)

    @property
    def ids(self) -> Set[int]:
        """Ids that parts had."""
        return self._places.keys() if self._names else frozenset()

    def place(self, value: Any) -> Place | None:
        """Where this object is found in each kernel, None for one that is no part of a setup variable."""
        place = self._places.get(id(value))
        if place is None or place[0] not in self._names:
            return None
        try:
            return place if find_part(self._variables, place) is value else None
        except (KeyError, IndexError, AttributeError, TypeError):
            return None

    def name_of(self, definition: Any) -> str | None:
        """The setup variable that is this function or class."""
        name = str(definition.__name__)
        return name if name in self._names and self._variables.get(name) is definition else None


def find_part(variables: dict[str, Any], place: Place) -> Any:
    """The object at a place; raises what the way there raises."""
    name, way = place
    found = variables[name]
    for kind, key in way:
        found = _WAYS[kind](found, key)
    return found


_WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "item": lambda holder, key: holder[key],
    "attribute": lambda holder, name: vars(holder)[name],
    "storage": lambda tensor, _: storage_behind(tensor),
    "column": lambda table, name: table.columns[name],
}


def _parts(value: Any) -> Iterator[tuple[tuple[Step, ...], Any]]:
    """The mutable objects in a value, with the way to each."""
    waiting: list[tuple[tuple[Step, ...], Any]] = [((), value)]
    seen: set[int] = set()
    for way, part in waiting:
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, types.FunctionType | types.ModuleType):
            continue
        if not isinstance(part, type) and not is_atom_type(type(part)):
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
