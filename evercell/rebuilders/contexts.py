"""Context variables and values of threads, with what they hold here and now."""

from __future__ import annotations

import contextvars
import inspect
import sys
import threading
from contextvars import ContextVar
from typing import Any

from evercell.state.typerules.factories import attribute_of_module
from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"


@rebuilds("_contextvars.ContextVar")
def _context_variable(variable: ContextVar[Any]) -> tuple[Any, ...]:
    """The very one of its module, where a module has it; else with its default and its value in this context."""
    if (place := _places.find(variable)) is not None:
        return attribute_of_module, place
    try:
        default: tuple[Any, ...] = (contextvars.Context().run(variable.get),)
    except LookupError:
        default = ()
    here = contextvars.copy_context()
    value = (here[variable],) if variable in here else None
    return make_context_variable, (variable.name, default), value, None, None, set_context_variable


def make_context_variable(name: str, default: tuple[Any, ...]) -> ContextVar[Any]:
    """A context variable, with a default or without."""
    return ContextVar(name, default=default[0]) if default else ContextVar(name)


def set_context_variable(variable: ContextVar[Any], state: tuple[Any]) -> None:
    """What it holds, in the context that it is put back in."""
    variable.set(state[0])


class _Places:
    """Context variables that modules hold, by id. A module is looked through once, and when it grew."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, str]] = {}
        self._sizes: dict[str, int] = {}

    def find(self, variable: ContextVar[Any]) -> tuple[str, str] | None:
        """Module and name of a variable that a module other than the notebook holds."""
        for module, found in list(sys.modules.items()):
            names = getattr(found, "__dict__", {})
            if len(names) != self._sizes.get(module) and names.get("__name__") != "__main__":
                self._sizes[module] = len(names)
                held = [(id(v), (module, n)) for n, v in list(names.items()) if type(v) is ContextVar]
                self._known |= dict(held)
        place = self._known.get(id(variable))
        if place is None or getattr(sys.modules.get(place[0]), "__dict__", {}).get(place[1]) is not variable:
            return None
        return place


_places = _Places()


@rebuilds("_thread._local", subclasses=True)
def _local(local: threading.local) -> tuple[Any, ...]:
    """With the values of the thread of the cells; those of others end with their threads."""
    kind = type(local)
    if kind is not threading.local and _needs_arguments(kind):
        raise CannotRebuild("values of threads, made with arguments that it does not tell", _SETUP)
    return make_local, (kind,), dict(vars(local)) or None


def _needs_arguments(kind: type) -> bool:
    """Whether it cannot be made in another thread as it was here: a thread's first look calls the class."""
    if "__init__" not in {
        name for base in kind.__mro__[: kind.__mro__.index(threading.local)] for name in vars(base)
    }:
        return False
    return len(inspect.signature(kind.__init__).parameters) > 1  # type: ignore[misc]  # beside itself


def make_local(kind: type) -> Any:
    """Values of threads, none yet in this one."""
    return kind()
