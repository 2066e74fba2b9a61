"""What paths and callback registries of matplotlib keep to themselves."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count
from typing import Any


def interpolation_steps(path: Any) -> int | None:
    """Into how many parts each segment of a path is cut when it is transformed; None where no path says so."""
    return getattr(path, "_interpolation_steps", None)


def undo_counting(registry: Any, state: Any) -> None:
    """A registry counts on when it is pickled, and so would look changed whenever it is compared: count back.

    Without its counter nothing is done, and figures look changed to every cell that may touch everything.
    """
    number = state.get("_cid_gen") if isinstance(state, dict) else None
    if isinstance(number, int) and hasattr(registry, "_cid_gen"):
        registry._cid_gen = count(number)


def own_colour_maps(registry: Any) -> Collection[str]:
    """Names of the colour maps that Matplotlib itself registers. Otherwise: all that are there."""
    own: Collection[str] = getattr(registry, "_builtin_cmaps", tuple(registry))
    return own
