"""Figures that only pyplot holds, where cells draw without showing (``plt.ioff()``): no other kernel has them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from evercell.state.internals.matplotlib import pyplots_figures
from evercell.state.typerules.settings import Setting, Unkept, keeps_settings

_WHY = "held by pyplot alone, in this kernel"
_ADVICE = "keep it in a variable: fig = plt.gcf()"
_FEW = 100


def _read() -> tuple[Unkept, ...]:
    matplotlib = sys.modules["matplotlib"]
    if matplotlib.is_interactive():  # each is shown and closed at the end of its cell
        return ()
    figures = pyplots_figures()
    held = set(map(id, _figures_of_variables())) if figures else set()
    return tuple(
        Unkept(f"figure {number}", "matplotlib.figure.Figure", _WHY, _ADVICE)
        for number, figure in figures.items()
        if id(figure) not in held
    )


def _figures_of_variables() -> Iterator[Any]:
    """Those that a variable is, or whose parts it is or holds."""
    for name, value in list(vars(sys.modules["__main__"]).items()):
        if not name.startswith("_"):
            yield from _figures_in(value, depth=2)


def _figures_in(value: Any, *, depth: int) -> Iterator[Any]:
    kind = type(value)
    if issubclass(kind, sys.modules["matplotlib.artist"].Artist):
        yield value
        yield value.figure
    elif depth and kind.__name__ == "ndarray" and value.dtype == object and value.size < _FEW:
        for part in value.flat:
            yield from _figures_in(part, depth=depth - 1)
    elif depth and kind in (list, tuple, dict) and len(value) < _FEW:
        for part in value.values() if kind is dict else value:
            yield from _figures_in(part, depth=depth - 1)


def _write(_: object) -> None:
    """Whoever puts state back has named them."""


keeps_settings(
    [Setting("figures of pyplot", "matplotlib.pyplot", _read, _write, ("plt", "pyplot"), usual=())]
)
