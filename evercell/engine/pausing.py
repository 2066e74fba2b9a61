"""Pausing a run from anywhere: it begins no further step until somebody lets it go on."""

from __future__ import annotations

from contextlib import suppress

from evercell.core.errors import IllegalTransition, LeaseHeld, UsageError
from evercell.core.records import Run, RunRequest
from evercell.core.statuses import PAUSE, RunStatus
from evercell.core.text import as_word
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace


def pause(workspace: Workspace, run_ref: str, *, by: str | None = None) -> Run:
    """Commit that a run begins no further step; a step under way comes to its end. Raises `RunNotFound`."""
    run = workspace.store.runs.find(run_ref)
    if run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        raise UsageError(
            f"Run {run.name} is {run.status}: there is nothing to pause.", hint="`evercell runs` lists them."
        )
    request = RunRequest(PAUSE, by or this_user(), workspace.clock().isoformat())
    workspace.store.runs.set_request(run.id, request)
    with suppress(LeaseHeld, IllegalTransition):  # its session says so itself, at its next step
        if run.status in (RunStatus.RUNNING, RunStatus.QUEUED):
            workspace.store.runs.set_status(None, run.id, RunStatus.PAUSED, reason=f"paused by {request.by}")
    return workspace.store.runs.find(run.id)


def unpause(workspace: Workspace, run_ref: str) -> Run:
    """Commit that a paused run may go on. Raises `RunNotFound`, or `UsageError` where nobody paused it."""
    run = workspace.store.runs.find(run_ref)
    request = workspace.store.runs.request(run.id)
    if request is None or request.what != PAUSE:
        raise UsageError(
            f"Nobody paused run {run.name}.", hint=f"To go on with it: evercell resume {as_word(run.name)}."
        )
    workspace.store.runs.set_request(run.id, None)
    return workspace.store.runs.find(run.id)
