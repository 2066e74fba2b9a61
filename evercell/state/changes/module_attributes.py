"""Attributes of modules and of their classes that cells assigned: ``openai.api_key = …``, ``json.dumps = mine``."""

from __future__ import annotations

import re
import sys
import types
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from evercell.state.proxies.placeholder import Placeholder
from evercell.state.typerules.hiding import SECRET_NAMES
from evercell.state.typerules.modules import is_imported, note_registered, note_replaced
from evercell.state.typerules.secrets import Secret
from evercell.state.typerules.settings import Setting
from evercell.state.typerules.shareable import is_atom

_ASSIGNED = re.compile(
    r"^\s*([A-Za-z_]\w*(?:\.\w+)*)\.(\w+)(?:: [^=\n]+)? (?:[-+*/|&^%@]|//|\*\*|<<|>>)?= ", re.MULTILINE
)
_SET = re.compile(r"\bsetattr\(([A-Za-z_]\w*(?:\.\w+)*), '(\w+)', ")

Place = tuple[str, str, str]
"""Module, class in it or nothing, attribute."""

_REGISTERED = re.compile(r"\bsys\.modules\[('[^'\n]+'|\w+(?:\.__name__)?)\] = ")
_MODULES = ("sys", "modules")
"""Owner of the places of modules that cells registered: ``sys.modules['config'] = made``."""

_KEPT_OTHERWISE = {("sys", "", "path"), ("sys", "", "modules"), ("os", "", "environ")}

_assigned: dict[Place, None] = {}
"""Places that cells of this process assigned to, in order."""


def note_assignments(source: str, variables: Mapping[str, Any]) -> None:
    """Remember what a cell that ran assigned to attributes of modules that it did not make itself."""
    for pattern in (_ASSIGNED, _SET):
        for owner, attribute in pattern.findall(source):
            place = place_of(owner.split("."), attribute, variables)
            if place is not None and place not in _KEPT_OTHERWISE:
                _assigned[place] = None
    for name in _REGISTERED.findall(source):
        if (called := _called(name, variables)) is not None:
            _assigned[*_MODULES, called] = None
            note_registered(called)


def _called(written: str, variables: Mapping[str, Any]) -> str | None:
    """The name under which a module was registered, as a cell has it: a text, a variable, a module's ``__name__``."""
    if written.startswith("'"):
        return written.strip("'")
    name, _, attribute = written.partition(".")
    found = variables.get(name)
    found = getattr(found, attribute, None) if attribute else found
    return found if isinstance(found, str) else None


def place_of(path: list[str], attribute: str, variables: Mapping[str, Any]) -> Place | None:
    """The place that a cell calls so, None where it is no module's of others."""
    found = variables.get(path[0])
    for name in path[1:]:
        if not isinstance(found, types.ModuleType | type):
            return None
        found = getattr(found, name, None)
    if isinstance(found, types.ModuleType) and _is_others(found) and is_imported(found):
        return found.__name__, "", attribute
    if isinstance(found, type) and found.__module__ not in ("__main__", "builtins") and _is_found(found):
        return found.__module__, found.__qualname__, attribute
    return None


def _is_found(kind: type) -> bool:
    """Whether its module has a class: one that a cell makes with ``types.new_class`` says that it were of ``types``."""
    found: Any = sys.modules.get(kind.__module__)
    for name in kind.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is kind


def _is_others(module: types.ModuleType) -> bool:
    """Whether another process finds it, and it is neither the notebook nor a part of evercell."""
    name = str(module.__name__)
    return name != "__main__" and name.partition(".")[0] != "evercell" and is_imported(module)


def is_assigned(place: Place) -> bool:
    """Whether a cell assigned to it: then the whole of it is put back."""
    return place in _assigned


def _read() -> dict[Place, Any]:
    return dict(_values())


def _values() -> Iterator[tuple[Place, Any]]:
    for place in list(_assigned):
        try:
            value = _held(place)
        except (ImportError, AttributeError, KeyError):  # it was deleted again
            continue
        is_secret = place[2] in SECRET_NAMES and isinstance(value, str) and value
        yield place, Secret(value) if is_secret else value


def _held(place: Place) -> Any:
    return sys.modules[place[2]] if place[:2] == _MODULES else getattr(owner_of(place), place[2])


def owner_of(place: Place) -> Any:
    """The module or class that a place is in."""
    owner: Any = import_module(place[0])
    for name in filter(None, place[1].split(".")):
        owner = getattr(owner, name)
    return owner


def _write(state: dict[Place, Any]) -> None:
    """One that cannot be put back (a module is not there) keeps no other from being so."""
    failed: Exception | None = None
    for place, value in state.items():
        _assigned[place] = None
        if type(value) is Placeholder:
            continue
        try:
            _put(place, value.text if isinstance(value, Secret) else value)
        except Exception as error:  # noqa: BLE001  whatever a module raises when it is imported
            failed = failed or error
    if failed is not None:
        raise failed


def _put(place: Place, value: Any) -> None:
    if place[:2] == _MODULES:
        note_registered(place[2])
        sys.modules[place[2]] = value
    else:
        owner = owner_of(place)
        if isinstance(former := getattr(owner, place[2], None), types.BuiltinFunctionType) and not place[1]:
            note_replaced(place[0], place[2], former)
        setattr(owner, place[2], value)


def packages_of(state: dict[Place, Any]) -> set[str]:
    """Packages that hold something here that can change in place."""
    return {place[0].partition(".")[0] for place, held in state.items() if not is_atom(held)}


SETTINGS = (Setting("modules", "sys", _read, _write, usual={}, used_with=packages_of),)
