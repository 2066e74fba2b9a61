"""When a schedule fires: a cron expression, read in a time zone, as moments.

cronsim reads expressions, and says which times of the clock on the wall they name; here these become moments, by the
rules of Debian's cron. (What cronsim itself does in zones is right where clocks move by whole hours; on Lord Howe
Island they move by half of one.)
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from evercell.core.errors import UsageError
from evercell.core.text import one_line

_LONGEST = 200
_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_ANY_DAY = datetime(2026, 1, 1)

_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_OF_THE_HOST = ("localtime", "posixrules", "Factory")
"""Files beside those of zones, another one on each machine."""

_FIELDS = "five fields: minute, hour, day of the month, month, day of the week. Every night at two: 0 2 * * *"


@dataclass(frozen=True, slots=True)
class FiringTimes:
    """The moments that an expression names in a zone, all in UTC."""

    expression: str
    zone: ZoneInfo

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Each firing later than a moment, in order; it ends where the next 50 years have none.

        At certain times of the day: one that clocks leave out comes at once after the gap, and one that they show
        twice comes at the first. In steps (minutes or hours that begin with ``*``): as real time passes.
        """
        minutes, hours, *_ = self.expression.split()
        if minutes.startswith("*") or hours.startswith("*"):
            return self._as_time_passes(moment)
        return self._by_the_wall(moment)

    def next_after(self, moment: datetime) -> datetime | None:
        """The first firing later than a moment, None where the next 50 years have none."""
        return next(self.after(moment), None)

    def newest(self, first: datetime, last: datetime, *, most: int) -> tuple[list[datetime], bool]:
        """The firings from ``first`` to ``last``, of many the newest ones, and whether these are all."""
        start = self._where_few_are_left(first, last, most)
        found = []
        for moment in self.after(max(start, first) - _SECOND):
            if moment > last:
                break
            found.append(moment)
        return found[-most:], start <= first and len(found) <= most

    def _where_few_are_left(self, first: datetime, last: datetime, most: int) -> datetime:
        """A moment before the newest ``most`` firings, and not before many more of them."""
        beginning = self._wall(first)
        walls = CronSim(self.expression, self._wall(last) - _DAY, reverse=True)
        for number, wall in enumerate(walls, 1):
            if wall <= beginning:
                return first
            if number > most:
                return wall.replace(tzinfo=self.zone).astimezone(UTC) - _DAY
        return first

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self.zone).utcoffset() or timedelta()

    def _by_the_wall(self, after: datetime) -> Iterator[datetime]:
        last = after.astimezone(UTC)
        for wall in CronSim(self.expression, self._wall(after)):
            early = wall.replace(tzinfo=self.zone, fold=0)
            moment = early.astimezone(UTC)
            if self._wall(moment) != wall:  # clocks leave it out
                late = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)
                moment = self._change(late, moment)
            if moment > last:
                yield moment
                last = moment

    def _as_time_passes(self, after: datetime) -> Iterator[datetime]:
        begin = after.astimezone(UTC).replace(microsecond=0) + _SECOND
        while True:
            offset = self._offset(begin)
            change: datetime | None = None
            for wall in CronSim(self.expression, self._wall(begin) - _SECOND):
                moment = wall.replace(tzinfo=UTC) - offset
                change = self._next_change(begin, moment)
                if change is not None:
                    begin = change
                    break
                yield moment
                begin = moment
            if change is None:
                return

    def _next_change(self, begin: datetime, end: datetime) -> datetime | None:
        """The first moment up to ``end`` at which clocks have another offset than at ``begin``."""
        offset, before = self._offset(begin), begin
        while before < end:
            here = min(before + _DAY / 2, end)
            if self._offset(here) != offset:
                return self._change(before, here)
            before = here
        return None

    def _change(self, before: datetime, after: datetime) -> datetime:
        """The second at which clocks were put to another offset, between two moments on either side of it."""
        offset = self._offset(before)
        while after - before > _SECOND:
            middle = before + timedelta(seconds=(after - before) // _SECOND // 2)
            before, after = (middle, after) if self._offset(middle) == offset else (before, middle)
        return after


def read_times(cron: str, timezone: str) -> FiringTimes:
    """The moments that a schedule means. Raises `UsageError` for an expression or a zone that means nothing."""
    return FiringTimes(read_expression(cron), read_zone(timezone))


def read_expression(text: str) -> str:
    """The expression in five fields. Raises `UsageError`, also for one that names no moment at all."""
    written = " ".join(_NICKNAMES.get(text.strip().lower(), text).upper().split())
    if len(written) > _LONGEST or len(written.split()) != 5:
        raise _unreadable(
            text, f"it has {len(written.split())} fields" if len(written) <= _LONGEST else "it is long"
        )
    why = _why_not(written)
    if not why:
        if next(iter(CronSim(written, _ANY_DAY)), None) is None:
            raise _never(text)
        return written
    minute, hour, day, month, weekday = written.split()
    if not _why_not(f"{minute} {hour} {day} * {weekday}") and not _why_not(f"0 0 1 {month} *"):
        raise _never(text)
    raise _unreadable(text, why)


def explained(expression: str) -> str:
    """An expression in words, such as ``At 02:00 every day``."""
    return str(CronSim(expression, _ANY_DAY).explain())


def _why_not(expression: str) -> str:
    try:
        CronSim(expression, _ANY_DAY)
    except (CronSimError, ValueError, AssertionError, LookupError, TypeError) as error:
        return str(error).replace("Bad", "it has no such") or "it cannot be read"
    return ""


def _never(text: str) -> UsageError:
    return UsageError(
        f"A schedule of {one_line(text)!r} would never fire: none of its months has such a day.",
        hint="The last day of every month is L: 0 2 L * *",
    )


def _unreadable(text: str, why: str) -> UsageError:
    return UsageError(
        f"{one_line(text)[:_LONGEST]!r} says no times: {why}.", hint=f"Write {_FIELDS}, and quote it."
    )


# -- zones ---------------------------------------------------------------------------------------


def read_zone(name: str) -> ZoneInfo:
    """A time zone by its name, such as ``Europe/Berlin``. Raises `UsageError`, with the nearest ones."""
    try:
        if name not in _OF_THE_HOST:
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise UsageError(f"There is no time zone {one_line(name)[:80]!r}.", hint=_meant(name))


def _meant(name: str) -> str:
    zones = {zone.lower(): zone for zone in sorted(available_timezones())}
    if not zones:
        return "This system knows none; with them: pip install tzdata"
    wanted = name.strip().lower().replace(" ", "_")
    by_place = [zone for low, zone in zones.items() if low.rpartition("/")[2] == wanted]
    close = by_place or [zones[low] for low in difflib.get_close_matches(wanted, zones, n=3)]
    close = close or [
        zone
        for low, zone in zones.items()
        if difflib.get_close_matches(wanted, [low.rpartition("/")[2]], n=1, cutoff=0.8)
    ]
    return f"Did you mean {' or '.join(close[:3])}?" if close else "One is called Europe/Berlin, or UTC."


def local_zone() -> str:
    """The zone of this machine, as far as it says which; otherwise UTC."""
    named = [os.environ.get("TZ", "").removeprefix(":")]
    try:
        named.append(str(Path("/etc/localtime").resolve()).rpartition("/zoneinfo/")[2])
        named.append(Path("/etc/timezone").read_text(encoding="utf-8").strip())
    except OSError:
        pass
    for name in filter(None, named):
        try:
            key = read_zone(name).key
        except UsageError:
            continue
        return "UTC" if key in ("Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal") else key
    return "UTC"


def upcoming(times: FiringTimes, now: datetime, count: int) -> list[datetime]:
    """The next firings after a moment."""
    return list(islice(times.after(now), count))
