"""The one place that asks what time it is. Tests hand in a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Returns the present moment as an aware UTC datetime."""


def system_clock() -> datetime:
    """The machine's clock, in UTC."""
    return datetime.now(UTC)


def clock_text(moment: datetime) -> str:
    """A moment as the clock on the wall shows it: ``14:05:09``, with its date where that is not today's."""
    try:
        local = moment.astimezone()
    except (OverflowError, OSError, ValueError):  # at the ends of time
        return utc_text(moment)
    is_today = local.date() == datetime.now().astimezone().date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%Y-%m-%d %H:%M:%S}"


def local_text(moment: datetime) -> str:
    """How a moment is written for people here, by their clock: ``2026-01-31 19:00:00 CET``."""
    try:
        here = moment.astimezone()
    except (OverflowError, OSError, ValueError):  # at the ends of time
        return utc_text(moment)
    return f"{here:%Y-%m-%d %H:%M:%S %Z}"


def utc_text(moment: datetime) -> str:
    """How a moment is written for people who may be anywhere: ``2026-01-31 18:00:00 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
