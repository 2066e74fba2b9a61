"""Objects that a module has one of: ``lib.MISSING``, ``math.nan``, a library's default settings. They are kept by name.

Saved by value they would come back as other ones: ``x is lib.MISSING`` would not hold any more, and all variables
that hold them would be tied together. Where the module is the user's own, what the notebook changed in the object
is put back into it.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from evercell.state.typerules import factories
from evercell.state.typerules.names import module_of
from evercell.state.typerules.packages import is_users_own

Reduced = tuple[Any, ...]
Place = tuple[str, str]


class _Index:
    """Places of objects of some kind in modules, by id. A module is looked at anew when it has other attributes."""

    def __init__(self, wanted: Callable[[Any], bool], *, in_classes: bool = False, package: str = "") -> None:
        self._wanted = wanted
        self._package = package
        self._in_classes = in_classes
        self._sizes: dict[str, int] = {}
        self._modules = 0
        self._places: dict[int, Place] = {}

    def place(self, value: Any) -> Place | None:
        """Module and name of an object, None where no module has it."""
        self._update()
        found = self._places.get(id(value))
        return found if found is not None and find(*found, None) is value else None

    def ids(self) -> dict[int, Place]:
        """All that were found, by id."""
        self._update()
        return self._places

    def _update(self) -> None:
        if len(sys.modules) == self._modules:
            return
        self._modules = len(sys.modules)
        for name, module in list(sys.modules.items()):
            if name == "__main__" or self._package not in ("", name.partition(".")[0]):
                continue
            attributes = _attributes_of(module)
            if len(attributes) != self._sizes.get(name):
                self._sizes[name] = len(attributes)
                self._look_into(name, list(attributes.items()))

    def _look_into(self, module: str, attributes: list[tuple[str, Any]]) -> None:
        wanted = self._wanted
        for name, value in attributes:
            if wanted(value):
                self._places.setdefault(id(value), (module, name))
            elif self._in_classes and issubclass(type(value), type) and value.__module__ == module:
                for inner, held in _own(value):
                    if wanted(held):
                        self._places.setdefault(id(held), (module, f"{name}.{inner}"))


def _attributes_of(module: Any) -> dict[str, Any]:
    """Without a question to the module, which may be a lazy one that would be imported."""
    if not issubclass(type(module), types.ModuleType):  # a library of cffi says that it were one
        return {}
    found: dict[str, Any] = object.__getattribute__(module, "__dict__")
    return found if found.get("__spec__") is not None else {}


def _own(kind: type) -> Iterator[tuple[str, Any]]:
    return iter(list(type.__dict__["__dict__"].__get__(kind).items()))


def _is_plain_object(value: Any) -> bool:
    return type(value) is object


def _is_nan_or_tuple(value: Any) -> bool:
    kind = type(value)
    return bool((kind is tuple and value) or (kind is float and value != value))


_objects = _Index(_is_plain_object, in_classes=True)
_values = _Index(_is_nan_or_tuple)


def place_of_value(value: Any) -> Place | None:
    """Where a module has this very tuple or NaN."""
    return _values.place(value)


def tuples_of_modules() -> dict[int, Place]:
    """Ids of tuples (and NaNs) that modules hold."""
    return _values.ids()


_TEXTS: tuple[Place, ...] = (
    ("argparse", "SUPPRESS"),
    ("optparse", "SUPPRESS_HELP"),
    ("optparse", "SUPPRESS_USAGE"),
)
"""Texts that Python's own modules know by identity."""


def places_of_texts() -> dict[int, Place]:
    """Where modules have these very texts, by id, to tell them from any equal ones."""
    return {id(_text_at(place)): place for place in _TEXTS if _text_at(place) is not None}


def texts_of_modules() -> list[bytes]:
    """How a stream writes those texts of modules that are loaded."""
    return [text.encode() for place in _TEXTS if isinstance(text := _text_at(place), str)]


def _text_at(place: Place) -> Any:
    module, name = place
    return getattr(sys.modules.get(module), name, None)


def find(module: str, name: str, instead: Any) -> Any:
    """What a module holds under a (dotted) name, ``instead`` where it holds nothing there."""
    try:
        return functools.reduce(getattr, name.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        return instead


def reduce_held(value: Any, kind: type) -> Reduced | None:
    """The one object of its module by name, None for any other object."""
    if kind is object:
        place = _objects.place(value)
        return None if place is None else (factories.sentinel_of_module, (*place, object))
    module = sys.modules.get(kind.__module__)
    if module is None or kind.__module__ == "__main__":
        return None
    name = _attributes(kind.__module__).get(id(value))
    if name is None or module.__dict__.get(name) is not value:
        return _held_elsewhere(value, kind)
    found = (factories.attribute_of_module, (kind.__module__, name))
    if not is_users_own(module):
        return found
    reduced = value.__reduce_ex__(5)
    return (*found, reduced[2]) if isinstance(reduced, tuple) and len(reduced) > 2 else found


def _held_elsewhere(value: Any, kind: type) -> Reduced | None:
    """A bare object (``UNSET = Unset()``) that another module of its package holds."""
    package = module_of(kind).partition(".")[0]
    index = _packages.get(package)
    if index is None:
        index = _packages[package] = _Index(functools.partial(_is_made_by, package), package=package)
    place = index.place(value)
    return (factories.sentinel_of_module, (*place, kind)) if place is not None and _is_bare(value) else None


_packages: dict[str, _Index] = {}
_OF_PYTHON = 1 << 9
"""Flag of types that were made by a ``class`` statement."""


def _is_made_by(package: str, value: Any) -> bool:
    kind = type(value)
    return kind.__flags__ & _OF_PYTHON != 0 and str(kind.__module__).partition(".")[0] == package


def _is_bare(value: Any) -> bool:
    """Whether an object is nothing but itself."""
    try:
        return object.__getstate__(value) is None
    except TypeError:
        return False


@functools.cache
def _attributes(module: str) -> dict[int, str]:
    """Names of a module's own objects, by id, as they were when it was first asked."""
    return {id(value): name for name, value in list(vars(sys.modules[module]).items())}
