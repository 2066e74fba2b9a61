"""Which checkpoints of a store are reached, by what is there and by what somebody wants to keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from evercell.store.collection import Survey, SurveyedCheckpoint


@dataclass(frozen=True, slots=True)
class KeepRules:
    """What stays of what a run sees, beside its head, tags, branch points and the newest version of each step."""

    last: int | None = None
    """So many newest versions of each step; None: all, unless they are too old."""
    younger_than: timedelta | None = None
    """What was made within this time; None: whatever its age, unless there are too many."""

    @property
    def keep_everything(self) -> bool:
        """Whether nothing goes that a run sees."""
        return self.last is None and self.younger_than is None


@dataclass(frozen=True, slots=True)
class Reached:
    """What stays."""

    content: frozenset[str]
    """Checkpoints of which everything stays."""
    rows: frozenset[str]
    """These, and those that they follow and build on."""


def reached_checkpoints(
    survey: Survey,
    rules: KeepRules,
    *,
    held: frozenset[str],
    arrivals: Mapping[str, str],
    now: datetime,
    base_of: Callable[[str], str | None],
) -> Reached:
    """What stays of a store. Of the runs ``held`` all that they see does, whatever the rules say.

    ``arrivals``: by run, what a kernel put back last. ``base_of`` tells what a checkpoint builds on.
    """
    graph = _Graph(survey)
    content = set(survey.tagged)
    followed: set[str] = set()
    for run in survey.runs:
        if run.is_deleted:
            continue
        visible, points = graph.visible(run.id)
        followed |= points
        content |= {end for end in (run.head, run.branch_point, arrivals.get(run.id)) if end is not None}
        keeps_all = run.id in held or rules.keep_everything
        content |= {made.id for made in (visible if keeps_all else _kept(visible, rules, now))}
    content = content & graph.by_id.keys() - survey.collected
    return Reached(frozenset(content), frozenset(_closed(content | followed, graph, base_of)))


def _kept(visible: list[SurveyedCheckpoint], rules: KeepRules, now: datetime) -> Iterable[SurveyedCheckpoint]:
    """By the rules; the newest checkpoint and the newest version of each step in any case."""
    by_step: dict[str, list[SurveyedCheckpoint]] = {}
    for made in visible:
        by_step.setdefault(made.step, []).append(made)
    for of_step in by_step.values():
        versions = [made for made in of_step if made.origin is None]
        newest = versions[-max(1, rules.last or 1) :]
        for made in of_step:
            is_among_last = made in newest or made is of_step[-1]
            is_young = rules.younger_than is not None and now - made.created_at < rules.younger_than
            if is_among_last or is_young:
                yield made


def _closed(content: set[str], graph: _Graph, base_of: Callable[[str], str | None]) -> set[str]:
    """With all that they follow and build on."""
    found: set[str] = set()
    waiting = list(content)
    while waiting:
        name = waiting.pop()
        if name in found or name not in graph.by_id:
            continue
        found.add(name)
        waiting += [other for other in (graph.by_id[name].parent, base_of(name)) if other is not None]
    return found


class _Graph:
    """Checkpoints by id and run, and which a run sees."""

    def __init__(self, survey: Survey) -> None:
        self.by_id = {made.id: made for made in survey.checkpoints}
        self._runs = {run.id: run for run in survey.runs}
        self._of_run: dict[str, list[SurveyedCheckpoint]] = {}
        for made in survey.checkpoints:
            self._of_run.setdefault(made.run_id, []).append(made)

    def visible(self, run_id: str) -> tuple[list[SurveyedCheckpoint], set[str]]:
        """What a run sees, the oldest first: its own, and its ancestors' up to where it branched off; and by which
        branch points it does.
        """
        parts: list[list[SurveyedCheckpoint]] = []
        points: set[str] = set()
        passed: set[str] = set()
        place, cut = run_id, None
        while place in self._runs and place not in passed:
            passed.add(place)
            own = self._of_run.get(place, [])
            parts.append([made for made in own if cut is None or made.seq <= cut])
            point = self.by_id.get(self._runs[place].branch_point or "")
            if point is None:
                break
            points.add(point.id)
            place, cut = point.run_id, point.seq
        return [made for part in reversed(parts) for made in part], points
