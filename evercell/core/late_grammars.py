"""Grammars that are made while jsonschema is imported: left until somebody has an address checked."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any

_GRAMMARS = "rfc3987_syntax"
"""jsonschema imports it where it is installed, as it is beside a Jupyter server, for the formats of addresses."""


class _Late(ModuleType):
    """Stands for the library until it is used."""

    def is_valid_syntax(self, *given: Any) -> Any:
        """The library's own, which jsonschema imports by name."""
        return self._made().is_valid_syntax(*given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._made(), name)

    def _made(self) -> Any:
        """The library itself, from now on in its own place."""
        if sys.modules.get(_GRAMMARS) is self:
            del sys.modules[_GRAMMARS]
        return import_module(_GRAMMARS)


def leave_grammars() -> None:
    """Have ``import jsonschema`` (and so nbformat) not take a second: that library makes 38 parsers as it is imported.

    For the process of a command: in no other do we put anything into the place of somebody's module.
    """
    found = None if _GRAMMARS in sys.modules else find_spec(_GRAMMARS)
    if found is not None:
        late = _Late(_GRAMMARS)
        late.__path__ = list(found.submodule_search_locations or ())
        sys.modules[_GRAMMARS] = late
