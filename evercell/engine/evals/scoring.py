"""What a metric is, what it is called, and what it says."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ParamSpec

from evercell.core.errors import UsageError
from evercell.engine.evals.trajectory import Score, Trajectory

Metric = Callable[[Trajectory], Score]
P = ParamSpec("P")


def name_of(metric: Callable[..., Any]) -> str:
    """What a metric is called."""
    return str(getattr(metric, "__name__", type(metric).__name__)).replace("<lambda>", "metric")


def named(name: str, metric: Metric) -> Metric:
    """A metric that is called so."""
    metric.__name__ = name
    return metric


class MadeMetric:
    """A metric that was told something: saved with a notebook's variables as what it was told."""

    def __init__(self, metric: Metric, made_by: partial[Any]) -> None:
        self.__name__ = name_of(metric)
        self.waits: bool = getattr(metric, "waits", False)
        self._metric = metric
        self._made_by = made_by

    def __call__(self, trajectory: Trajectory) -> Score:
        return self._metric(trajectory)

    def __reduce__(self) -> tuple[partial[Any], tuple[()]]:
        return self._made_by, ()


def makes_metric(factory: Callable[P, Metric]) -> Callable[P, Metric]:
    """Decorates a function that returns a metric."""

    @wraps(factory)
    def make(*told: P.args, **options: P.kwargs) -> Metric:
        return MadeMetric(factory(*told, **options), partial(make, *told, **options))

    return make


def judged_by(
    name: str, judge: Any, model: str | None, votes: int, goal: str | None, expected: tuple[str, ...] = ()
) -> Metric:
    """A metric that a model judges."""
    from evercell.engine.evals.judges import judged

    return judged(name, judge, model=model, votes=votes, goal=goal, expected=expected)


def as_score(name: str, said: object) -> Score:
    """What a metric returned, as a score; raises `UsageError` for what is none."""
    reason = ""
    if isinstance(said, Score):
        return said
    if isinstance(said, tuple) and len(said) == 2 and isinstance(said[1], str):
        said, reason = said
    if isinstance(said, bool) or type(said).__name__ == "bool_":
        return Score(name, float(bool(said)), reason, "yes" if said else "no")
    try:
        return Score(name, float(said), reason)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UsageError(
            f"The metric {name} returned a {type(said).__name__}.",
            hint="It returns a Score, a number, True or False, or (one of these, the reason as text).",
        ) from None
