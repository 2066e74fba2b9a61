"""Objects that are kept as a description, and made anew from it: open files, engines, clients, locks.

A rebuilder takes such an object apart as ``__reduce__`` would: into a function and its arguments. It is
registered with a decorator, for one exact type that is named by text, so that nothing is imported for it:

    @rebuilds("mylib.client.Client")
    def _client(client):
        return connect, (client.url,)

Packages register theirs through the entry-point group ``evercell.rebuilders``, which names the modules
that hold them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

GROUP = "evercell.rebuilders"

Rebuilder = Callable[[Any], tuple[Any, ...]]
R = TypeVar("R", bound=Rebuilder)


class CannotRebuild(Exception):
    """This object cannot be made anew: ``kind`` completes "it is …", ``advice`` says what to do instead.

    ``called`` is what the user calls the object, where that is not the variable that it is in.
    """

    def __init__(self, kind: str, advice: str, *, called: str | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.advice = advice
        self.called = called


_registered: dict[str, Rebuilder] = {}


def rebuilds(*types: str) -> Callable[[R], R]:
    """Register a function as the rebuilder of these types (``module.qualname``), subclasses excluded."""

    def register(function: R) -> R:
        _registered.update(dict.fromkeys(types, function))
        return function

    return register


def rebuilder_of(kind: type) -> Rebuilder | None:
    """The rebuilder of a type, None where there is none."""
    _load_all()
    return _registered.get(f"{kind.__module__}.{kind.__qualname__}")


@cache
def _load_all() -> None:
    """Import the modules that hold rebuilders: ours first, so that those of others win."""
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: not entry.value.startswith("evercell.")):
        entry.load()
