"""Making one durable call: replayed where it is recorded, tried and recorded otherwise."""

from __future__ import annotations

import asyncio
import inspect
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from evercell.core.errors import StepTimeout
from evercell.engine.calls.log import Result
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.ownership import current_owner, enter_call, leave_call, note_late_call
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.running_call import RunningCall
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.tries import Describe, Tries

Function = Callable[..., Any]


def call_sync(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], *, name: str, key: str | None,
    policy: CallPolicy, describe: Describe | None = None, undo: Function | None = None,
) -> Any:  # fmt: skip
    """Call a function durably; outside of a step, call it."""
    owner = current_owner()
    if owner is None:
        note_late_call(name)
        return function(*args, **kwargs)
    scope = owner.scope
    identity = scope.begin(name, key, args, kwargs, inside=owner.call_key)
    known = scope.find(identity)
    if known is not None:
        return known.get()
    tries = Tries(policy)
    with _inside(scope, identity, policy) as call:
        for pause in tries:
            if pause:
                time.sleep(pause)
            with tries.noted():
                with _time_limit(policy.timeout, name, call):
                    value = function(*args, **kwargs)
                break
        else:
            return _fail(scope, identity, tries)
    undoing = None if undo is None else (undo, value, args, kwargs)
    scope.log.record(identity, Result(value), tries.records(value, describe), undo=undoing)
    return value


async def call_async(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], *, name: str, key: str | None,
    policy: CallPolicy, describe: Describe | None = None, undo: Function | None = None,
) -> Any:  # fmt: skip
    """Call a coroutine function durably; outside of a step, call it."""
    owner = current_owner()
    if owner is None:
        note_late_call(name)
        return await function(*args, **kwargs)
    scope = owner.scope
    identity = scope.begin(name, key, args, kwargs, inside=owner.call_key)
    known = scope.find(identity)
    if known is not None:
        return known.get()
    tries = Tries(policy)
    with _inside(scope, identity, policy) as call:
        for pause in tries:
            if pause:
                await asyncio.sleep(pause)
            with tries.noted():
                value = await _limited(function(*args, **kwargs), policy.timeout, name, call)
                break
        else:
            return _fail(scope, identity, tries)
    undoing = None if undo is None else (undo, value, args, kwargs)
    scope.log.record(identity, Result(value), tries.records(value, describe), undo=undoing)
    return value


def _fail(scope: CallScope, identity: CallIdentity, tries: Tries) -> Any:
    error = tries.last_error
    scope.log.record(identity, Result(error=error), tries.records())
    raise error


@contextmanager
def _inside(scope: CallScope, identity: CallIdentity, policy: CallPolicy) -> Iterator[RunningCall]:
    call = RunningCall(scope, identity, policy.heartbeat_timeout)
    token = enter_call(call)
    try:
        yield call
    finally:
        leave_call(token)


async def _limited(running: Awaitable[Any], seconds: float | None, name: str, call: RunningCall) -> Any:
    call.begin_try()
    try:
        async with asyncio.timeout(seconds):
            return await (running if call.limit is None else _while_it_lives(running, name, call))
    except StepTimeout:
        raise
    except TimeoutError as error:
        if seconds is None:
            raise
        raise _timed_out(name, seconds) from error


async def _while_it_lives(running: Awaitable[Any], name: str, call: RunningCall) -> Any:
    task = asyncio.ensure_future(running)
    try:
        while not task.done():
            await asyncio.wait({task}, timeout=max(0.0, call.left()))
            if call.left() <= 0 and not task.done():
                raise _hung(name, call)
        return task.result()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextmanager
def _time_limit(seconds: float | None, name: str, call: RunningCall) -> Iterator[None]:
    """An alarm in the main thread. (Another thread cannot be stopped from outside: there is no limit there.)"""
    call.begin_try()
    no_limit = seconds is None and call.limit is None
    if no_limit or threading.current_thread() is not threading.main_thread():
        yield
        return
    began = time.monotonic()

    def next_alarm() -> float:
        until_end = seconds - (time.monotonic() - began) if seconds is not None else float("inf")
        return max(0.001, min(until_end, call.left() if call.limit is not None else float("inf")))

    def ring(number: int, frame: Any) -> None:  # noqa: ARG001
        if seconds is not None and time.monotonic() - began >= seconds:
            raise _timed_out(name, seconds)
        if call.limit is not None and call.left() <= 0:
            raise _hung(name, call)
        signal.setitimer(signal.ITIMER_REAL, next_alarm())

    before = signal.signal(signal.SIGALRM, ring)
    left, _ = signal.setitimer(signal.ITIMER_REAL, next_alarm())
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, max(0.001, left - (time.monotonic() - began)) if left else 0)
        signal.signal(signal.SIGALRM, before)


def _hung(name: str, call: RunningCall) -> StepTimeout:
    return StepTimeout(
        f"{name}() gave no sign of life for {call.limit:g} s.",
        hint="Call evercell.heartbeat() more often in it, or give it more time (heartbeat_timeout=...).",
    )


def _timed_out(name: str, seconds: float) -> StepTimeout:
    return StepTimeout(
        f"{name}() took longer than its timeout of {seconds:g} s.",
        hint="Give it more time (timeout=...), or more tries (retries=...).",
    )


def is_async(function: Function) -> bool:
    """Whether calling it makes something to await."""
    inner = inspect.unwrap(function)
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(getattr(inner, "__call__", None))  # noqa: B004
