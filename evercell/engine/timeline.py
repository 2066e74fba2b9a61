"""What happened in a run and when: its steps with their attempts, and of these the calls. Reads, never writes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from evercell.core.approvals import Approval
from evercell.core.found import Found
from evercell.core.records import Attempt, Call, Event, EventKind, Run
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.engine.approvals.deciding import waiting_for
from evercell.engine.listing import INHERITED, RunRow, StepRow, list_steps, run_row
from evercell.engine.watching import StepState
from evercell.engine.workspace import Workspace

T = TypeVar("T", Attempt, Call)

_SUSPENDED = "Suspended"
"""What ends an attempt whose wait outlasts its kernel."""

MOST_CALLS = 20_000
"""Of a run that made more, the newest are shown."""


@dataclass(frozen=True, slots=True)
class TimedCall:
    """A durable call that ended."""

    key: str
    name: str
    depth: int
    """Calls inside of a call stand one deeper than it."""
    ok: bool
    began_at: datetime
    ended_at: datetime
    arguments: str
    """In words; empty where an older evercell recorded it."""
    result: str
    error: str
    """What its last try raised."""
    errors: tuple[str, ...]
    """What the tries before the last one raised."""
    tries: int
    tokens: int
    cost: float
    size: int
    """Bytes of its result as it is recorded."""

    @property
    def seconds(self) -> float:
        return (self.ended_at - self.began_at).total_seconds()

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "key": self.key,
            "name": self.name,
            "status": "returned" if self.ok else "raised",
            "began_at": self.began_at.isoformat(),
            "seconds": round(self.seconds, 6),
            "arguments": self.arguments,
            "result": self.result,
            "error": self.error,
            "tries": self.tries,
            "errors": list(self.errors),
            "tokens": self.tokens,
            "cost": self.cost,
            "size": self.size,
        }


@dataclass(frozen=True, slots=True)
class TimedAttempt:
    """One try to execute a step."""

    number: int
    state: str
    """A `StepState`."""
    began_at: datetime
    ended_at: datetime | None
    error: str
    calls: tuple[TimedCall, ...]
    """Those that this attempt executed, in order of their end."""
    replayed: int
    """How many calls it was handed that attempts before it had made."""


@dataclass(frozen=True, slots=True)
class TimedStep:
    """A step and all that was tried."""

    row: StepRow
    state: str
    """A `StepState`, or `INHERITED`."""
    attempts: tuple[TimedAttempt, ...]
    replayed_at: tuple[datetime, ...] = ()
    waits_for: str = ""
    """Whom or what it waits for."""

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def calls(self) -> list[TimedCall]:
        """Those of all its attempts."""
        return [call for attempt in self.attempts for call in attempt.calls]

    @property
    def error(self) -> str:
        """What ended its last attempt, empty where that is under way or completed."""
        return self.attempts[-1].error if self.attempts else ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run as of one moment."""

    run: RunRow
    steps: Found[TimedStep]
    now: datetime
    pending: tuple[Approval, ...] = ()

    @property
    def call_count(self) -> int:
        return sum(len(attempt.calls) for step in self.steps for attempt in step.attempts)

    @property
    def completed(self) -> int:
        """How many of its steps are done."""
        return sum(step.row.is_completed for step in self.steps)


def read_timeline(workspace: Workspace, run: Run, *, calls_of: str | None = None) -> Timeline:
    """The timeline of a run in a handful of queries, however long it is.

    ``calls_of``: with the calls of this step only.
    """
    row = run_row(workspace, run)
    attempted = workspace.store.steps.attempts(run.id)
    attempts = _by_step(attempted)
    rows = list_steps(workspace, run, attempted)
    pending = waiting_for(workspace, run_id=run.id, below=True)
    made = workspace.store.calls.listed(run.id, step=calls_of, limit=MOST_CALLS)
    of_step = _by_step(made)
    replays = _replays(workspace, run)
    steps = [
        _step(r, attempts.get(r.name, []), of_step.get(r.name, []), replays.get(r.name, []), row, pending)
        for r in rows
    ]
    steps.sort(key=lambda step: _first_moment(step, run.created_at))
    return Timeline(row, Found([*steps, *rows.damaged, *made.damaged]), workspace.clock(), tuple(pending))


def timed_calls(calls: Iterable[Call]) -> list[TimedCall]:
    """Calls as a listing shows them."""
    return [_call(call) for call in calls]


def _first_moment(step: TimedStep, created_at: datetime) -> datetime:
    """Inherited steps stand before those of the run."""
    return step.attempts[0].began_at if step.attempts else created_at - timedelta(days=1)


