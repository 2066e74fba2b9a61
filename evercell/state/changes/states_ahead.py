"""States of libraries that are not imported yet: each is put back when its library is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from types import MappingProxyType, ModuleType
from typing import Any


def is_ahead(module: str) -> bool:
    """Whether a module is there and was not imported."""
    return module not in sys.modules and find_spec(module.partition(".")[0]) is not None


class StatesAhead:
    """What is to be written as soon as some module is imported, by whomever."""

    def __init__(self, write: Callable[[str, Any], None]) -> None:
        """``write`` is called inside of that import, with a state's name and the state."""
        self._write = write
        self._states: dict[str, Any] = {}
        self._module: dict[str, str] = {}
        """Name of a state → the module that it waits for."""
        self._watched: set[str] = set()

    @property
    def states(self) -> Mapping[str, Any]:
        """Those that wait."""
        return MappingProxyType(self._states)

    def put(self, name: str, state: Any, module: str) -> None:
        """Let a state wait for a module."""
        from wrapt import register_post_import_hook  # not before something waits

        self._states[name], self._module[name] = state, module
        if module not in self._watched:
            self._watched.add(module)
            register_post_import_hook(self._imported, module)

    def drop(self, name: str) -> None:
        """The state is another one by now."""
        self._states.pop(name, None)

    def _imported(self, module: ModuleType) -> None:
        for name in [n for n in self._states if self._module[n] == module.__name__]:
            self._write(name, self._states.pop(name))
