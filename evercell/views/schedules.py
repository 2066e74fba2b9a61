"""Schedules as tables: when each fires next, and what came of its firings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from evercell.core.clock import utc_text
from evercell.core.schedules import Schedule
from evercell.core.text import one_line
from evercell.engine.firing_times import FiringTimes
from evercell.engine.scheduling import ScheduleRow
from evercell.views.listings import damage_text
from evercell.views.quantities import ahead_text
from evercell.views.table import Table


def schedules_view(rows: Sequence[ScheduleRow], now: datetime) -> Table:
    """Every schedule, and below them what is to be said of firings that became no runs."""
    body = [
        (
            row.schedule.name,
            f"{row.schedule.cron} ({row.schedule.timezone})",
            next_text(row.schedule, row.times, now),
            f"{row.last_run.name} {row.last_run.status}" if row.last_run else "",
            f"{row.schedule.catch_up}, {row.schedule.overlap}",
            Path(row.schedule.notebook).name,
        )
        for row in rows
    ]
    notes = "\n".join(filter(None, [*map(_remark, rows), damage_text(rows)]))
    if not body:
        how = 'evercell schedule add "0 2 * * *" NOTEBOOK runs one every night at two.'
        return Table("No schedules yet.", (), (), notes or how)
    return Table("", ("schedule", "when", "next", "last run", "catch up, overlap", "notebook"), body, notes)


def firings_view(schedule: Schedule, times: FiringTimes, moments: Sequence[datetime], now: datetime) -> Table:
    """The firings that come."""
    title = f"Schedule {schedule.name}, {schedule.cron} ({schedule.timezone})"
    if schedule.paused_at:
        title += ": paused, and until it is resumed none of these comes"
    body = [(moment_in(times.zone, at), ahead_text(at, now)) for at in moments]
    return Table(title, ("next", "") if body else (), body, "" if body else "It never fires again.")


def next_text(schedule: Schedule, times: FiringTimes | None, now: datetime) -> str:
    """When it fires next, by the clock on the wall of its zone, and how far away that is."""
    if schedule.paused_at is not None:
        return "paused"
    if schedule.next_at is None:
        return "never again"
    where = moment_in(times.zone, schedule.next_at) if times else utc_text(schedule.next_at)
    return f"{where}, {ahead_text(schedule.next_at, now)}"


def moment_in(zone: ZoneInfo, moment: datetime) -> str:
    """A moment as people in a zone write it: ``Fri 2026-11-27 02:00 CET``."""
    return f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %Z}"


def _remark(row: ScheduleRow) -> str:
    found = row.schedule
    if not found.remark:
        return ""
    so_far = f" ({found.left_out:,} left out so far)" if found.left_out else ""
    return f"{one_line(found.name)}: {one_line(found.remark)}{so_far}"
