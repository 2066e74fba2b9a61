"""Waiting that survives the kernel: until a moment, or for a signal from elsewhere."""

from __future__ import annotations

import asyncio
import datetime
import time
from functools import partial
from typing import Any

from evercell.core.errors import SignalTimeout, Tampered, UsageError
from evercell.core.records import Signal
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.policy import CallPolicy
from evercell.engine.calls.scope import CallScope, current_scope, require_scope
from evercell.engine.calls.suspension import Patience
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace
from evercell.state.pickling.values import Values

_POLL = 0.2
"""Seconds between two looks at the store."""

_ONCE = CallPolicy()


# -- until a moment ------------------------------------------------------------------------------


def sleep(seconds: float) -> None:
    """Wait. The end is fixed when the wait begins: a step that goes on after a kill waits only for the rest."""
    _sleep_to(_deadline(datetime.timedelta(seconds=seconds)))


def sleep_until(moment: datetime.datetime) -> None:
    """Wait until an aware datetime."""
    if moment.tzinfo is None:
        raise UsageError(f"{moment} has no time zone.", hint="evercell.sleep_until(moment.astimezone())")
    _sleep_to(moment)


async def asleep(seconds: float) -> None:
    """`sleep` for coroutines: the kernel goes on with other tasks."""
    deadline = _deadline(datetime.timedelta(seconds=seconds))
    patience = _patience(f"{deadline:%Y-%m-%d %H:%M:%S} UTC")
    while (left := _left(deadline)) > 0:
        if patience is not None:
            patience.check()
        await asyncio.sleep(min(left, _POLL))


def _deadline(wait: datetime.timedelta) -> datetime.datetime:
    made: datetime.datetime = call_sync(lambda: _clock() + wait, (), {}, name="sleep", key=None, policy=_ONCE)
    return made


def _sleep_to(deadline: datetime.datetime) -> None:
    patience = _patience(f"{deadline:%Y-%m-%d %H:%M:%S} UTC")
    while (left := _left(deadline)) > 0:
        if patience is not None:
            patience.check()
        _pause(min(left, _POLL), left)


def _patience(what: str) -> Patience | None:
    scope = current_scope()
    return Patience(scope, what) if scope is not None else None


def _left(deadline: datetime.datetime) -> float:
    return (deadline - _clock()).total_seconds()


def _pause(seconds: float, left: float) -> None:
    """Wait a little; a clock that is set by a test goes on to the end instead."""
    scope = current_scope()
    pass_by = getattr(scope.workspace.clock, "pass_by", None) if scope is not None else None
    if pass_by is not None:
        pass_by(left)
    else:
        time.sleep(seconds)


def _clock() -> datetime.datetime:
    scope = current_scope()
    return scope.workspace.clock() if scope is not None else datetime.datetime.now(datetime.UTC)


# -- for a signal --------------------------------------------------------------------------------


def wait_for(signal: str, timeout: float | None = None) -> Any:
    """Wait for a signal to this run and return what was sent. One that came earlier is there already.

    ``timeout`` is in seconds, counted from the first time that this was reached; raises `SignalTimeout`.
    """
    scope = require_scope("wait_for")
    end = _deadline(datetime.timedelta(seconds=timeout)) if timeout is not None else None
    return call_sync(partial(_poll, scope, signal, end), (), {}, name="wait_for", key=signal, policy=_ONCE)


async def await_signal(signal: str, timeout: float | None = None) -> Any:
    """`wait_for` for coroutines."""
    scope = require_scope("await_signal")
    end = _deadline(datetime.timedelta(seconds=timeout)) if timeout is not None else None

    async def poll() -> Any:
        patience = Patience(scope, f"signal {signal!r}")
        while True:
            found = _received(scope, signal, end)
            if found is not None:
                return found[0]
            patience.check()
            await asyncio.sleep(_POLL)

    return await call_async(poll, (), {}, name="wait_for", key=signal, policy=_ONCE)


def _poll(scope: CallScope, signal: str, end: datetime.datetime | None) -> Any:
    patience = Patience(scope, f"signal {signal!r}")
    while True:
        found = _received(scope, signal, end)
        if found is not None:
            return found[0]
        patience.check()
        _pause(_POLL, _POLL)


def _received(scope: CallScope, name: str, end: datetime.datetime | None) -> tuple[Any] | None:
    workspace = scope.workspace
    found = workspace.store.signals.get(scope.run_id, name)
    if found is not None:
        if workspace.signer.sign(_told(found)) != found.mac:
            raise Tampered(
                f"The signal {name!r} to run {scope.run_id} was not signed with your key.",
                hint="Whoever sends it needs the same key: set EVERCELL_KEY on both sides.",
            )
        return (scope.values.loads(found.value),)
    if end is not None and workspace.clock() >= end:
        raise SignalTimeout(
            f"No signal {name!r} came in time.", hint=f"Send it: evercell send {scope.run_id} {name}"
        )
    return None


def send_signal(workspace: Workspace, run_ref: str, name: str, payload: Any = None) -> Signal:
    """Send a signal to a run; the first one of its name wins, and is returned. Raises `RunNotFound`."""
    run = workspace.store.runs.find(run_ref)
    content = Values({}).dumps(payload, name=f"The payload of signal {name}")
    draft = Signal(run.id, name, content, b"", workspace.clock(), this_user())
    mac = workspace.signer.sign(_told(draft))
    return workspace.store.signals.send(Signal(run.id, name, content, mac, draft.sent_at, draft.sent_by))


def send(run: str, signal: str, payload: Any = None) -> bool:
    """Send a signal to a run from inside a step; says whether it was the first one of its name."""
    scope = require_scope("send")

    def sent() -> bool:
        found = send_signal(scope.workspace, run, signal, payload)
        return found.value == Values({}).dumps(payload, name="the payload")

    return bool(call_sync(sent, (), {}, name="send", key=f"{run} {signal}", policy=_ONCE))


def _told(signal: Signal) -> bytes:
    return b"signal\0" + f"{signal.run_id}\0{signal.name}\0".encode() + signal.value
