"""Durable messages to a run: sending one, and waiting for one."""

from __future__ import annotations

import datetime
from functools import partial
from hmac import compare_digest
from typing import Any

from evercell.core.errors import SignalTimeout, Tampered
from evercell.core.records import Awaited, AwaitedKind, Signal
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.ownership import require_scope
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.suspension import GracePeriod
from evercell.engine.calls.timers import POLL, deadline_in, pause, pause_async
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace
from evercell.state import Signer, Values

# -- waiting -------------------------------------------------------------------------------------


def wait_for(signal: str, timeout: float | None = None) -> Any:
    """Wait for a signal to this run and return what was sent. One that came earlier is there already.

    ``timeout`` is in seconds, counted from the first time that this was reached; raises `SignalTimeout`.
    """
    refuse_in_coroutine("evercell.wait_for")
    poll = partial(_poll, require_scope("wait_for"), signal, _deadline(timeout))
    return call_sync(poll, (), {}, name="wait_for", key=signal, policy=ONCE, is_own=True)


async def wait_for_async(signal: str, timeout: float | None) -> Any:
    """The same while the loop goes on with other tasks."""
    poll = partial(_poll_async, require_scope("aio.wait_for"), signal, _deadline(timeout))
    return await call_async(poll, (), {}, name="wait_for", key=signal, policy=ONCE, is_own=True)


def _deadline(timeout: float | None) -> datetime.datetime | None:
    return deadline_in(timeout) if timeout is not None else None


def _poll(scope: CallScope, name: str, deadline: datetime.datetime | None) -> Any:
    with _grace_period(scope, name, deadline) as grace:
        while (found := _received(scope, name, deadline)) is None:
            grace.check()
            pause(POLL, left=POLL)
    return scope.step.values.loads(found.value)


async def _poll_async(scope: CallScope, name: str, deadline: datetime.datetime | None) -> Any:
    with _grace_period(scope, name, deadline) as grace:
        while (found := _received(scope, name, deadline)) is None:
            grace.check()
            await pause_async(POLL, left=POLL)
    return scope.step.values.loads(found.value)


def _grace_period(scope: CallScope, name: str, deadline: datetime.datetime | None) -> GracePeriod:
    return GracePeriod(scope, f"signal {name!r}", Awaited(AwaitedKind.SIGNAL, name, deadline))


def _received(scope: CallScope, name: str, deadline: datetime.datetime | None) -> Signal | None:
    """The signal if it is there by now. Raises `SignalTimeout`, `Tampered`."""
    workspace, run_id = scope.step.workspace, scope.step.run_id
    with scope.step.deferred_interrupts():
        found = workspace.store.signals.get(run_id, name)
    if found is not None:
        verify_signal(found, workspace.signer)
        return found
    if deadline is not None and workspace.clock() >= deadline:
        raise SignalTimeout(
            f"No signal {name!r} came in time.", hint=f"Send it: evercell send {run_id} {name}"
        )
    return None


# -- sending -------------------------------------------------------------------------------------


def send(run: str, signal: str, payload: Any = None) -> bool:
    """Send a signal to a run from inside a step; says whether it was the first one of its name."""
    scope = require_scope("send")

    def is_first(run: str = run, signal: str = signal, payload: Any = payload) -> bool:  # what policies see
        found = send_signal(scope.step.workspace, run, signal, payload)
        return found.value == Values({}).dumps(payload, name="the payload")

    return bool(call_sync(is_first, (), {}, name="send", key=f"{run} {signal}", policy=ONCE))


def send_signal(workspace: Workspace, run_ref: str, name: str, payload: Any = None) -> Signal:
    """Send a signal to a run; the first one of its name wins, and is returned. Raises `RunNotFound`."""
    run = workspace.store.runs.find(run_ref)
    content = Values({}).dumps(payload, name=f"The payload of signal {name}")
    draft = Signal(run.id, name, content, b"", workspace.clock(), this_user())
    mac = workspace.signer.sign(_signed_part(draft))
    return workspace.store.signals.send(Signal(run.id, name, content, mac, draft.sent_at, draft.sent_by))


def verify_signal(signal: Signal, signer: Signer) -> None:
    """Raise `Tampered` unless this key signed the signal."""
    if not compare_digest(signer.sign(_signed_part(signal)), signal.mac):
        raise Tampered(
            f"The signal {signal.name!r} to run {signal.run_id} was not signed with your key, or was changed since.",
            hint="Whoever sends it needs the same key: set EVERCELL_KEY on both sides.",
        )


def _signed_part(signal: Signal) -> bytes:
    return b"signal\0" + f"{signal.run_id}\0{signal.name}\0".encode() + signal.value
