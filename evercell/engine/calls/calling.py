"""Making one durable call: replayed where it is recorded, tried and recorded otherwise."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from evercell.engine.calls.arguments import named_arguments
from evercell.engine.calls.log import Result, undecided
from evercell.engine.calls.logged_metrics import LoggedMetrics
from evercell.engine.calls.order import OWN, CallIdentity
from evercell.engine.calls.ownership import Owner, current_owner, enter_call, leave_call, note_late_call
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.running_call import RunningCall
from evercell.engine.calls.tracebacks import passes_on
from evercell.engine.calls.tries import Describe, Tries
from evercell.engine.calls.words import arguments_in_words

if TYPE_CHECKING:
    from evercell.engine.calls.checks import Check
    from evercell.engine.calls.guard import Arguments

Function = Callable[..., Any]


@passes_on
def call_sync(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], *, name: str, key: str | None,
    policy: CallPolicy, describe: Describe | None = None, undo: Function | None = None,
    body: Function | None = None, is_own: bool = False, check: Check | None = None,
) -> Any:  # fmt: skip
    """Call a function durably; outside of a step, call it. ``body`` does in another place, or way, what it does.

    ``is_own``: it is one of evercell's own, without an effect outside of the run, so that no policy is asked.
    """
    owner = current_owner()
    body = body or function
    if owner is None:
        note_late_call(name, is_harmless=is_own)
        return body(*args, **kwargs)
    scope = owner.scope
    identity = scope.begin(name, key, args, kwargs, inside=owner.call_key)
    known = scope.find(identity, owner.metrics)
    if known is not None:
        if scope.watch is not None and known.error is None:
            scope.watch.look()
        return known.get()
    if scope.watch is not None:
        scope.watch.look()
    words = arguments_in_words(function, args, kwargs)
    if (guard := scope.step.guard) is not None:
        if is_own:
            identity.ruling = OWN
        else:
            guard.permit(identity, name, partial(named_arguments, function, args, kwargs), words)
    tries = Tries(policy, words, is_own=is_own)
    if check is not None:
        tries, body = check.begin(scope, identity, policy, words, body)
    with inside_call(owner, identity, policy) as call:
        for pause in tries:
            if pause:
                time.sleep(pause)
            with slot(call, policy), tries.noted():
                with limited(call):
                    value = body(*args, **kwargs)
                break
        else:
            value = tries.settle(call)
    undoing = None if undo is None else (undo, value, args, kwargs)
    scope.log.record(
        identity, Result(value), tries.records(value, describe, call.metrics.values), undo=undoing
    )
    if scope.watch is not None:
        scope.watch.look()
    return value


@passes_on
async def call_async(
    function: Function, args: tuple[Any, ...], kwargs: dict[str, Any], *, name: str, key: str | None,
    policy: CallPolicy, describe: Describe | None = None, undo: Function | None = None,
    body: Function | None = None, is_own: bool = False, named: Arguments | None = None,
    check: Check | None = None,
) -> Any:  # fmt: skip
    """Call a coroutine function (or one whose ``body`` is one) durably; outside of a step, call it.

    ``named``: what a policy is told of its arguments, where its parameters do not tell.
    """
    owner = current_owner()
    body = body or function
    if owner is None:
        note_late_call(name, is_harmless=is_own)
        return await body(*args, **kwargs)
    scope = owner.scope
    identity = scope.begin(name, key, args, kwargs, inside=owner.call_key)
    known = scope.find(identity, owner.metrics)
    if known is not None:
        if scope.watch is not None and known.error is None:
            await scope.watch.look_async()
        return known.get()
    if scope.watch is not None:
        await scope.watch.look_async()
    words = arguments_in_words(function, args, kwargs)
    if (guard := scope.step.guard) is not None:
        if is_own:
            identity.ruling = OWN
        else:
            told = named or partial(named_arguments, function, args, kwargs)
            await guard.permit_async(identity, name, told, words)
    tries = Tries(policy, words, is_own=is_own)
    if check is not None:
        tries, body = check.begin_async(scope, identity, policy, words, body)
    with inside_call(owner, identity, policy) as call:
        for pause in tries:
            if pause:
                await _rest(pause)
            async with slot_async(call, policy):
                with tries.noted():
                    async with limited_async(call):
                        value = await body(*args, **kwargs)
                    break
        else:
            value = await tries.settle_async(call)
    undoing = None if undo is None else (undo, value, args, kwargs)
    scope.log.record(
        identity, Result(value), tries.records(value, describe, call.metrics.values), undo=undoing
    )
    if scope.watch is not None:
        await scope.watch.look_async()
    return value


async def _rest(seconds: float) -> None:
    await asyncio.sleep(seconds)


@contextmanager
def inside_call(owner: Owner, identity: CallIdentity, policy: CallPolicy) -> Iterator[RunningCall]:
    """While inside, the present code is that of this call. Raises `PolicyDenied` where nobody decided on it."""
    if identity.ruling is None and owner.scope.step.guard is not None:
        raise undecided(identity.name)
    metrics = LoggedMetrics(owner.metrics)
    around = owner.scope.slots if owner.call is None else owner.call.slots
    call = RunningCall(owner.scope, identity, policy.timeout, policy.heartbeat_timeout, metrics, around)
    progress = owner.scope.step.progress
    progress.call_began(identity.name)
    token = enter_call(call)
    try:
        yield call
    finally:
        leave_call(token)
        progress.call_left(identity.name)


def slot(call: RunningCall, policy: CallPolicy) -> AbstractContextManager[None]:
    """A slot of the policy's limit, held by one try at the call."""
    if policy.limit is None:
        return nullcontext()
    from evercell.engine.calls.slots import slot_of_call

    return slot_of_call(call, policy.limit)


def slot_async(call: RunningCall, policy: CallPolicy) -> AbstractAsyncContextManager[None]:
    """The same for a coroutine function."""
    if policy.limit is None:
        return nullcontext()
    from evercell.engine.calls.slots import slot_of_call_async

    return slot_of_call_async(call, policy.limit)


def limited(call: RunningCall) -> AbstractContextManager[None]:
    """One try at the call, within its time limits."""
    limits = call.scope.step.limits
    call.begin_try()
    return limits.limited(call) if limits is not None and call.is_limited else nullcontext()


def limited_async(call: RunningCall) -> AbstractAsyncContextManager[object]:
    """One try at the call of a coroutine function, within its time limits."""
    limits = call.scope.step.limits
    call.begin_try()
    return limits.limited_async(call) if limits is not None and call.is_limited else nullcontext()
