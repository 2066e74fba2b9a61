"""Progress bars: how far they came. They are shown again in the cell that puts them back."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from types import FunctionType
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds
from evercell.state.typerules.settings import Setting, keeps_settings


@rebuilds("tqdm.std.tqdm", "tqdm.asyncio.tqdm_asyncio", "tqdm.notebook.tqdm_notebook")
def _tqdm(bar: Any) -> tuple[Any, ...]:
    if getattr(bar, "iterable", None) is not None and not bar.disable and not _is_done(bar):
        raise CannotRebuild("a progress bar in the middle of its loop", "make it where the loop begins")
    kind = type(bar)
    description = getattr(bar, "desc", None)
    closed = bool(bar.disable)
    arguments = (kind.__module__, kind.__qualname__, bar.total, bar.n, description, closed)
    settings = {name: held[name] for name in _SETTINGS if name in (held := vars(bar))}
    return make_bar, arguments, settings or None, None, None, fill_bar


_SETTINGS = (
    "ascii", "bar_format", "colour", "delay", "dynamic_ncols", "initial", "leave", "maxinterval", "mininterval",
    "miniters", "ncols", "nrows", "postfix", "smoothing", "unit", "unit_divisor", "unit_scale", "write_bytes",
)  # fmt: skip
"""Attributes of a bar that say how it is shown."""


def _is_done(bar: Any) -> bool:
    return bar.total is not None and bar.n >= bar.total


def make_bar(module: str, name: str, total: Any, n: Any, description: str | None, closed: bool) -> Any:
    """A bar that stands where the saved one stood."""
    kind = getattr(import_module(module), name)
    bar = kind(total=total, initial=n, desc=description, disable=closed)
    bar.n, bar.total = n, total  # a closed one takes no arguments
    return bar


def fill_bar(bar: Any, settings: dict[str, Any]) -> None:
    """How it is shown."""
    vars(bar).update(settings)
    if not bar.disable:
        bar.refresh()


# -- bars of frames -----------------------------------------------------------------------------------


def _read_of_frames() -> dict[str, Any]:
    """Whose bars ``frame.progress_apply`` shows (``tqdm.pandas()``), and with which settings."""
    pandas = sys.modules.get("pandas")
    called = getattr(getattr(pandas, "Series", None), "progress_apply", None)
    if not isinstance(called, FunctionType):
        return {}
    held = inspect.getclosurevars(called).nonlocals
    if not isinstance(held.get("cls"), type) or not isinstance(held.get("tqdm_kwargs"), dict):
        return {}
    return {"class": held["cls"], "settings": dict(held["tqdm_kwargs"])}


def _write_of_frames(state: dict[str, Any]) -> None:
    kind = state.get("class")
    if isinstance(kind, type):
        kind.pandas(**state["settings"])  # type: ignore[attr-defined]


keeps_settings(
    [Setting("bars of frames", "tqdm.std", _read_of_frames, _write_of_frames, ("pandas(",), usual={})]
)
