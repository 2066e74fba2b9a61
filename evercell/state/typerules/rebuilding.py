"""Objects that are kept as a description, and made anew from it: open files, engines, clients, locks.

A rebuilder takes such an object apart as ``__reduce__`` would: into a function and its arguments. It is
registered with a decorator, for one exact type that is named by text, so that nothing is imported for it:

    @rebuilds("mylib.client.Client")
    def _client(client):
        return connect, (client.url,)

What belongs to the process often sits deep inside of others: a client's pool of connections. Such a part says how it is
taken apart for its subclasses, too, and is mostly kept by its own state, some of it made empty (`as_it_is`): whoever
holds it is kept by a state of their own, and no list of holders is needed.

Packages register theirs through the entry-point group ``evercell.rebuilders``, which names the modules
that hold them.
"""

from __future__ import annotations

import copyreg
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, TypeVar

from evercell.state.proxies.placeholder import Missing, Placeholder

GROUP = "evercell.rebuilders"

Rebuilder = Callable[[Any], tuple[Any, ...]]
R = TypeVar("R", bound=Rebuilder)


class CannotRebuild(Exception):
    """This object cannot be made anew: ``kind`` completes "it is …", ``advice`` says what to do instead.

    ``called`` is what the user calls the object, where that is not the variable that it is in, ``type`` what he calls
    its type then.
    """

    def __init__(self, kind: str, advice: str, *, called: str | None = None, type: str = "str") -> None:
        super().__init__(kind)
        self.kind = kind
        self.advice = advice
        self.called = called
        self.type = type


_losses: ContextVar[list[Missing] | None] = ContextVar("losses", default=None)


@contextmanager
def noting_losses() -> Iterator[list[Missing]]:
    """The list of what `lose` and `name_loss` left out meanwhile."""
    noted: list[Missing] = []
    token = _losses.set(noted)
    try:
        yield noted
    finally:
        _losses.reset(token)


def name_loss(part: str, why: str, advice: str) -> None:
    """For a rebuilder: a part of the object (``its functions``) is not kept, the rest is. The step names it."""
    if (noted := _losses.get()) is not None:
        noted.append(Missing("", part, why[:300], advice))


def lose(kind: str, why: str, advice: str, *, called: str = "") -> Placeholder:
    """For the function that a rebuilder names: what stands for an object that cannot be made in this kernel.

    Only that object is lost; whoever puts the state back names it.
    """
    missing = Missing(called, kind, why[:300], advice)
    if (noted := _losses.get()) is not None:
        noted.append(missing)
    return missing.placeholder()


_registered: dict[str, Rebuilder] = {}
_inherited: dict[str, Rebuilder] = {}
"""Those that hold for subclasses, too."""
_found: dict[type, Rebuilder | None] = {}


def rebuilds(*types: str, subclasses: bool = False) -> Callable[[R], R]:
    """Register a function as the rebuilder of these types (``module.qualname``), subclasses excluded or not."""

    def register(function: R) -> R:
        _registered.update(dict.fromkeys(types, function))
        if subclasses:
            _inherited.update(dict.fromkeys(types, function))
        _found.clear()
        return function

    return register


def rebuilder_of(kind: type) -> Rebuilder | None:
    """The rebuilder of a type, None where there is none."""
    try:
        return _found[kind]
    except KeyError:
        load_all()
        found = _registered.get(_name_of(kind))
        if found is None and _inherited:
            found = next((r for base in kind.__mro__ if (r := _inherited.get(_name_of(base)))), None)
        _found[kind] = found
        return found


def _name_of(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def as_it_is(value: Any, **instead: Any) -> tuple[Any, ...]:
    """An object of its class with its own attributes, some of them replaced: no call of the class."""
    return copyreg.__newobj__, (type(value),), {**vars(value), **instead}  # type: ignore[attr-defined]


@cache
def load_all() -> None:
    """Import the modules that hold rebuilders: ours first, so that those of others win."""
    from importlib.metadata import entry_points

    for entry in sorted(entry_points(group=GROUP), key=lambda entry: not entry.value.startswith("evercell.")):
        try:
            entry.load()
        except Exception as error:  # noqa: BLE001  a broken package of others costs only what is its own
            warnings.warn(
                f"evercell: the rebuilders in {entry.value} cannot be loaded ({type(error).__name__}: {error}). "
                f"What they are for is not kept; mend or uninstall {entry.dist.name if entry.dist else entry.value}.",
                stacklevel=2,
            )
