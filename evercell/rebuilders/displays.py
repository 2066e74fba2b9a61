"""Progress bars: how far they came. They are shown again in the cell that puts them back."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds


@rebuilds("tqdm.std.tqdm", "tqdm.asyncio.tqdm_asyncio", "tqdm.notebook.tqdm_notebook")
def _tqdm(bar: Any) -> tuple[Any, ...]:
    if getattr(bar, "iterable", None) is not None and not bar.disable and not _is_done(bar):
        raise CannotRebuild("a progress bar in the middle of its loop", "make it where the loop begins")
    kind = type(bar)
    description = getattr(bar, "desc", None)
    closed = bool(bar.disable)
    return make_bar, (kind.__module__, kind.__qualname__, bar.total, bar.n, description, closed)


def _is_done(bar: Any) -> bool:
    return bar.total is not None and bar.n >= bar.total


def make_bar(module: str, name: str, total: Any, n: Any, description: str | None, closed: bool) -> Any:
    """A bar that stands where the saved one stood."""
    kind = getattr(import_module(module), name)
    bar = kind(total=total, initial=n, desc=description, disable=closed)
    bar.n, bar.total = n, total  # a closed one takes no arguments
    return bar
