"""What paths, callback registries and registries of names of matplotlib keep to themselves."""

from __future__ import annotations

import sys
from collections.abc import Collection
from itertools import count
from types import MethodType
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


_OF_THE_SCREEN = ("FigureCanvasBase", "FigureManagerBase", "NavigationToolbar2", "ToolManager")
"""Names of the classes of what a figure is shown with: made anew with it, they listen to it again."""


def listeners_of(registry: Any) -> dict[Any, dict[int, Any]]:
    """Who is called by a registry, by signal and number. (Pickled by itself, it forgets most of them.)

    Where it keeps them elsewhere, there are none.
    """
    held = getattr(registry, "callbacks", None)
    if not isinstance(held, dict):
        return {}
    found = {s: {n: called() for n, called in of_signal.items()} for s, of_signal in held.items()}
    return {
        s: {n: f for n, f in d.items() if f is not None and not _is_of_screen(f)} for s, d in found.items()
    }


def _is_of_screen(function: Any) -> bool:
    if not isinstance(function, MethodType):
        return False
    kind = type(function.__self__)
    module = sys.modules.get("matplotlib.backend_bases")
    return any(
        isinstance(c, type) and issubclass(kind, c) for n in _OF_THE_SCREEN if (c := getattr(module, n, None))
    )


def projections() -> dict[str, Any]:
    """What draws axes, by name. Otherwise: nothing, and what cells register is forgotten."""
    registry = getattr(sys.modules.get("matplotlib.projections"), "projection_registry", None)
    return getattr(registry, "_all_projection_types", {})


def scales() -> dict[str, Any]:
    """What scales axes, by name. Otherwise: nothing, and what cells register is forgotten."""
    return getattr(sys.modules.get("matplotlib.scale"), "_scale_mapping", {})


def own_colour_maps(registry: Any) -> Collection[str]:
    """Names of the colour maps that Matplotlib itself registers. Otherwise: all that are there."""
    own: Collection[str] = getattr(registry, "_builtin_cmaps", tuple(registry))
    return own
