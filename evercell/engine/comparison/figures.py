"""What a run took to come where it is, and what its steps logged: one row of a table for each of any number of runs."""

from __future__ import annotations

import difflib
import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from evercell.core.errors import Damaged, UsageError
from evercell.core.metrics import METRICS, Metric, metrics_from_json
from evercell.core.records import Attempt, Call, Checkpoint, EventKind
from evercell.core.scores import GivenScore
from evercell.core.statuses import AttemptStatus
from evercell.engine.comparison.steps_behind import StepsAt, steps_at
from evercell.engine.places import Place
from evercell.engine.scores import figures_of
from evercell.engine.timeline import TimedCall, timed_calls
from evercell.engine.workspace import Workspace


@dataclass(slots=True)
class Amounts:
    """What steps took: their last execution, with the failed attempts before it."""

    steps: int = 0
    seconds: float = 0.0
    calls: int = 0
    call_seconds: float = 0.0
    tokens: int = 0
    cost: float = 0.0

    def add_step(self, seconds: float, calls: Iterable[TimedCall]) -> None:
        """One step more. Calls inside of others took their time, and bring their own tokens and cost."""
        self.steps += 1
        self.seconds += seconds
        for call in calls:
            self.calls += 1
            self.call_seconds += call.seconds if not call.depth else 0.0
            self.tokens += call.tokens
            self.cost += call.cost

    def as_json(self) -> dict[str, object]:
        return {
            "steps": self.steps,
            "seconds": round(self.seconds, 6),
            "calls": self.calls,
            "call_seconds": round(self.call_seconds, 6),
            "tokens": self.tokens,
            "cost": round(self.cost, 9),
        }


@dataclass(frozen=True, slots=True)
class Figures:
    """One row: a run as of a place."""

    place: Place
    total: Amounts = field(default_factory=Amounts)
    """Of all steps on the way there, inherited ones included."""
    own: Amounts = field(default_factory=Amounts)
    """Of those that this run executed itself: what the branch cost."""
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    """Name → what the last step logged that logged it."""
    scores: Mapping[str, GivenScore] = field(default_factory=dict)
    """What was said of the run as a whole, by name."""
    other_code: tuple[str, ...] = ()
    """Steps whose code is another than in the first of the runs, or that only one of the two has."""
    damaged: tuple[Damaged, ...] = ()

    def as_json(self) -> dict[str, object]:
        """For ``--json``; NaN and what is infinite as text, which JSON has not."""
        metrics = {n: v if math.isfinite(v) else repr(float(v)) for n, v in self.metrics.items()}
        return {
            "run": self.place.run.name,
            "id": self.place.run.id,
            "place": self.place.label,
            "status": str(self.place.run.status),
            "total": self.total.as_json(),
            "own": self.own.as_json(),
            "metrics": metrics,
            "scores": {name: score.as_json() for name, score in self.scores.items()},
            "other_code": list(self.other_code),
        }


def read_figures(workspace: Workspace, places: Sequence[Place]) -> list[Figures]:
    """A row for each place. What several runs share is read once."""
    reader = _Reader(workspace)
    steps = [steps_at(workspace, place) for place in places]
    return [
        replace(reader.figures(place, at), other_code=tuple(_other_code(steps[0], at)))
        for place, at in zip(places, steps, strict=True)
    ]


def _other_code(first: StepsAt, other: StepsAt) -> Iterator[str]:
    for step in {**first.newest, **other.newest}:
        here, there = first.newest.get(step), other.newest.get(step)
        if here is None or there is None or here.source_hash != there.source_hash:
            yield step


