"""Giving a run up: what its calls did outside is undone, newest first, where they say how."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Any

from evercell.core.errors import Tampered
from evercell.core.records import Call
from evercell.core.statuses import RunStatus
from evercell.engine.approvals.gate import ApprovalGate
from evercell.engine.calls.calling import call_sync
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.log import verify_call
from evercell.engine.calls.ownership import calls_of
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.scope import CallScope
from evercell.engine.children.undoing import undo_run, unfinished_children
from evercell.engine.session import Session
from evercell.state import join

STEP = "abandon"
"""The step that undoing counts as: what is undone is recorded under it, and not undone twice."""


def abandon(session: Session, *, undo: bool, note: Callable[[str], None]) -> list[str]:
    """Cancel the session's run; with ``undo`` call the undo of every call first. Returns what was undone.

    An undo that raises stops here, the run as it was; the next time it goes on with that one.
    """
    run = session.require_run()
    session.ensure_lease()
    undone = _undo(session, note) if undo else []
    lease = session.ensure_lease().lease
    status = session.store.runs.find(run.id).status
    if status is RunStatus.COMPLETED and undo:  # what was done is undone: it is no completed run any more
        session.store.runs.set_status(lease, run.id, RunStatus.RUNNING, reason="it is undone")
    if status is not RunStatus.CANCELLED:
        session.run = session.store.runs.set_status(lease, run.id, RunStatus.CANCELLED)
    session.detach(RunStatus.CANCELLED)
    return undone


def _undo(session: Session, note: Callable[[str], None]) -> list[str]:
    run = session.require_run()
    step = StepContext(
        workspace=session.workspace,
        lease=lambda: session.ensure_lease().lease,
        values=session.namespace.values(),
        run_id=run.id,
        name=STEP,
        key=sha256(run.id.encode()).digest(),
        note=note,
        gate=ApprovalGate(),
        limits=session.limits,
        deferred_interrupts=session.deferred_interrupts,
    )
    undone = []
    with calls_of(step) as scope:
        for child in unfinished_children(session.workspace, run.id):
            name = f"undo run {child.name}"
            call_sync(
                partial(undo_run, session.workspace, child.id), (), {}, name=name, key="once", policy=ONCE
            )
            undone.append(f"run {child.name}")
        for call in session.store.calls.undoable(run.id):
            function, value, args, kwargs = step.values.loads(_checked(scope, call))
            name = f"undo {call.step} {call.key}"
            call_sync(_run, (function, value, *args), kwargs, name=name, key="once", policy=ONCE)
            undone.append(f"{call.key} of step {call.step}")
    return undone


def _checked(scope: CallScope, call: Call) -> bytes:
    workspace = scope.step.workspace
    content = call.value if isinstance(call.value, bytes) else bytes(join(call.value, workspace.store.chunks))
    try:
        verify_call(call, content, workspace.signer)
    except Tampered as error:
        raise Tampered(
            f"The recorded call {call.key} of step {call.step} is not what was signed; nothing was undone.",
            hint="Do not trust it: undo by hand what it did.",
        ) from error
    assert call.undo is not None, "the store was asked for calls that can be undone"
    return call.undo


def _run(function: Callable[..., Any], value: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an undo; a coroutine has a loop of its own, for the kernel's is busy with this very cell."""
    made = function(value, *args, **kwargs)
    if not inspect.isawaitable(made):
        return made
    results: list[Any] = []
    errors: list[BaseException] = []

    async def awaited() -> None:
        results.append(await made)

    def work() -> None:
        try:
            asyncio.run(awaited())
        except BaseException as error:  # noqa: BLE001  raised again below
            errors.append(error)

    thread = threading.Thread(target=work, name="evercell-undo")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
