"""A run as spans, read from what is stored: those of one attempt as it ends, or all of them whenever somebody asks.

Both are made here, so that what was exported while a run went on and its trace afterwards are the same, span for span.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from evercell.core.records import Attempt, Call, EventKind, Run
from evercell.core.scores import GivenScore
from evercell.core.statuses import ENDED, AttemptStatus, RunStatus
from evercell.engine.scores import scores_of
from evercell.engine.standing import standing_of
from evercell.engine.telemetry import names
from evercell.engine.telemetry.kinds import KnownCall, know_calls
from evercell.engine.telemetry.spans import (
    Attributes,
    EventRecord,
    SpanRecord,
    call_span,
    run_span,
    step_span,
)
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Trace:
    """A run as spans."""

    run_id: str
    run_name: str
    status: str
    """How it stands: ``completed``, ``running``, ``interrupted``, ..."""
    spans: tuple[SpanRecord, ...]
    """The run first, then what happened in it, as it began."""
    damaged: tuple[str, ...] = ()
    """What is left out, since it cannot be read."""


def read_trace(workspace: Workspace, run: Run, *, with_content: bool = False) -> Trace:
    """The trace of a run, whether it has come to its end or not, with its scores. Nothing is written."""
    standing = standing_of(workspace, run)
    run = workspace.store.runs.find(run.id)
    status = str(run.status) if run.status in ENDED else standing.word
    attempts = workspace.store.steps.attempts(run.id)
    calls = workspace.store.calls.listed(run.id)
    is_alive = status == RunStatus.RUNNING
    judged = [_as_it_stands(workspace, one, attempts, is_alive=is_alive) for one in attempts]
    spans = [*attempt_spans(workspace, run, judged, calls, with_content=with_content)]
    spans.sort(key=lambda span: (span.begins, span.ends))
    ended = (
        _ended_at(workspace, run)
        if run.status in ENDED
        else _latest(workspace, run, spans, is_alive=is_alive)
    )
    child = workspace.store.children.of_run(run.id)
    whole = run_span(
        run, ended, child, status=status, evaluations=tuple(map(_evaluation, scores_of(workspace, run)))
    )
    damaged = tuple(error.what for error in (*attempts.damaged, *calls.damaged))
    return Trace(run.id, run.name, status, (whole, *spans), damaged)


def attempt_spans(
    workspace: Workspace,
    run: Run,
    attempts: Sequence[Attempt],
    calls: Sequence[Call],
    *,
    with_content: bool,
    wanted: Sequence[str] | None = None,
) -> Iterator[SpanRecord]:
    """Attempts at steps with the calls that each executed. ``wanted``: ids of those that are told, of all that there
    were at their steps; None: all.
    """
    contents = _contents_of(workspace, run, calls) if with_content else {}
    shown = _masked(run) if with_content else _as_it_is
    shares: dict[str, list[Call]] = {}
    for known, attempt in _shared_out(know_calls(calls), attempts):
        if attempt is not None:
            shares.setdefault(attempt.id, []).append(known.call)
        if wanted is None or (attempt is not None and attempt.id in wanted):
            place = (known.call.step, known.call.step_key, known.call.key)
            yield shown(call_span(known, attempt, contents.get(place, {}) if with_content else None))
    for attempt in attempts:
        if wanted is None or attempt.id in wanted:
            ended = _end(attempt, shares.get(attempt.id, ()), workspace)
            yield shown(step_span(run, attempt, max(ended, attempt.started_at), with_content=with_content))


def _as_it_is(span: SpanRecord) -> SpanRecord:
    return span


def _masked(run: Run) -> Callable[[SpanRecord], SpanRecord]:
    """What hides secrets in messages of errors."""
    from evercell.engine.masking import Mask

    mask = Mask(run.params)
    return lambda span: replace(span, message=mask.text(span.message)) if span.message else span


def _shared_out(
    calls: Iterable[KnownCall], attempts: Sequence[Attempt]
) -> Iterator[tuple[KnownCall, Attempt | None]]:
    """Each call with the attempt that executed it: the last one at its step that had begun when it ended."""
    of_step: dict[str, list[Attempt]] = {}
    for attempt in sorted(attempts, key=lambda one: one.started_at):
        of_step.setdefault(attempt.step, []).append(attempt)
    begins = {step: [one.started_at for one in some] for step, some in of_step.items()}
    for known in calls:
        some = of_step.get(known.call.step)
        at = bisect_right(begins[known.call.step], known.call.ended_at) - 1 if some else 0
        yield known, some[max(0, at)] if some else None


def _end(attempt: Attempt, calls: Sequence[Call], workspace: Workspace) -> datetime:
    """One whose kernel died is ended by whoever takes the run on, maybe days later: it lived until its last call."""
    if attempt.status is AttemptStatus.INTERRUPTED and attempt.error is None:
        return max((call.ended_at for call in calls), default=attempt.started_at)
    return attempt.ended_at or workspace.clock()


def _as_it_stands(
    workspace: Workspace, attempt: Attempt, attempts: Sequence[Attempt], *, is_alive: bool
) -> Attempt:
    """One that is stored as running, and that nobody executes any more, was interrupted."""
    if attempt.status is not AttemptStatus.RUNNING:
        return attempt
    lease = workspace.store.leases.get(attempt.run_id)
    is_newest = attempt.number == max(one.number for one in attempts if one.step == attempt.step)
    if is_alive and is_newest and lease is not None and lease.token == attempt.token:
        return attempt
    return replace(attempt, status=AttemptStatus.INTERRUPTED)


def _ended_at(workspace: Workspace, run: Run) -> datetime:
    """When its status became what it is: it may have been renamed since."""
    for event in workspace.store.journal.newest(run.id, [EventKind.RUN_STATUS]):
        return event.at
    return run.updated_at


def _latest(workspace: Workspace, run: Run, spans: Sequence[SpanRecord], *, is_alive: bool) -> datetime:
    """The last that is known of a run that has not come to its end."""
    now = [workspace.clock()] if is_alive else []
    return max([run.created_at, *(span.ends for span in spans), *now])


def _contents_of(
    workspace: Workspace, run: Run, calls: Sequence[Call]
) -> Mapping[tuple[str, bytes, str], Attributes]:
    from evercell.engine.telemetry.contents import contents_of

    return contents_of(workspace, run, calls)


def _evaluation(score: GivenScore) -> EventRecord:
    """A score as the conventions have it."""
    attributes: Attributes = {names.EVALUATION_NAME: score.name}
    if score.value is not None:
        attributes[names.SCORE_VALUE] = score.value
    if score.label is not None:
        attributes[names.SCORE_LABEL] = score.label
    if score.reason:
        attributes[names.EXPLANATION] = score.reason
    if score.step:
        attributes[names.STEP_NAME] = score.step
    return EventRecord(names.EVALUATION, score.given_at, attributes)
