"""Reporting what has ended: an attempt at a step with its calls, a run. Off, it costs a look at the environment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evercell.core.errors import EvercellError
from evercell.core.records import Attempt, ErrorRecord, Run
from evercell.core.statuses import ENDED, AttemptStatus
from evercell.engine.telemetry.provider import EXPORTER, is_asked_for
from evercell.engine.workspace import Workspace

if TYPE_CHECKING:  # what makes spans is imported where somebody wants them
    from evercell.engine.telemetry.spans import SpanRecord

_MOST_CALLS = 10_000
"""Of one attempt."""


def report_attempt(
    workspace: Workspace, run: Run, attempt: Attempt, status: AttemptStatus, error: ErrorRecord | None = None
) -> None:
    """An attempt has ended. Those before it whose kernels died are told of, too, for nobody else could."""
    if not _is_on(workspace):
        return
    try:
        EXPORTER.send([*_spans(workspace, run, replace(attempt, status=status, error=error))])
    except EvercellError:  # the store is away: what it has is not lost
        return


def report_run(workspace: Workspace, run: Run) -> None:
    """A run has come to an end."""
    if run.status not in ENDED or not _is_on(workspace):
        return
    from evercell.engine.telemetry.spans import run_span

    try:
        EXPORTER.send([run_span(run, run.updated_at, workspace.store.children.of_run(run.id))])
    except EvercellError:
        return
    EXPORTER.flush()


def _is_on(workspace: Workspace) -> bool:
    wanted = workspace.settings.telemetry
    return (is_asked_for() if wanted is None else wanted) and EXPORTER.has_receiver()


def _spans(workspace: Workspace, run: Run, ended: Attempt) -> Iterator[SpanRecord]:
    """(What the store could not take yet is told as it ended here.)"""
    from evercell.engine.telemetry.tracing import attempt_spans

    stored = workspace.store.steps.attempts(run.id, step=ended.step)
    attempts = [
        ended if one.id == ended.id and one.status is AttemptStatus.RUNNING else one for one in stored
    ]
    told = next((one for one in attempts if one.id == ended.id), ended)
    wanted = [*(one.id for one in _lost_before(attempts, told)), told.id]
    calls = workspace.store.calls.listed(run.id, step=ended.step, limit=_MOST_CALLS)
    with_content = workspace.settings.telemetry_content
    yield from attempt_spans(workspace, run, attempts, calls, with_content=with_content, wanted=wanted)


def _lost_before(attempts: Sequence[Attempt], ended: Attempt) -> list[Attempt]:
    """The attempts right before it that ended with their kernels, under another lease, the oldest first."""
    found: list[Attempt] = []
    for one in sorted(attempts, key=lambda one: one.number, reverse=True):
        if one.number >= ended.number:
            continue
        if one.status is not AttemptStatus.INTERRUPTED or one.token == ended.token or one.error is not None:
            break
        found.append(one)
    return found[::-1]
