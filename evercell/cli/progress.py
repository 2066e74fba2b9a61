"""How far ``evercell run`` is: a live line in a terminal, plain lines where there is none."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from evercell.cli.terminal import live_console, warn
from evercell.core.text import one_line
from evercell.engine.watching import Snapshot, StepState
from evercell.headless.progress import CellProgress, NoDisplay, RunDisplay
from evercell.views.progress_line import calls_text, progress_text
from evercell.views.quantities import duration_text

_BETWEEN = 30.0
"""Seconds between two plain lines about one step."""

_SIGNS = {"completed": "✓", "replayed": "↻", "failed": "✗", "interrupted": "‖"}
_COLOURS = {"completed": "green", "replayed": "dim", "failed": "red", "interrupted": "yellow"}


@contextmanager
def shown_progress(*, quiet: bool) -> Iterator[RunDisplay]:
    """Show a run's progress on standard error, as it suits whoever reads it."""
    if quiet:
        yield NoDisplay()
    elif sys.stderr.isatty():
        with LiveProgress(live_console()) as live:
            yield live
    else:
        yield PlainProgress()


class PlainProgress:
    """A line when a step ended, and now and then one about a step that takes long."""

    def __init__(self) -> None:
        self._said_at = 0.0
        self._last: Snapshot | None = None

    def cell_began(self, cell: CellProgress) -> None:  # noqa: ARG002
        self._said_at, self._last = time.monotonic(), None

    def step_stands(self, cell: CellProgress, snapshot: Snapshot) -> None:
        waits_anew = snapshot.state is StepState.WAITING and not _is_waiting(self._last)
        self._last = snapshot
        if snapshot.state.is_under_way and (waits_anew or time.monotonic() - self._said_at >= _BETWEEN):
            self._said_at = time.monotonic()
            warn(f"{_place(cell)}: {progress_text(snapshot)}")

    def cell_ended(self, cell: CellProgress, fate: str, seconds: float | None) -> None:
        if fate:
            warn(f"{_place(cell)}: {_ended(fate, seconds, self._last)}")

    def kernel_died(self, deaths: int, *, goes_on: bool, why: str = "") -> None:
        warn(_died(deaths, goes_on, why))

    def told(self, text: str) -> None:
        warn(f"evercell: {text}")


class LiveProgress:
    """The steps that ended, and below them the one under way, drawn again and again."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._cell: CellProgress | None = None
        self._is_new = True
        self._began = time.monotonic()
        self._last: Snapshot | None = None
        self._live = Live(self, console=console, refresh_per_second=5, transient=True)

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._cell = None
        self._live.stop()

    def cell_began(self, cell: CellProgress) -> None:
        self._cell, self._last, self._began, self._is_new = cell, None, time.monotonic(), False

    def step_stands(self, cell: CellProgress, snapshot: Snapshot) -> None:  # noqa: ARG002
        self._last = snapshot

    def cell_ended(self, cell: CellProgress, fate: str, seconds: float | None) -> None:
        if fate:
            self._print(
                f"{_SIGNS.get(fate, '·')} {cell.name} {_ended(fate, seconds, self._last)}",
                _COLOURS.get(fate, ""),
            )

    def kernel_died(self, deaths: int, *, goes_on: bool, why: str = "") -> None:
        self._print(f"✗ {_died(deaths, goes_on, why)}", "red")

    def told(self, text: str) -> None:
        self._print(f"evercell: {text}", "yellow")

    def _print(self, text: str, colour: str) -> None:
        shown = Text(one_line(text), style=colour, no_wrap=True, overflow="ellipsis")
        self._console.print(shown)

    def __rich__(self) -> Group | Text:
        cell = self._cell
        if cell is None:
            return Text("starting the kernel" if self._is_new else "", style="dim")
        row = Table.grid(padding=(0, 1))
        for _ in range(3):
            row.add_column(no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=max(1, cell.of), completed=cell.number - 1, width=20)
        row.add_row(bar, Text(f"cell {cell.number} of {cell.of}"), Text(one_line(cell.name), style="bold"))
        return Group(row, Text(f"  {self._under_way()}", style="dim", no_wrap=True, overflow="ellipsis"))

    def _under_way(self) -> str:
        if self._last is not None and self._last.state.is_under_way:
            return progress_text(self._last)
        return f"running · {duration_text(time.monotonic() - self._began)}"


def _place(cell: CellProgress) -> str:
    return f"cell {cell.number} of {cell.of}, {one_line(cell.name)}"


def _ended(fate: str, seconds: float | None, last: Snapshot | None) -> str:
    if seconds is None:
        return f"{fate} before"
    calls = calls_text(last) if last is not None and fate != "replayed" else ""
    taken = "" if fate == "replayed" else duration_text(seconds)
    return " · ".join(filter(None, [fate, calls, taken]))


def _died(deaths: int, goes_on: bool, why: str) -> str:
    often = f" (so far {deaths} times)" if deaths > 1 else ""
    told = f" · {one_line(why)}" if why else ""
    return f"the kernel died{often}{'; a new one goes on' if goes_on else ''}{told}"


def _is_waiting(snapshot: Snapshot | None) -> bool:
    return snapshot is not None and snapshot.state is StepState.WAITING