def _by_step(items: Iterable[T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for item in items:
        found.setdefault(item.step, []).append(item)
    return found


def _replays(workspace: Workspace, run: Run) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    events: Found[Event] = workspace.store.journal.of_kinds(run.id, [EventKind.STEP_REPLAYED])
    for event in events:
        found.setdefault(str(event.data.get("step")), []).append(event.at)
    return found


def _step(
    row: StepRow,
    attempts: Sequence[Attempt],
    calls: Sequence[Call],
    replays: Sequence[datetime],
    run: RunRow,
    pending: Iterable[Approval],
) -> TimedStep:
    asked = [a for a in pending if a.step == row.name and a.run_id == run.run.id]
    is_last = bool(attempts) and not row.is_completed
    waits = is_last and (bool(asked) or _is_suspended(attempts[-1], run))
    state = str(StepState.WAITING) if waits else row.status
    shares: list[list[Call]] = [[] for _ in attempts]
    begins = [attempt.started_at for attempt in attempts]
    for call in calls:
        if begins:
            shares[max(0, bisect_right(begins, call.ended_at) - 1)].append(call)
    timed = []
    earlier: list[Call] = []
    for number, attempt in enumerate(attempts):
        last = number == len(attempts) - 1
        timed.append(_attempt(attempt, shares[number], earlier, state if last else ""))
        earlier += shares[number]
    return TimedStep(row, state, tuple(timed), tuple(replays), _waits_for(asked) if waits else "")


def _is_suspended(last: Attempt, run: RunRow) -> bool:
    return run.run.status is RunStatus.WAITING and last.status is AttemptStatus.INTERRUPTED


def _waits_for(asked: Sequence[Approval]) -> str:
    if not asked:
        return "a time or a signal"
    people = " or ".join(asked[0].question.approvers or ()) or "somebody"
    return f"{people}: {asked[0].title}"


def _attempt(attempt: Attempt, calls: list[Call], earlier: list[Call], state: str) -> TimedAttempt:
    """``state``: that of its step, where it is the last attempt at it."""
    keys = {call.step_key for call in calls} or {attempt.key}
    status = _attempt_state(attempt, state)
    error = attempt.error if status != StepState.WAITING else None
    return TimedAttempt(
        attempt.number,
        status,
        attempt.started_at,
        _end(attempt, calls, status),
        f"{error.ename}: {error.evalue}" if error else "",
        tuple(map(_call, calls)),
        sum(call.ok and call.step_key in keys for call in earlier),
    )


def _attempt_state(attempt: Attempt, state: str) -> str:
    if attempt.status is AttemptStatus.COMPLETED:
        return str(attempt.status)
    if state and state not in (StepState.COMPLETED, INHERITED):
        return state
    if attempt.error is not None and attempt.error.ename == _SUSPENDED:
        return str(StepState.WAITING)
    return str(StepState.INTERRUPTED if attempt.status is AttemptStatus.RUNNING else attempt.status)


def _end(attempt: Attempt, calls: list[Call], status: str) -> datetime | None:
    """When it ended. One whose kernel went away is ended by who takes the run on, maybe days later: it lived at least
    until its last call.
    """
    if status == StepState.INTERRUPTED and attempt.error is None:
        return max((call.ended_at for call in calls), default=attempt.started_at)
    return attempt.ended_at


def _call(call: Call) -> TimedCall:
    """Times by the store's clock: the tries, by that of the host, say only how long it took."""
    first, last = (call.tries[0], call.tries[-1]) if call.tries else ({}, {})
    seconds = _number(last.get("seconds"))
    if first is not last and "at" in first and "at" in last:
        seconds += max(0.0, _number(last["at"]) - _number(first["at"]))
    errors = tuple(str(one["error"]) for one in call.tries if one.get("error"))
    return TimedCall(
        call.key,
        call.name,
        call.key.count("/"),
        call.ok,
        call.ended_at - timedelta(seconds=min(seconds, 10**9)),
        call.ended_at,
        str(first.get("arguments", "")),
        str(last.get("result", "")),
        "" if call.ok else (errors[-1] if errors else "it failed"),
        errors if call.ok else errors[:-1],
        len(call.tries) or 1,
        int(_number(last.get("tokens_in")) + _number(last.get("tokens_out"))),
        _number(last.get("cost")),
        getattr(call.value, "size", 0),
    )


def _number(value: object) -> float:
    """A number of a row, whoever wrote it."""
    if value is None or not isinstance(value, int | float) or not abs(value) < 10**12:
        return 0.0
    return float(value)
