"""Reporting what has ended: an attempt at a step with its calls, a run. Off, it costs a look at the environment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from evercell.core.errors import EvercellError
from evercell.core.records import Attempt, ErrorRecord, Run
from evercell.core.statuses import ENDED, AttemptStatus
from evercell.engine.telemetry.provider import EXPORTER, is_asked_for
from evercell.engine.telemetry.spans import SpanRecord, call_span, run_span, step_span
from evercell.engine.workspace import Workspace

_MOST_CALLS = 10_000
"""Of one attempt."""


def report_attempt(
    workspace: Workspace, run: Run, attempt: Attempt, status: AttemptStatus, error: ErrorRecord | None = None
) -> None:
    """An attempt has ended. Those before it whose kernels died are told of, too, for nobody else could."""
    if not _is_on(workspace):
        return
    try:
        EXPORTER.send([*_spans(workspace, run, attempt, status, error)])
    except EvercellError:  # the store is away: what it has is not lost
        return


def report_run(workspace: Workspace, run: Run) -> None:
    """A run has come to an end."""
    if run.status not in ENDED or not _is_on(workspace):
        return
    try:
        EXPORTER.send([run_span(run, workspace.clock(), workspace.store.children.of_run(run.id))])
    except EvercellError:
        return
    EXPORTER.flush()


def _is_on(workspace: Workspace) -> bool:
    wanted = workspace.settings.telemetry
    return (is_asked_for() if wanted is None else wanted) and EXPORTER.has_receiver()


def _spans(
    workspace: Workspace, run: Run, attempt: Attempt, status: AttemptStatus, error: ErrorRecord | None
) -> Iterator[SpanRecord]:
    with_content = workspace.settings.telemetry_content
    lost = _lost_before(workspace, attempt) if attempt.number > 1 else []
    calls = workspace.store.calls.listed(run.id, step=attempt.step, limit=_MOST_CALLS)
    attempts = [*lost, attempt]
    for number, one in enumerate(attempts):
        until: datetime | None = attempts[number + 1].started_at if number + 1 < len(attempts) else None
        for call in calls:
            if call.ended_at >= one.started_at and (until is None or call.ended_at < until):
                yield call_span(call, one, with_content=with_content)
    for one in lost:
        ended = one.ended_at or attempt.started_at
        yield step_span(run, one, AttemptStatus.INTERRUPTED, ended, error="KernelDied")
    message = f"{error.ename}: {error.evalue}" if error is not None and with_content else ""
    yield step_span(
        run,
        attempt,
        status,
        workspace.clock(),
        error=error.ename if error is not None else "",
        message=message,
    )


def _lost_before(workspace: Workspace, attempt: Attempt) -> list[Attempt]:
    """The attempts right before it that ended with their kernels, under another lease, the oldest first."""
    found: list[Attempt] = []
    earlier = [one for one in workspace.store.steps.attempts(attempt.run_id) if one.step == attempt.step]
    for one in sorted(earlier, key=lambda one: one.number, reverse=True):
        if one.number >= attempt.number:
            continue
        if one.status is not AttemptStatus.INTERRUPTED or one.token == attempt.token or one.error is not None:
            break
        found.append(one)
    return found[::-1]
