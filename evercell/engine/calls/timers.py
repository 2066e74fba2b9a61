"""Waiting until a moment: the end is fixed when the wait begins, and outlives the kernel."""

from __future__ import annotations

import asyncio
import datetime
import time

from evercell.core.clock import utc_text
from evercell.core.errors import UsageError
from evercell.engine.calls.calling import call_sync
from evercell.engine.calls.nondeterminism import present_moment
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.suspension import GracePeriod

POLL = 0.2
"""Seconds between two looks at what is waited for."""


def sleep(seconds: float) -> None:
    """Wait. The end is fixed when the wait begins: a step that goes on after a kill waits only for the rest."""
    _sleep_to(deadline_in(seconds))


def sleep_until(moment: datetime.datetime) -> None:
    """Wait until an aware datetime."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment} has no time zone.", hint="evercell.sleep_until(moment.astimezone())")
    _sleep_to(moment)


async def asleep(seconds: float) -> None:
    """`sleep` for coroutines: the kernel goes on with other tasks."""
    deadline = deadline_in(seconds)
    grace = _grace_period(deadline)
    while (left := _seconds_until(deadline)) > 0:
        if grace is not None:
            grace.check()
        await asyncio.sleep(min(left, POLL))


def deadline_in(seconds: float) -> datetime.datetime:
    """The moment in so many seconds; the same one when the step goes on after a kill."""
    wait = datetime.timedelta(seconds=seconds)
    deadline: datetime.datetime = call_sync(
        lambda: present_moment() + wait, (), {}, name="sleep", key=None, policy=ONCE
    )
    return deadline


def _sleep_to(deadline: datetime.datetime) -> None:
    grace = _grace_period(deadline)
    while (left := _seconds_until(deadline)) > 0:
        if grace is not None:
            grace.check()
        pause(min(left, POLL), left=left)


def _grace_period(deadline: datetime.datetime) -> GracePeriod | None:
    scope = current_scope()
    return GracePeriod(scope, utc_text(deadline)) if scope is not None else None


def _seconds_until(deadline: datetime.datetime) -> float:
    return (deadline - present_moment()).total_seconds()


def pause(seconds: float, *, left: float) -> None:
    """Wait a little; a clock that is set by a test goes on to the end, ``left`` seconds, instead."""
    scope = current_scope()
    pass_by = getattr(scope.step.workspace.clock, "pass_by", None) if scope is not None else None
    if pass_by is not None:
        pass_by(left)
    else:
        time.sleep(seconds)
