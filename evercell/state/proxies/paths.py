"""What a user would type to reach an object from a variable: ``agent.model.client``, ``jobs[3]['price']``."""

from __future__ import annotations

import sys
import types
from collections import deque
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from evercell.core.garbage import collected_later
from evercell.state.proxies.placeholder import Missing

_MOST_OBJECTS = 20_000
"""Objects that are looked at before the search is given up."""

_LONGEST = 80
"""Characters of a path up to which it says more than the variable's name."""

_ATOMS = (str, bytes, int, float, complex, bool, type(None), type)


@collected_later()
def find_paths(variables: Mapping[str, Any], objects: Collection[Any]) -> dict[int, str]:
    """The shortest path to each of these objects, by id; nothing for one that is not found.

    No code of the user's runs: attributes are read from where objects keep them.
    """
    wanted = {id(one) for one in objects}
    found: dict[int, str] = {}
    seen: set[int] = set()
    waiting = deque((value, name) for name, value in variables.items())
    while waiting and len(found) < len(wanted) and len(seen) < _MOST_OBJECTS:
        value, path = waiting.popleft()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if id(value) in wanted:
            found[id(value)] = path
        elif not issubclass(type(value), _ATOMS) and not _is_import(value) and len(path) <= _LONGEST:
            waiting.extend((part, path + step) for step, part in stored_parts(value))
    return found


def _is_import(value: Any) -> bool:
    """Whether it is a module that was imported: what is in it is reached by others, too."""
    return type(value) is types.ModuleType and sys.modules.get(value.__name__) is value


def named(variables: Collection[str], path: str, kind: str, why: str, advice: str) -> Missing:
    """A note on what is found at a path; an empty one: somewhere in these variables."""
    name = next(
        (n for n in variables if path == n or path.startswith((f"{n}.", f"{n}["))), ", ".join(variables)
    )
    return Missing(name, kind, why, advice, "" if path == name else path)


def stored_parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds in itself: how a user would get at it, and what it is."""
    kind = type(value)
    if issubclass(kind, dict):
        for key, item in dict.copy(value).items():  # another thread may change it
            yield f"[{key!r}]" if type(key) in (str, int, float, bool) else "[…]", item
    elif issubclass(kind, list | tuple | deque):
        for index, item in enumerate(list(value)):
            yield f"[{index}]", item
    elif issubclass(kind, set | frozenset):
        for item in list(set.__iter__(value) if issubclass(kind, set) else frozenset.__iter__(value)):
            yield "", item
    for name, item in _attributes(value, kind):
        yield f".{name}", item


def _attributes(value: Any, kind: type) -> Iterator[tuple[str, Any]]:
    try:
        own = object.__getattribute__(value, "__dict__")
    except AttributeError:
        own = {}
    if isinstance(own, dict):
        yield from ((name, item) for name, item in list(own.items()) if isinstance(name, str))
    for base in kind.__mro__:
        for name, slot in list(vars(base).items()):
            if type(slot) is _SLOT and name not in _ELSEWHERE:
                try:
                    yield name, slot.__get__(value, kind)
                except AttributeError:  # nothing in it
                    continue


class _WithSlot:
    __slots__ = ("slot",)


_SLOT = type(_WithSlot.__dict__["slot"])
_ELSEWHERE = frozenset({"__globals__", "__builtins__"})
"""Of functions: all that is in the notebook, or in a module, is in neither."""
