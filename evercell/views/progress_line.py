"""How far a step is, in one quiet line."""

from __future__ import annotations

import time

from evercell.core.text import counted, one_line
from evercell.engine.transfers import Reading
from evercell.engine.watching import Snapshot, StepState
from evercell.views.quantities import duration_text, size_text
from evercell.views.text import escaped

_NAMES_SHOWN = 2
_LONGEST_NAME = 40
_LONGEST_WAIT = 120
"""Characters."""

DONE, REPLAYED, FAILED = "#2f81f7", "#8b949e", "#b42318"
"""Colours of a bar's parts, to be seen on white and on black."""

_BAR = (
    "display:inline-block;width:9em;height:.5em;background:#8884;border-radius:.25em;overflow:hidden;"
    "margin-right:.8em"
)


def progress_text(snapshot: Snapshot, now: float | None = None) -> str:
    """``21 of 30 calls · running ask · 9 replayed · 12 s · 4,210 tokens``; of a step that ended, what came of it."""
    seconds = _seconds(snapshot, now)
    match snapshot.state:
        case StepState.WAITING:
            return _joined(
                f"waiting for {_short(snapshot.waits_for, _LONGEST_WAIT)}", *_calls(snapshot), seconds
            )
        case StepState.SAVING:
            return _joined(_saving(snapshot), *_calls(snapshot), *_spent(snapshot))
        case StepState.RUNNING:
            attempt = f"attempt {snapshot.attempt}" if snapshot.attempt > 1 else ""
            return _joined(
                attempt,
                _how_far(snapshot),
                _under_way(snapshot),
                *_counts(snapshot),
                seconds,
                *_spent(snapshot),
            )
        case StepState.REPLAYED:
            return replayed_text(snapshot)
        case StepState.COMPLETED:
            return _joined("saved", *_calls(snapshot), seconds, *_spent(snapshot))
        case state:
            return _joined(str(state), *_calls(snapshot), seconds, *_spent(snapshot))


def calls_text(snapshot: Snapshot) -> str:
    """Its calls, and what they cost: ``30 calls · 9 replayed · 4,210 tokens``; empty without any."""
    return _joined(*_calls(snapshot), *_spent(snapshot))


def replayed_text(snapshot: Snapshot) -> str:
    """``replayed · saved 12 s``: what was not spent again."""
    saved = snapshot.saved_seconds
    return _joined("replayed", f"saved {duration_text(saved)}" if saved is not None and saved >= 1 else "")


def progress_html(snapshot: Snapshot, now: float | None = None) -> str:
    """The same with a bar, where it is known how much there is to do."""
    bar = ""
    if snapshot.state is StepState.SAVING:
        bar = _bar((snapshot.written, DONE), of=snapshot.to_write)
    elif snapshot.state.is_under_way and _knows_all(snapshot):
        succeeded = snapshot.executed - snapshot.failed
        parts = ((snapshot.replayed, REPLAYED), (succeeded, DONE), (snapshot.failed, FAILED))
        bar = _bar(*parts, of=snapshot.expected or 0)
    return quiet_html(progress_text(snapshot, now), bar)


def reading_text(reading: Reading, now: float | None = None) -> str:
    """``putting back state · 1.2 GB of 3.4 GB · 12 s``; when it is over, how much it was."""
    seconds = _duration((time.time() if now is None else now) - reading.began_at)
    if reading.is_over:
        what = f"{size_text(reading.to_read)} of state" if reading.to_read else "the state"
        return _joined(f"put back {what}", seconds)
    size = f"{size_text(reading.read) or '0 B'} of {size_text(reading.to_read)}" if reading.to_read else ""
    return _joined("putting back state", size, seconds)


def reading_html(reading: Reading, now: float | None = None) -> str:
    """The same with a bar."""
    bar = "" if reading.is_over else _bar((reading.read, DONE), of=reading.to_read)
    return quiet_html(reading_text(reading, now), bar)


def quiet_html(text: str, bar: str = "") -> str:
    """A remark of ours as it stands below a cell."""
    style = "opacity:.75;font-size:.9em;line-height:1.5;padding-left:.6em;font-family:system-ui,sans-serif"
    return f"<div style='{style}'>{bar}{escaped(text)}</div>"


# -- its parts -----------------------------------------------------------------------------------


def _bar(*parts: tuple[int, str], of: int) -> str:
    if of <= 0:
        return ""
    inside = "".join(
        f"<span style='display:inline-block;vertical-align:top;height:100%;width:{min(100.0, 100 * count / of):.1f}%;"
        f"background:{colour}'></span>"
        for count, colour in parts
        if count > 0
    )
    return f"<span style='{_BAR}'>{inside}</span>"


def _knows_all(snapshot: Snapshot) -> bool:
    return snapshot.expected is not None and snapshot.done <= snapshot.expected


def _how_far(snapshot: Snapshot) -> str:
    if _knows_all(snapshot):
        return f"{snapshot.done:,} of {_count(snapshot.expected or 0)}"
    return _count(snapshot.done) if snapshot.done else ""


def _count(calls: int) -> str:
    return counted(calls, "call")


def _under_way(snapshot: Snapshot) -> str:
    names = [_short(name, _LONGEST_NAME) for name in reversed(snapshot.calls)]
    more = len(names) - _NAMES_SHOWN
    shown = ", ".join(names[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return f"running {shown}" if names else ""


def _counts(snapshot: Snapshot) -> list[str]:
    replayed = f"{snapshot.replayed:,} replayed" if snapshot.replayed else ""
    return [replayed, f"{snapshot.failed:,} failed" if snapshot.failed else ""]


def _calls(snapshot: Snapshot) -> list[str]:
    return [_count(snapshot.done), *_counts(snapshot)] if snapshot.done else []


def _spent(snapshot: Snapshot) -> list[str]:
    tokens = f"{snapshot.tokens:,} tokens" if snapshot.tokens else ""
    return [tokens, f"cost {snapshot.cost:.4g}" if snapshot.cost else ""]


def _saving(snapshot: Snapshot) -> str:
    if not snapshot.to_write:
        return "saving"
    return f"saving {size_text(snapshot.written) or '0 B'} of {size_text(snapshot.to_write)}"


def _seconds(snapshot: Snapshot, now: float | None) -> str:
    return _duration((time.time() if now is None else now) - snapshot.began_at)


def _duration(seconds: float) -> str:
    """In whole seconds: tenths would flicker."""
    return f"{int(seconds)} s" if 1 <= seconds < 60 else duration_text(max(0.0, seconds))


def _short(text: str, longest: int) -> str:
    line = one_line(text)
    return line if len(line) <= longest else f"{line[:longest]}…"


def _joined(*parts: str) -> str:
    return " · ".join(filter(None, parts))
