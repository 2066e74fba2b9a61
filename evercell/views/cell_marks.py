"""How a step stands, in words below its cell: for eyes and for screen readers alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from evercell.core.records import Attempt
from evercell.core.statuses import AttemptStatus
from evercell.core.text import counted, one_line
from evercell.engine.listing import INHERITED, StepRow
from evercell.engine.watching import Snapshot, StepState
from evercell.views.page_actions import kind_of_step
from evercell.views.quantities import duration_text

AT = "{at}"
"""Where a page puts the mark's time, in its reader's own time zone and language."""

_AT_ONCE = timedelta(seconds=2)
"""Between the end of a step and what the store says of it."""

_LONGEST = 200
"""Characters of an error or a question."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands below a cell."""

    state: str
    """One of `StepState`, or ``stale``: a page gives each its sign and colour."""
    step: str
    text: str
    at: datetime | None = None
    began_at: float | None = None
    """Of what goes on: since when, in seconds since the epoch; a page counts from there."""
    details: str = ""
    """What else there is to say, for whoever asks."""
    label: str = ""
    """What a list calls the step where its cell gave it no name: how its code begins."""
    calls: str = ""
    """How many calls it made, as far as its text says so."""

    def as_json(self) -> dict[str, Any]:
        """For a page."""
        return {
            "state": self.state,
            "step": self.step,
            "text": self.text,
            "at": self.at.isoformat() if self.at else None,
            "began_at": self.began_at,
            "details": self.details,
            "label": self.label,
            "menu": kind_of_step(self.state),
        }


def live_mark(snapshot: Snapshot) -> Mark:
    """Of a step that a kernel is at, or was at just now."""
    s = snapshot
    since = s.began_at if s.state in (StepState.RUNNING, StepState.WAITING, StepState.SAVING) else None
    at = datetime.now(UTC) if since is None else None
    return Mark(str(s.state), s.step, _live_text(s), at, since, _live_details(s), calls=_calls(s))


def _live_text(s: Snapshot) -> str:
    match s.state:
        case StepState.RUNNING:
            return " · ".join(filter(None, ["running", _attempt(s.attempt), _calls(s), _under_way(s)]))
        case StepState.WAITING:
            return f"waits for {_short(s.waits_for)}" if s.waits_for else "waits"
        case StepState.SAVING:
            return "saving"
        case StepState.COMPLETED:
            took = duration_text(max(0.0, datetime.now(UTC).timestamp() - s.began_at))
            return " · ".join(filter(None, [f"saved {AT}", f"took {took}", _calls(s)]))
        case StepState.REPLAYED:
            took = f"took {duration_text(s.saved_seconds)}" if s.saved_seconds is not None else ""
            return " · ".join(filter(None, [f"replayed · saved {AT}", took]))
        case StepState.FAILED:
            return " · ".join(filter(None, [f"failed {AT}", _attempt(s.attempt), _calls(s)]))
        case _:
            return _interrupted(s.executed + s.replayed)


def _live_details(s: Snapshot) -> str:
    costs = [f"{s.tokens:,} tokens"] if s.tokens else []
    costs += [f"{s.cost:.4f} USD"] if s.cost else []
    again = f"executes again: {s.why}" if s.why else ""
    replayed = f"{s.replayed} calls taken from before" if s.replayed else ""
    failed = f"{s.failed} calls failed" if s.failed else ""
    return one_line(" · ".join(filter(None, [again, replayed, failed, *costs])))


def _attempt(number: int) -> str:
    return f"attempt {number}" if number > 1 else ""


def _calls(s: Snapshot) -> str:
    """``21/30 calls``, or ``21 calls`` where nobody knows how many there will be."""
    done = s.executed + s.replayed
    whole = s.expected or (s.recorded if s.state is StepState.RUNNING and s.recorded > done else None)
    if whole:
        return f"{done}/{whole} calls"
    return counted(done, "call") if done else ""


def _under_way(s: Snapshot) -> str:
    return _short(f"now {s.calls[-1]}") if s.calls else ""


def _interrupted(calls: int) -> str:
    if not calls:
        return "interrupted · run the cell to try again"
    return f"interrupted after {calls} of its calls · run the cell to go on at call {calls + 1}"


def stored_mark(row: StepRow, last: Attempt | None, *, calls: int = 0) -> Mark:
    """Of a step as its run has it. ``calls``: how many of it are recorded, where it did not complete."""
    took = f"took {duration_text(row.seconds)}" if row.seconds is not None else ""
    if row.is_completed:
        where = "before this branch" if row.status == INHERITED else ""
        text = " · ".join(filter(None, [f"saved {AT}", took, where]))
        return Mark(str(StepState.COMPLETED), row.name, text, row.completed_at)
    at = (last.ended_at or last.started_at) if last else None
    if row.status == AttemptStatus.FAILED:
        error = f"{last.error.ename}: {last.error.evalue}" if last and last.error else ""
        text = " · ".join(filter(None, [f"failed {AT}", _attempt(row.attempts), _short(error)]))
        return Mark(str(StepState.FAILED), row.name, text, at, details=one_line(error))
    if row.status == AttemptStatus.RUNNING:
        began = last.started_at.timestamp() if last else None
        return Mark(str(StepState.RUNNING), row.name, "running", began_at=began)
    return Mark(str(StepState.INTERRUPTED), row.name, _interrupted(calls), at)


def as_stored(mark: Mark, stored: Mark) -> Mark:
    """The mark of a step that ended in this kernel, with what the store has of it: the error, the time of its body."""
    if mark.state == StepState.REPLAYED:
        return replace(mark, at=stored.at)
    if mark.state != stored.state or mark.began_at is not None:
        return mark
    is_older = mark.at is not None and stored.at is not None and mark.at - stored.at > _AT_ONCE
    if is_older:  # of another execution of it
        return mark
    text = " · ".join(filter(None, [stored.text, mark.calls if mark.state == StepState.COMPLETED else ""]))
    return replace(stored, text=text, details=mark.details or stored.details)


def waiting_mark(step: str, title: str, approvers: tuple[str, ...] | None, began_at: float) -> Mark:
    """Of a step that asks a person."""
    whom = " or ".join(approvers) if approvers else "your approval"
    text = f"waits for {_short(whom)}: {_short(title)}"
    return Mark(str(StepState.WAITING), step, text, began_at=began_at, details=one_line(title))


def stale_mark(mark: Mark, reason: str) -> Mark:
    """Of a completed step that would not replay now."""
    text = f"stale, executes again when it is run: {_short(reason)}"
    return replace(mark, state="stale", text=text, details=f"{mark.text} · {mark.details}".strip(" ·"))


def _short(text: str) -> str:
    shown = one_line(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}…"


def marks_as_json(marks: Mapping[str, Mark]) -> dict[str, Any]:
    """Cell id → mark, for a page."""
    return {cell: mark.as_json() for cell, mark in marks.items()}
