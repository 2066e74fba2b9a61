"""What Python's own modules keep to themselves."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable, Mapping
from typing import Any

_SLOT_NAMES: Callable[[type], object] | None = getattr(copyreg, "_slotnames", None)


def fill_slot_names(kind: type) -> None:
    """Do now what pickling the first instance of a class does: cache the names of its slots in the class.

    Otherwise: the class seems to have changed when its first instance is saved, and is saved once more.
    """
    if _SLOT_NAMES is not None:
        _SLOT_NAMES(kind)


def live_environment() -> Mapping[Any, Any]:
    """``os.environ`` as it can be compared soonest: to decode all of it takes long. Otherwise: decoded."""
    found: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)
    return found


def raw_environment() -> dict[Any, Any]:
    """A copy of `live_environment`."""
    return dict(live_environment())
