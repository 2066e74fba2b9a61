"""How the run stands on the pages of a kernel: what the store had, and what was seen of steps since."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from evercell.engine.missed_outputs import missed_steps, outputs_of_steps
from evercell.engine.page_cells import PageView, steps_of_cells
from evercell.engine.session import Session
from evercell.engine.watching import Snapshot, StepState
from evercell.views.cell_marks import Mark, as_stored, live_mark, marks_as_json, stale_mark
from evercell.views.notebook_page import NotebookPage, notebook_page, status_text

_ENDED = (StepState.COMPLETED, StepState.REPLAYED, StepState.FAILED, StepState.INTERRUPTED)
_ASKING = 1.0
"""Seconds between two looks for a question, while a call that asks is under way."""

_SHARE_BUSY, _SHARE_IDLE = 100, 10
"""A look at the store comes at the earliest after so many times the processor's time that the last one took."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """The last that was seen of a step in this kernel."""

    mark: Mark
    cell_id: str | None
    count: int
    """``In [count]`` of its cell."""
    asks: bool
    """A call that asks a person is under way."""
    is_over: bool


@dataclass(frozen=True)
class Update:
    """What is new since the last one."""

    is_whole: bool = False
    """The store was looked at: everything may be new."""
    marks: Mapping[str, Mark] = field(default_factory=dict)
    completed: Mapping[str, str] = field(default_factory=dict)
    """Step → the client whose cell it was, of those that completed or were replayed."""


