"""Places in what ``%%setup`` cells make in each kernel: a variable, and the way from it to a part of it."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any

from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules import factories
from evercell.state.typerules.tensors import storage_behind

Step = tuple[str, Any]
"""``("item", key)``, ``("attribute", name)``; ``("function", name)`` of a method, ``("column", name)`` of a table,
``("storage", None)`` of a tensor.
"""
Place = tuple[str, tuple[Step, ...]]
"""A variable, and the way from it to a part of it."""

NOWHERE = object()
"""What is found at a place that is not there."""

_WAYS: dict[str, Callable[[Any, Any], Any]] = {
    "item": lambda holder, key: holder[key],
    "attribute": lambda holder, name: vars(holder)[name],
    "function": getattr,
    "column": lambda table, name: table.columns[name],
    "storage": lambda tensor, _: storage_behind(tensor),
}


def find_part(variables: Mapping[str, Any], place: Place) -> Any:
    """The object at a place, `NOWHERE` where there is none."""
    name, way = place
    try:
        found = variables[name]
        for kind, key in way:
            found = _WAYS[kind](found, key)
    except (LookupError, AttributeError, TypeError):
        return NOWHERE
    return found


def no_part(name: str) -> Any:
    """Instead of a part of the variable ``name`` that is no more."""
    why = f"it is a part of {name}, which a %%setup cell made and which has no such part now"
    return Missing(name, "part of it", why, f"let a %%setup cell make {name} as it did").placeholder()


def part_of_setup(name: str, way: tuple[Step, ...], node: str | None) -> Any:
    """A function or class of a setup cell, as it is in this kernel; where there is none, the saved one."""
    resolver = factories.resolver.get()
    found = find_part(resolver.variables, (name, way))
    if isinstance(found, type | types.FunctionType):
        return found
    return resolver.definition(node) if node is not None else no_part(name)
