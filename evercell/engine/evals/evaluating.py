"""Judging a run by what it recorded: with plain functions, evercell's metrics, and evaluators of pydantic-evals."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from evercell.core.records import Run
from evercell.engine.evals.advancement import advancement
from evercell.engine.evals.metrics import calls, cost, flow, tool_errors
from evercell.engine.evals.trajectory import Score, Trajectory, read_trajectory
from evercell.engine.scores import FAIL, PASS, Judgement
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Judged:
    """A run as evaluators see it."""

    workspace: Workspace
    run: Run
    trajectory: Trajectory
    against: Trajectory | None = None
    """The run that did well."""
    run_against: Run | None = None


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Something that judges."""

    name: str
    judge: Callable[[Judged], Any]
    """A `Score`, a value, ``(value, reason)``, or several by name."""
    version: str | None = None


def judged(workspace: Workspace, run: Run, against: Run | None = None) -> Judged:
    """A run, ready to be judged; ``against``: one that did well."""
    golden = read_trajectory(workspace, against) if against is not None else None
    return Judged(workspace, run, read_trajectory(workspace, run), golden, against)


def offline_metrics(against: Trajectory | None = None) -> list[Evaluator]:
    """What is judged where nobody says otherwise."""
    found = [of_function(metric) for metric in (advancement, tool_errors, calls, cost)]
    if against is not None:
        found.append(of_function(flow([call.name for call in against.tools])))
    return found


def of_function(function: Callable[..., Any]) -> Evaluator:
    """A function of a trajectory, or of a trajectory and the one of the run that did well."""
    name = str(getattr(function, "__name__", type(function).__name__))
    version = getattr(function, "version", None)

    def judge(of: Judged) -> Any:
        return function(of.trajectory, of.against) if takes_two(function) else function(of.trajectory)

    return Evaluator(name, judge, None if version is None else str(version))


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether it wants the trajectory of the run that did well, too."""
    return len(_positional(function)) == 2


def is_of_trajectory(function: Callable[..., Any]) -> bool:
    """Whether it can be called with a trajectory alone, or with that of the run that did well."""
    if _begins_with_trajectory(function):
        return len(needed := _positional(function)) <= 1 or [one.name for one in needed[1:]] == ["against"]
    return len(_positional(function)) == 1


def is_metric(function: Callable[..., Any]) -> bool:
    """Whether it is one of evercell's own metrics, and not what makes one."""
    home = str(getattr(function, "__module__", ""))
    return home.startswith("evercell.engine.evals.") and _begins_with_trajectory(function)


def _begins_with_trajectory(function: Callable[..., Any]) -> bool:
    try:
        parameters = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        return False
    needed = [one for one in parameters[1:] if one.kind is one.KEYWORD_ONLY and one.default is one.empty]
    return bool(parameters) and parameters[0].name == "trajectory" and not needed


def _positional(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Its parameters that have to be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = [one for one in parameters if one.kind in kinds and one.default is inspect.Parameter.empty]
    needed = [
        one for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY and one.default is one.empty
    ]
    return [] if needed else found


def evaluate(of: Judged, evaluators: Iterable[Evaluator]) -> list[Judgement]:
    """What each says of a run. One that raises says that; the others are asked all the same."""
    found = []
    for evaluator in evaluators:
        try:
            judgement = evaluator.judge(of)
            if inspect.iscoroutine(judgement):
                judgement = asyncio.run(judgement)
            said = list(_judgements(evaluator, judgement))
        except Exception as error:  # noqa: BLE001  whatever an evaluator raises is what came of it
            said = [Judgement(evaluator.name, None, error=f"{type(error).__name__}: {error}")]
        found += [replace(one, evaluator=evaluator.name, version=evaluator.version) for one in said]
    return found


def _judgements(evaluator: Evaluator, said: Any) -> Iterator[Judgement]:
    if said is None:
        return
    if isinstance(said, Mapping):
        for name, one in said.items():
            yield _judgement(str(name), one)
    elif isinstance(said, Sequence) and said and all(isinstance(one, Score) for one in said):
        yield from map(partial(_judgement, evaluator.name), said)
    else:
        yield _judgement(evaluator.name, said)


def _judgement(name: str, said: Any) -> Judgement:
    """One value, with a reason where it has one."""
    if isinstance(said, Score):
        return Judgement(said.name, said.value, said.reason, said.label)
    reason = ""
    if isinstance(said, tuple) and len(said) == 2:
        said, reason = said[0], str(said[1] or "")
    elif hasattr(said, "value") and hasattr(said, "reason"):  # as pydantic-evals gives it
        said, reason = said.value, str(said.reason or "")
    if isinstance(said, bool):
        return Judgement(name, float(said), reason, PASS if said else FAIL, said)
    if isinstance(said, str):
        return Judgement(name, None, reason, said)
    try:
        value = float(said)
    except (TypeError, ValueError, OverflowError):
        hint = "return a bool, a number, a text or (value, reason)"
        raise TypeError(f"{type(said).__name__} is no score: {hint}") from None
    if not math.isfinite(value):
        raise ValueError(f"{value} is no score")
    return Judgement(name, value, reason)
