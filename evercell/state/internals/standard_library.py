"""What Python's own modules keep to themselves."""

from __future__ import annotations

import copyreg
import os
import pickle
from collections.abc import Callable
from typing import Any

_SLOT_NAMES: Callable[[type], object] | None = getattr(copyreg, "_slotnames", None)


PythonUnpickler: Any = pickle._Unpickler
"""The unpickler that is written in Python, whose steps can be replaced one by one."""


def fill_slot_names(kind: type) -> None:
    """Do now what pickling the first instance of a class does: cache the names of its slots in the class.

    Otherwise: the class seems to have changed when its first instance is saved, and is saved once more.
    """
    if _SLOT_NAMES is not None:
        _SLOT_NAMES(kind)


def raw_environment() -> dict[Any, Any]:
    """``os.environ`` as it can be compared soonest: to decode all of it takes long. Otherwise: decoded."""
    return dict(getattr(os.environ, "_data", os.environ))
