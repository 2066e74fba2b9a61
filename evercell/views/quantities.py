"""How times, durations and sizes are shown."""

from __future__ import annotations

from datetime import datetime

from evercell.core.clock import system_clock


def ago_text(moment: datetime) -> str:
    """``3 min ago``; the date for anything older than a week."""
    passed = max(0.0, (system_clock() - moment).total_seconds())
    for unit, size in (("s", 60), ("min", 60), ("h", 24), ("d", 7)):
        if passed < size:
            return f"{int(passed)} {unit} ago"
        passed /= size
    return f"{moment.astimezone():%Y-%m-%d}"


def ahead_text(moment: datetime, now: datetime) -> str:
    """``in 3 h``, ``in 2 h 40 min``, ``in 5 d``; ``due 4 min ago`` for what should have been."""
    seconds = round((moment - now).total_seconds())
    if seconds < 0:
        return f"due {_span(-seconds)} ago"
    return f"in {_span(seconds)}" if seconds else "now"


def _span(seconds: int) -> str:
    if seconds < 60:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 10:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    hours += minutes >= 30
    return f"{hours} h" if hours < 48 else f"{round(hours / 24)} d"


def moment_text(moment: datetime) -> str:
    """How a moment is shown to people: by the clock on the wall, without the day where that is today's."""
    here = moment.astimezone()
    time = f"{here:%H:%M:%S}"
    return time if here.date() == system_clock().astimezone().date() else f"{here:%Y-%m-%d} {time}"


def duration_text(seconds: float) -> str:
    """``12 ms``, ``3.4 s``, ``2 min 5 s``, ``3 h 20 min``."""
    if 0 < seconds < 0.001:
        return f"{max(seconds * 1000, 0.01):.2g} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size_text(count: int) -> str:
    """``1.5 MB``; empty for nothing."""
    size = float(count)
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}" if count else ""
        size /= 1000
    return f"{size:.3g} GB"
