"""Waiting until a moment: the end is fixed when the wait begins, and outlives the kernel."""

from __future__ import annotations

import asyncio
import datetime
import time
from contextlib import AbstractContextManager, nullcontext

from evercell.core.clock import clock_text, local_text
from evercell.core.errors import UsageError
from evercell.core.records import Awaited, AwaitedKind
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.calling import call_sync
from evercell.engine.calls.nondeterminism import present_moment
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.suspension import GracePeriod

POLL = 0.2
"""Seconds between two looks at what is waited for."""


def sleep(seconds: float) -> None:
    """Wait. The end is fixed when the wait begins: a step that goes on after a kill waits only for the rest."""
    refuse_in_coroutine("evercell.sleep")
    _wait_until(deadline_in(seconds))


def sleep_until(moment: datetime.datetime) -> None:
    """Wait until an aware datetime."""
    refuse_in_coroutine("evercell.sleep_until")
    _wait_until(checked(moment))


def checked(moment: datetime.datetime) -> datetime.datetime:
    """The moment itself; raises `UsageError` for one that may be any of many."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment} has no time zone.", hint="evercell.sleep_until(moment.astimezone())")
    return moment


def deadline_in(seconds: float) -> datetime.datetime:
    """The moment in so many seconds; the same one when the step goes on after a kill."""
    wait = datetime.timedelta(seconds=seconds)
    deadline: datetime.datetime = call_sync(
        lambda: present_moment() + wait, (), {}, name="sleep", key=None, policy=ONCE, is_own=True
    )
    return deadline


def _wait_until(deadline: datetime.datetime) -> None:
    with _grace_period(deadline) as grace:
        while (left := _seconds_until(deadline)) > 0:
            if grace is not None:
                grace.check()
            pause(min(left, POLL), left=left)


async def wait_until(deadline: datetime.datetime) -> None:
    """Wait for a moment while the loop goes on with other tasks."""
    with _grace_period(deadline) as grace:
        while (left := _seconds_until(deadline)) > 0:
            if grace is not None:
                grace.check()
            await pause_async(min(left, POLL), left=left)


def _grace_period(deadline: datetime.datetime) -> AbstractContextManager[GracePeriod | None]:
    """While inside, whoever shows the step says until when it waits."""
    scope = current_scope()
    if scope is None or _seconds_until(deadline) <= 0:
        return nullcontext()
    awaited = Awaited(AwaitedKind.MOMENT, due_at=deadline.astimezone(datetime.UTC))
    return GracePeriod(scope, local_text(deadline), awaited, shown=clock_text(deadline))


def _seconds_until(deadline: datetime.datetime) -> float:
    return (deadline - present_moment()).total_seconds()


def pause(seconds: float, *, left: float) -> None:
    """Wait a little; a clock that is set by a test goes on to the end, ``left`` seconds, instead."""
    if not passes_by(left):
        time.sleep(seconds)


async def pause_async(seconds: float, *, left: float) -> None:
    """The same while the loop goes on with other tasks."""
    await asyncio.sleep(0 if passes_by(left) else seconds)


def passes_by(seconds: float) -> bool:
    """Let the time pass where the clock is one that a test sets; says whether it is."""
    scope = current_scope()
    pass_by = getattr(scope.step.workspace.clock, "pass_by", None) if scope is not None else None
    if pass_by is None:
        return False
    pass_by(seconds)
    return True
