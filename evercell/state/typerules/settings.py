"""Settings of a process that cells change and later cells rely on: those of Python, of logging, of libraries.

Each tells what it is now, cheaply, and takes it again. Packages register theirs in a module of the entry-point group
``evercell.rebuilders``; none is looked at before its library is loaded.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

PREFIX = ":settings of "
"""Of the names of their states: no variable of a user is called so."""


def _same(value: Any) -> Any:
    return value


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, or the settings of one library."""

    title: str
    """Completes "settings of …"."""
    module: str
    """Looked at only where this module is loaded."""
    read: Callable[[], Any]
    """What it is now: comparable, in microseconds, without effects."""
    write: Callable[[Any], None]
    words: tuple[str, ...] = ()
    """It is looked at once a cell has one of these in its source. (): always."""
    usual: Any = None
    """What it is where nobody changed it. None: what it was when the kernel began, if its module was loaded then."""
    copy: Callable[[Any], Any] = _same
    """Of what was read, to compare with later."""
    used_with: Callable[[Any], Collection[str]] | None = None
    """Of what was read: packages whose use may change in place what it holds. None: it holds no such thing."""

    @property
    def name(self) -> str:
        """Of its state."""
        return PREFIX + self.title

    @property
    def is_loaded(self) -> bool:
        return self.module in sys.modules


@dataclass(frozen=True, slots=True)
class Unkept:
    """What a process was told and another one does not know: part of the state of a setting, to be named."""

    called: str
    """What the user calls it: ``thread 'poller'``."""
    kind: str
    """Its type, or what else is told of it in brackets."""
    why: str
    """Completes "it is …"."""
    advice: str


_registered: dict[str, Setting] = {}


def keeps_settings(settings: Iterable[Setting]) -> None:
    """Register settings. A later one of the same title replaces an earlier one."""
    _registered.update({setting.name: setting for setting in settings})


def all_settings() -> Iterable[Setting]:
    """Those registered so far."""
    return tuple(_registered.values())


def may_have_changed(name: str, state: Any, touched: Iterable[Any]) -> bool:
    """Whether a state holds what these values may have changed in place."""
    one = _registered.get(name)
    if one is None or one.used_with is None or not (packages := one.used_with(state)):
        return False
    return any(_package_of(value) in packages for value in touched)


def _package_of(value: Any) -> str | None:
    """Asked of the type alone: `isinstance` would wake what is made at its first use."""
    kind = type(value)
    if issubclass(kind, types.ModuleType):
        home = getattr(value, "__name__", None)
    else:
        home = getattr(value if issubclass(kind, type) else kind, "__module__", None)
    return home.partition(".")[0] if isinstance(home, str) else None


def setting(name: str) -> Setting | None:
    """The one with this name of a state."""
    return _registered.get(name)