class RunOnPages:
    """Notes are taken in any thread; all else is for one."""

    def __init__(self, session: Session, *, is_busy: Callable[[], bool]) -> None:
        """``is_busy``: whether a cell runs, which is not to be held up."""
        self._session = session
        self._is_busy = is_busy
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._changed: set[str] = set()
        self._completed: dict[str, str] = {}
        self._reasons: dict[str, str] = {}
        self._run: str | None = None
        self._page = NotebookPage(None)
        self.is_outdated = True
        self._next_look = 0.0

    def note(self, snapshot: Snapshot, *, count: int, client: str) -> None:
        """A step stands otherwise."""
        state = snapshot.state
        seen = _Seen(
            live_mark(snapshot), snapshot.cell_id, count, "approve" in snapshot.calls, state in _ENDED
        )  # fmt: skip
        with self._lock:
            former = self._seen.get(snapshot.step)
            if former is not None and former.mark == seen.mark and former.asks == seen.asks:
                return  # time passed, no more
            self._seen[snapshot.step] = seen
            self._changed.add(snapshot.step)
            self._reasons.pop(snapshot.step, None)
            if state in (StepState.COMPLETED, StepState.REPLAYED):
                self._completed[snapshot.step] = client
        if seen.is_over or seen.asks or state is StepState.WAITING:
            self.is_outdated = True

    def judged(self, reasons: Mapping[str, str]) -> bool:
        """These steps would execute again, for these reasons; says whether that is new."""
        with self._lock:
            changed = {s for s in {*reasons, *self._reasons} if reasons.get(s) != self._reasons.get(s)}
            self._reasons = dict(reasons)
            self._changed |= changed
        return bool(changed)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def look_again_in(self) -> float | None:
        """Seconds until the store is to be looked at again; None: when something happens."""
        if any(seen.asks and not seen.is_over for seen in list(self._seen.values())):
            self.is_outdated = True
            return _ASKING
        return max(0.05, self._next_look - time.monotonic()) if self.is_outdated else None

    def look_now(self) -> None:
        """Somebody comes who knows nothing yet."""
        self.is_outdated, self._next_look = True, 0.0

    def failed(self) -> None:
        """The store could not be looked at: not again at once."""
        self._next_look = time.monotonic() + 5.0

    def next_update(self) -> Update:
        """What happened since the last time, with a look at the store where that is due."""
        is_whole = self.is_outdated and time.monotonic() >= self._next_look
        if is_whole:
            self._look()
        with self._lock:
            changed, self._changed = self._changed, set()
            completed, self._completed = self._completed, {}
        marks = self._marks()
        if self._has_unknown(completed):  # their checkpoints come with the next look
            with self._lock:
                self._completed = {**completed, **self._completed}
            completed, self.is_outdated = {}, True
        return Update(is_whole, {step: marks[step] for step in changed if step in marks}, completed)

    def _has_unknown(self, completed: Mapping[str, str]) -> bool:
        known = {row.name for row in self._page.rows if row.checkpoint and row.is_completed}
        return bool(completed.keys() - known) or (bool(completed) and self.is_outdated)

    def _look(self) -> None:
        began = time.thread_time()
        self.is_outdated = False
        session = self._session
        run = session.run and session.store.runs.find(session.run.id)
        with self._lock:
            if self._run is not None and (run is None or run.id != self._run):
                self._seen = {step: seen for step, seen in self._seen.items() if not seen.is_over}
            self._run = run.id if run else None
        self._page = notebook_page(session.workspace, run, session.notebook.path)
        share = _SHARE_BUSY if self._is_busy() else _SHARE_IDLE
        self._next_look = time.monotonic() + max(0.5, share * (time.thread_time() - began))

    def _marks(self) -> dict[str, Mark]:
        """By step: what was seen last, questions that are open, and what would execute again."""
        with self._lock:
            seen = {step: self._as_stored(known.mark) for step, known in self._seen.items()}
            reasons = dict(self._reasons)
        asked = {a.step: self._page.marks[a.step] for a in self._page.approvals}
        asked = {
            step: mark for step, mark in asked.items() if step not in seen or not self._seen[step].is_over
        }
        marks = {**self._page.marks, **seen, **asked}
        for step, reason in reasons.items():
            if step in marks and marks[step].state in (StepState.COMPLETED, StepState.REPLAYED):
                marks[step] = stale_mark(marks[step], reason)
        return marks

    def _as_stored(self, mark: Mark) -> Mark:
        """With what the store has of the step: its error, the time of its execution, what it is called."""
        stored = self._page.marks.get(mark.step)
        return mark if stored is None else replace(as_stored(mark, stored), label=stored.label)

    # -- for one page ----------------------------------------------------------------------------

    def _steps(self, view: PageView) -> dict[str, str]:
        """Cell id → step."""
        found = steps_of_cells(view.cells, self._page.steps)
        named = set(found.values())
        here = {cell.id for cell in view.cells}
        for step, seen in list(self._seen.items()):
            if step not in named and seen.cell_id in here and seen.cell_id not in found:
                found[seen.cell_id] = step
        return found

    def picture(self, view: PageView) -> dict[str, Any]:
        """All that a page shows."""
        marks = self._marks()
        return {
            "marks": marks_as_json(self._of_cells(view, marks)),
            "status": status_text(self._page, marks),
            "side_bar": self._page.as_json(marks),
        }

    def marks_json(self, view: PageView, changed: Mapping[str, Mark]) -> dict[str, Any]:
        """Some marks, and the line of status."""
        return {
            "marks": marks_as_json(self._of_cells(view, changed)),
            "status": status_text(self._page, self._marks()),
            "steps": [mark.as_json() for mark in changed.values()],
        }

    def _of_cells(self, view: PageView, marks: Mapping[str, Mark]) -> dict[str, Mark]:
        return {cell: marks[step] for cell, step in self._steps(view).items() if step in marks}

    def missed(self, view: PageView) -> list[str]:
        """Steps that completed after a page's file was saved."""
        return [row.name for row in missed_steps(view, self._page.rows)]

    def outputs(
        self, view: PageView, steps: Collection[str], *, live_widgets: Collection[str]
    ) -> Iterator[dict[str, Any]]:
        """What completed steps showed, by cell, a step at a time."""
        if not steps or self._page.run is None:
            return
        checkpoints = {row.name: row.checkpoint for row in self._page.rows if row.checkpoint}
        for cell, step in self._steps(view).items():
            if step in steps and step in checkpoints:
                run = self._page.run.run
                found = outputs_of_steps(
                    self._session.workspace, run, {step: checkpoints[step]}, live_widgets=live_widgets
                )
                seen = self._seen.get(step)
                yield {cell: {"outputs": found[step], "count": seen.count if seen else None}}