def sort_figures(rows: Sequence[Figures], by: str, *, reverse: bool = False) -> list[Figures]:
    """The rows by a column (``time``, ``cost``, …), a metric or a score, the smallest first; those without it last.

    Raises `UsageError` for what is neither.
    """
    names = sorted({name for row in rows for name in (*row.metrics, *row.scores)})
    if any(by in row.metrics for row in rows):
        value: Callable[[Figures], Any] = lambda row: row.metrics.get(by)  # noqa: E731
    elif by in names:
        value = lambda row: row.scores[by].value if by in row.scores else None  # noqa: E731
    elif by in COLUMNS:
        value = COLUMNS[by]
    else:
        close = difflib.get_close_matches(by, [*names, *COLUMNS], n=1)
        raise UsageError(
            f"There is nothing to sort by called {by!r}.",
            hint=f"Did you mean {close[0]}?" if close else f"There is: {', '.join([*COLUMNS, *names])}.",
        )
    there = [row for row in rows if _is_orderable(value(row))]
    rest = [row for row in rows if not _is_orderable(value(row))]
    return [*sorted(there, key=value, reverse=reverse), *rest]


def _is_orderable(value: object) -> bool:
    return value is not None and not (isinstance(value, float) and math.isnan(value))


COLUMNS: Mapping[str, Callable[[Figures], Any]] = {
    "run": lambda row: row.place.label,
    "steps": lambda row: row.total.steps,
    "time": lambda row: row.total.seconds,
    "calls": lambda row: row.total.calls,
    "call time": lambda row: row.total.call_seconds,
    "tokens": lambda row: row.total.tokens,
    "cost": lambda row: row.total.cost,
}
"""Heading → value. (A metric of such a name goes before it.)"""


class _Reader:
    """Reads what runs did, each once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._attempts: dict[str, dict[str, list[Attempt]]] = {}
        self._calls: dict[str, dict[str, list[Call]]] = {}
        self._metrics: dict[str, dict[str, Mapping[str, Metric]]] = {}

    def figures(self, place: Place, at: StepsAt) -> Figures:
        total, own = Amounts(), Amounts()
        metrics: dict[str, Metric] = {}
        for checkpoint in at.newest.values():
            calls = timed_calls(self._calls_of(checkpoint))
            total.add_step(checkpoint.seconds, calls)
            if checkpoint.run_id == place.run.id:
                own.add_step(checkpoint.seconds, calls)
            metrics |= self._metrics_of(checkpoint.run_id).get(checkpoint.id, {})
        scores = figures_of(self._workspace, place.run) if place.named is None else {}
        return Figures(place, total, own, metrics, scores, damaged=at.damaged)

    def _metrics_of(self, run_id: str) -> dict[str, Mapping[str, Metric]]:
        """Checkpoint → what was logged."""
        if run_id not in self._metrics:
            events = self._workspace.store.journal.of_kinds(run_id, [EventKind.STEP_COMPLETED])
            self._metrics[run_id] = {
                str(event.data.get("checkpoint")): metrics_from_json(event.data[METRICS])
                for event in events
                if METRICS in event.data
            }
        return self._metrics[run_id]

    def _calls_of(self, checkpoint: Checkpoint) -> list[Call]:
        """The calls of the execution that made a checkpoint, and of the attempts that failed before it."""
        self._read(checkpoint.run_id)
        calls = self._calls[checkpoint.run_id].get(checkpoint.step, [])
        if not calls:
            return []
        attempts = self._attempts[checkpoint.run_id].get(checkpoint.step, [])
        number = next((n for n, a in enumerate(attempts) if a.id == checkpoint.attempt_id), None)
        if number is None:
            return []
        begin = number
        while begin and attempts[begin - 1].status is not AttemptStatus.COMPLETED:
            begin -= 1
        ends = [call.ended_at for call in calls]
        last = (
            bisect_left(ends, attempts[number + 1].started_at) if number + 1 < len(attempts) else len(calls)
        )
        first = 0 if not begin else bisect_left(ends, attempts[begin].started_at)
        return calls[first:last]

    def _read(self, run_id: str) -> None:
        if run_id in self._calls:
            return
        store = self._workspace.store
        self._calls[run_id], self._attempts[run_id] = {}, {}
        for call in store.calls.listed(run_id):
            self._calls[run_id].setdefault(call.step, []).append(call)
        for attempt in store.steps.attempts(run_id):
            self._attempts[run_id].setdefault(attempt.step, []).append(attempt)
