"""What cells changed in what ``%%setup`` cells made. Each kernel makes that anew, so the change is lost, and named.

(In a stream what a setup cell made is a place, which says nothing of its content: that is compared here.)
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, cached_property
from time import perf_counter
from typing import Any

from evercell.core.errors import NotKept
from evercell.state.pickling.pickled import Pickled
from evercell.state.pickling.values import Values
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules.names import module_of, type_name

_WHY = "a %%setup cell makes it anew in every kernel"
_ADVICE = "make it in a step, or keep what changes in a variable of a step"
_PLAIN = frozenset({"__main__", "builtins", "abc", "typing", "dataclasses"})
"""Modules whose classes change only where somebody changes them."""
_CODE = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, property, classmethod, staticmethod, type
)  # fmt: skip
"""Types of parts of code of which it counts which object it is."""
_TELLING = frozenset({"_contextvars.ContextVar"})
"""Of what is rebuilt: those that hold nothing but what cells set."""
_DRAWN = "matplotlib"
"""The library whose objects change as they are drawn."""
_FREE = 0.001
"""Seconds that a cell's end may take to look at what the cell does not name."""
_OFTEN = 0.02
"""Seconds that a look at one variable may take at the end of every cell that names it."""
_SHARE = 0.01
"""Of the time that passed since the last look at it, that a look at any variable may take."""


@dataclass(slots=True)
class _Watched:
    """A variable as it was when it was looked at."""

    content: bytes
    cost: float
    """Seconds."""
    at: float


class SetupChanges:
    """Those of one namespace that are still to be named."""

    def __init__(self, variables: dict[str, Any]) -> None:
        self._variables = variables
        self._watched: dict[str, _Watched] = {}
        self._named: dict[str, Missing] = {}
        self._told: set[str] = set()

    @property
    def missing(self) -> Sequence[Missing]:
        """What is to be named."""
        return tuple(self._named.values())

    def settle(self) -> None:
        """What was to be named was: once in a kernel is enough."""
        self._told |= self._named.keys()
        self._named.clear()

    def watch(self, names: Iterable[str]) -> None:
        """A setup cell ran, and made these variables. What it changed in those of others counts as made."""
        self._named.clear()
        for name in {*names, *self._watched}:
            first, second = self._seen(name), self._seen(name)
            if first is None or second is None or first.content != second.content:
                self._watched.pop(name, None)  # (to be looked at changes some objects, again and again)
            else:
                self._watched[name] = second

    def look(self, names: Set[str], touched: Set[str]) -> None:
        """A cell ran. Those of the setup variables ``names`` are looked at that it could reach by its names; all of
        them, where that costs next to nothing.
        """
        left, now = _FREE, perf_counter()
        for name, watched in sorted(self._watched.items(), key=lambda item: item[1].at):
            is_touched = name in touched
            if name not in names or watched.cost > max(
                _OFTEN if is_touched else left, (now - watched.at) * _SHARE
            ):
                continue
            left -= 0 if is_touched else watched.cost
            self._look_at(name, watched)

    def _look_at(self, name: str, watched: _Watched) -> None:
        seen = self._seen(name)
        if seen is None:
            return
        self._watched[name] = seen
        if seen.content != watched.content and name not in self._told:
            kind = type_name(type(self._variables[name]))
            self._named[name] = Missing(name, kind, _WHY, _ADVICE, part=f"a change of {name}")

    def _seen(self, name: str) -> _Watched | None:
        began = perf_counter()
        content = self._content(name)
        now = perf_counter()
        return None if content is None else _Watched(content, now - began, now)

    def _content(self, name: str) -> bytes | None:
        """The fingerprint of what a variable holds; None where a change says nothing: of a library's object, say, that
        remembers what it worked out.
        """
        value = self._variables.get(name)
        if isinstance(value, types.ModuleType) or module_of(type(value)).partition(".")[0] == _DRAWN:
            return None
        try:
            told = _told_of(value, self._variables)
            pickled = Values(self._variables).content(told, name=name, forgets_caches=True)
        except (NotKept, RecursionError):
            return None
        return None if _is_volatile(value, pickled) else pickled.fingerprint


def _is_volatile(value: Any, pickled: Pickled) -> bool:
    if isinstance(value, type):
        return not all({module_of(base), module_of(type(base))} <= _PLAIN for base in value.__mro__)
    return bool(pickled.notes.rebuilt - _TELLING) or any(map(_remembers, {type(value), *pickled.notes.kinds}))


def _told_of(value: Any, variables: Mapping[str, Any]) -> Any:
    """What tells whether somebody changed a value: of code what hangs on it."""
    if isinstance(value, types.FunctionType):
        cells = (
            value.__closure__ if value.__globals__ is variables else None
        )  # (a library's has its caches there)
        held = [_told_of_part(_held(cell)) for cell in cells or ()]
        return _told_of_parts(vars(value)), value.__defaults__, value.__kwdefaults__, id(value.__code__), held
    if isinstance(value, type):
        return _told_of_parts({n: held for n, held in list(vars(value).items()) if _is_users(n, held)})
    return value


def _told_of_parts(parts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _told_of_part(held) for name, held in list(parts.items())}


def _told_of_part(part: Any) -> Any:
    return id(part) if isinstance(part, _CODE) else part


def _is_users(name: str, held: Any) -> bool:
    return not name.startswith("_abc_") and (isinstance(held, _CODE) or not name.startswith("__"))


def _held(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


@cache
def _remembers(kind: type) -> bool:
    """Whether objects of this type keep what they once worked out."""
    return any(
        isinstance(held, cached_property) for base in kind.__mro__ for held in list(vars(base).values())
    )
