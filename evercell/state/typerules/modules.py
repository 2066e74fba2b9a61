"""Modules and namespaces beside the notebook's own: of ``exec``, of ``%run``, made by hand."""

from __future__ import annotations

import gc
import sys
import types
import weakref
from importlib import import_module
from typing import Any

Reduced = tuple[Any, ...]

_homes: dict[int, weakref.ref[types.ModuleType] | None] = {}
"""Modules by the ids of their namespaces; None for a namespace that is no module's."""


_registered: set[str] = set()
"""Names under which cells put modules of their own into ``sys.modules``."""


def note_registered(name: str) -> None:
    """A cell put a module into ``sys.modules``: another process does not find it there."""
    _registered.add(name)


def is_registered_by_cell(name: str) -> bool:
    """Whether the module of this name is one that a cell made."""
    if name not in _registered:
        return False
    found = sys.modules.get(name)
    return issubclass(type(found), types.ModuleType) and not is_imported(found)


_replaced: dict[tuple[str, str], Any] = {}
"""What modules had under names that cells gave something else since."""


def note_replaced(module: str, name: str, value: Any) -> None:
    """A cell is about to put, or has put, something else in its place."""
    _replaced.setdefault((module, name), value)


def original_of_module(module: str, name: str) -> Any:
    """What a module had under a name before any cell changed that: ``plain = time.time; time.time = mine``."""
    found = _replaced.get((module, name), _replaced)
    return getattr(import_module(module), name) if found is _replaced else found


def is_imported(module: Any) -> bool:
    """Whether another process finds this module by its name."""
    attributes = object.__getattribute__(module, "__dict__")
    name = attributes.get("__name__")
    return sys.modules.get(str(name)) is module and (
        attributes.get("__spec__") is not None or name in sys.builtin_module_names
    )


def reduce_module(module: types.ModuleType) -> Reduced | None:
    """How a module that was made by hand is taken apart, None for one that can be imported."""
    if is_imported(module):
        return None
    attributes = vars(module)
    name = str(attributes.get("__name__"))
    fill = fill_registered_module if sys.modules.get(name) is module else fill_module
    return types.ModuleType, (name, attributes.get("__doc__")), attributes, None, None, fill


def fill_module(module: types.ModuleType, attributes: dict[str, Any]) -> None:
    """What is in a module that was made by hand."""
    vars(module).update(attributes)


def fill_registered_module(module: types.ModuleType, attributes: dict[str, Any]) -> None:
    """The same, where ``sys.modules`` had it: to be imported by its name."""
    fill_module(module, attributes)
    note_registered(module.__name__)
    sys.modules.setdefault(module.__name__, module)


def is_of_module(namespace: dict[str, Any]) -> bool:
    """Whether it is that of a module which another process finds by its name."""
    module = sys.modules.get(str(namespace.get("__name__")))
    if not issubclass(type(module), types.ModuleType):  # a library of cffi says that it were one
        return False
    return object.__getattribute__(module, "__dict__") is namespace and is_imported(module)


def home_of(namespace: dict[str, Any]) -> Any:
    """The module that has this namespace, or the namespace itself."""
    module = sys.modules.get(str(namespace.get("__name__")))
    is_one = issubclass(type(module), types.ModuleType)  # a library of cffi says that it were one
    if is_one and object.__getattribute__(module, "__dict__") is namespace:
        return module
    if "__spec__" not in namespace:
        return namespace
    known = _homes.get(id(namespace), _homes)
    if known is None:
        return namespace
    found = known() if isinstance(known, weakref.ref) else None
    if found is None or vars(found) is not namespace:
        found = _search(namespace)
        _homes[id(namespace)] = None if found is None else weakref.ref(found)
    return namespace if found is None else found


def is_place_of_code(namespace: dict[str, Any], variables: dict[str, Any]) -> bool:
    """Whether code ran in this namespace: it is a variable, or has functions of its own in it.

    (A library that makes functions lends them a copy of what they may name, all variables among it. Of such a one
    only that is kept which they do name.)
    """
    if any(value is namespace for value in list(variables.values())):
        return True
    return any(_is_of(value, namespace) for value in list(namespace.values()))


def _is_of(value: Any, namespace: dict[str, Any]) -> bool:
    if type(value) is types.FunctionType:
        return value.__globals__ is namespace
    if not isinstance(value, type) or value.__module__ != namespace.get("__name__", "builtins"):
        return False
    return any(
        type(own) is types.FunctionType and own.__globals__ is namespace for own in list(vars(value).values())
    )


def name_in_module(kind: type) -> str | None:
    """The name under which a module holds a class of it that calls itself otherwise (``typing._TypedDict``)."""
    module = sys.modules.get(kind.__module__)
    if module is None or not issubclass(type(module), types.ModuleType) or not is_imported(module):
        return None
    return next((name for name, value in list(vars(module).items()) if value is kind), None)


def _search(namespace: dict[str, Any]) -> types.ModuleType | None:
    """The module, asked of the collector: a namespace does not know whose it is."""
    holders = (one for one in gc.get_referrers(namespace) if isinstance(one, types.ModuleType))
    return next((one for one in holders if vars(one) is namespace), None)
