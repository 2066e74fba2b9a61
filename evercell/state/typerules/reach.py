"""What an object that is not kept holds on to: a generator goes on to change the list that it was given.

That list belongs to the rest of the namespace. It is kept with it, and whoever touches the generator may change it.
"""

from __future__ import annotations

import collections
import functools
import gc
import types
from dataclasses import dataclass, field
from typing import Any

from evercell.state.code.definitions import code_names
from evercell.state.typerules.refused import refusal
from evercell.state.typerules.shareable import is_atom_type

_MOST = 2000
"""Objects that are followed, the nearest first: what lies deeper is mostly in a container that is tied already."""

_SUSPENDED = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
_FOLLOWED: tuple[Any, ...] = (
    dict, list, tuple, set, frozenset, collections.deque, types.CellType, types.MethodType,
    types.BuiltinFunctionType, types.MethodWrapperType, types.MappingProxyType, functools.partial, memoryview,
    *_SUSPENDED,
)  # fmt: skip
_PLAIN = frozenset({int, float, str, bytes, bool, type(None)})
_NOT_FOLLOWED = (type, types.ModuleType, types.CodeType, types.FrameType, types.TracebackType)


@dataclass(slots=True)
class Reach:
    """What a value holds on to."""

    ids: set[int] = field(default_factory=set)
    """Of mutable objects."""
    reads: set[str] = field(default_factory=set)
    """Variables that its code names."""


def reach_of(value: Any, variables: dict[str, Any]) -> Reach:
    """The objects that a value could change when it is called, continued or answered."""
    reach = Reach()
    waiting, seen = [value], {id(value), id(variables)}
    for part in waiting:
        if len(seen) > _MOST:
            break
        for inner in _held_by(part, variables, reach):
            kind = type(inner)
            if kind in _PLAIN or id(inner) in seen or issubclass(kind, _NOT_FOLLOWED):
                continue
            seen.add(id(inner))
            if not is_atom_type(kind) and refusal(inner) is None:
                reach.ids.add(id(inner))
            if _is_followed(kind):
                waiting.append(inner)
    return reach


def _is_followed(kind: type) -> bool:
    return (
        issubclass(kind, _FOLLOWED)
        or kind is types.FunctionType
        or kind.__module__ == "__main__"
        or kind.__name__.endswith(("iterator", "managedbuffer", "Buffer"))
    )


def _held_by(part: Any, variables: dict[str, Any], reach: Reach) -> list[Any]:
    if isinstance(part, types.FunctionType):
        if part.__globals__ is variables:
            reach.reads |= code_names(part.__code__)
        return [part.__closure__, part.__defaults__, part.__kwdefaults__, part.__dict__]
    if type(part).__module__ == "__main__":
        for own in [
            own
            for base in type(part).__mro__
            if base.__module__ == "__main__"
            for own in list(vars(base).values())
        ]:
            if isinstance(own, types.FunctionType) and own.__globals__ is variables:
                reach.reads |= code_names(own.__code__)
    return gc.get_referents(part)
