"""One quiet line below a cell: how far its step is, and what came of it. No part of what the cell showed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from evercell.core.ids import new_id
from evercell.engine.session import Session
from evercell.engine.transfers import Reading
from evercell.engine.watching import Snapshot, StepState
from evercell.kernel_ext.recorder import LIVE_LINE, Recording
from evercell.views.progress_line import (
    progress_html,
    progress_text,
    quiet_html,
    reading_html,
    reading_text,
    replayed_text,
)

_PATIENCE = 1.0
"""Seconds: what is over sooner is not shown."""

_BETWEEN = 0.2
"""Seconds between two pictures."""


class ProgressDisplay:
    """Shows how far the step of the present cell is. Told from any thread: the cell's own may be busy.

    Where a page marks its cells by itself, only what takes long and no mark tells is shown: a save, a restore.
    """

    def __init__(self, kernel: Any, session: Session) -> None:
        self._kernel = kernel
        self._session = session
        self._settings = session.workspace.settings
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._recording: Recording | None = None
        self._saves_since = 0.0

    def cell_began(self) -> None:
        """What is shown from now on stands below the cell that the kernel was just asked to run."""
        self._line = _Line(self._kernel)

    @contextmanager
    def below(self, recording: Recording) -> Iterator[None]:
        """While inside, the cell is a step, and this is what it shows."""
        self._recording = recording
        try:
            yield
        finally:
            self._recording = None
            if self._line is not None and self._line.has_ended and not recording.page.has(self._line.id):
                self._line.repeat()

    def watch(self, snapshot: Snapshot) -> None:
        """A step stands like this."""
        with self._lock:
            line = self._line
            if line is None or self._recording is None:
                return
            if not snapshot.state.is_under_way:
                self._end(line, snapshot)
            elif self._settings.progress and self._is_due(line, snapshot):
                line.draw(progress_text(snapshot), progress_html(snapshot), progress=snapshot.as_json())

    def _is_due(self, line: _Line, snapshot: Snapshot) -> bool:
        since = snapshot.began_at
        if snapshot.state is StepState.SAVING:
            self._saves_since = self._saves_since or time.time()
            since = self._saves_since
        else:
            self._saves_since = 0.0
            if self._session.is_marked_on_page() and not line.is_drawn:
                return False
            asks_here = set(snapshot.calls) == {"approve"}  # the question stands below the cell by itself
            if not (snapshot.done or snapshot.calls or snapshot.waits_for) or (
                asks_here and not line.is_drawn
            ):
                return False
        return time.time() - since >= _PATIENCE and line.is_due

    def _end(self, line: _Line, snapshot: Snapshot) -> None:
        self._saves_since = 0.0
        if line.is_drawn:
            text = progress_text(snapshot)
            line.end(text, quiet_html(text), progress=snapshot.as_json())
        elif (
            self._settings.marks and not self._session.is_marked_on_page() and (text := self._mark(snapshot))
        ):
            line.end(text, quiet_html(text), replayed=snapshot.state is StepState.REPLAYED)

    def _mark(self, snapshot: Snapshot) -> str:
        """What is said of a step that was over soon, where its cell would not show it."""
        if snapshot.state is StepState.REPLAYED:
            return replayed_text(snapshot)
        is_silent = self._recording is not None and not self._recording.outputs
        return "saved" if snapshot.state is StepState.COMPLETED and is_silent else ""

    def watch_reading(self, reading: Reading) -> None:
        """Somebody waits for a state that is read."""
        with self._lock:
            line = self._line
            if line is None or not self._settings.progress:
                return
            if reading.is_over:
                if line.is_drawn:
                    line.end(reading_text(reading), reading_html(reading))
                    self._line = line.after()
            elif time.time() - reading.began_at >= _PATIENCE and line.is_due:
                line.draw(reading_text(reading), reading_html(reading))


class _Line:
    """A display of one cell that is drawn again and again."""

    def __init__(self, kernel: Any, parent: Any = None) -> None:
        self._kernel = kernel
        self._parent = kernel.get_parent("shell") if parent is None else parent
        self.id = ""
        """Of its display, once it was drawn."""
        self._drawn_at = 0.0
        self.is_drawn = False
        self._end: tuple[str, str, dict[str, Any]] | None = None

    @property
    def is_due(self) -> bool:
        """Whether it is time for another picture."""
        return time.monotonic() - self._drawn_at >= _BETWEEN

    def after(self) -> _Line:
        """Another line of the same cell."""
        return _Line(self._kernel, self._parent)

    def draw(self, text: str, html: str, **more: Any) -> None:
        """Show this in its place."""
        self._send(text, html, {**more, "line": LIVE_LINE})
        self.is_drawn, self._drawn_at = True, time.monotonic()

    def end(self, text: str, html: str, **more: Any) -> None:
        """Show this for good."""
        self._end = (text, html, {**more, "line": "last"})
        self._send(*self._end)
        self.is_drawn = False

    @property
    def has_ended(self) -> bool:
        """Whether what it shows is for good."""
        return self._end is not None

    def repeat(self) -> None:
        """Show it once more: what was cleared was not ours to go."""
        if self._end is not None:
            self._send(*self._end)

    def _send(self, text: str, html: str, mark: dict[str, Any]) -> None:
        """Past the display publisher, which answers the cell of the thread that calls it."""
        self.id = self.id or new_id()
        kind = "update_display_data" if self.is_drawn else "display_data"
        content = {
            "data": {"text/plain": f"evercell: {text}", "text/html": html},
            "metadata": {"evercell": {"note": True, **mark}},
            "transient": {"display_id": self.id},
        }
        kernel = self._kernel
        ident = f"kernel.{kernel.ident}.{kind}".encode()
        metadata = {"evercell": {"replayed": True}} if mark.get("replayed") else None
        kernel.session.send(
            kernel.iopub_socket, kind, content, parent=self._parent, ident=ident, metadata=metadata
        )
