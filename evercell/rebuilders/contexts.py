"""Context variables and values of threads, with what they hold here and now."""

from __future__ import annotations

import contextvars
import gc
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
    own = dict(vars(local)) or None
    if kind is threading.local:
        return make_local, (kind,), own
    if (given := _arguments_of(local)) is not None:
        return make_local, (kind, *given), own, None, None, set_values
    if _needs_arguments(kind):
        raise CannotRebuild("values of threads, made with arguments that it does not tell", _SETUP)
    return make_local, (kind,), own


def _arguments_of(local: threading.local) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """What it was made with here, and is made with in each thread that looks at it first; None: it does not tell."""
    held = [one for one in gc.get_referents(local) if type(one) in (tuple, dict)]
    positional: tuple[Any, ...] = next((one for one in held if type(one) is tuple), ())
    named = [one for one in held if type(one) is dict and one and all(type(name) is str for name in one)]
    named = [one for one in named if one is not vars(local)]
    return (positional, named[0] if named else {}) if positional or named else None


def _needs_arguments(kind: type) -> bool:
    """Whether it cannot be made in another thread as it was here: a thread's first look calls the class."""
    if "__init__" not in {
        name for base in kind.__mro__[: kind.__mro__.index(threading.local)] for name in vars(base)
    }:
        return False
    return len(inspect.signature(kind.__init__).parameters) > 1  # type: ignore[misc]  # beside itself


def make_local(kind: type, positional: tuple[Any, ...] = (), named: dict[str, Any] | None = None) -> Any:
    """Values of threads, none yet in this one. Its ``__init__`` is called in each other one, at its first look."""
    return threading.local.__new__(kind, *positional, **(named or {}))


def set_values(local: threading.local, values: dict[str, Any]) -> None:
    """What this thread had in it, and no more."""
    vars(local).clear()
    vars(local).update(values)
