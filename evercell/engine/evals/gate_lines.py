"""What a gate is: a metric, what it has to come up to, how often that is looked at, and what follows otherwise."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from evercell.core.errors import UsageError
from evercell.engine.evals.metrics import NAMED
from evercell.engine.evals.scoring import name_of
from evercell.engine.evals.trajectory import Score, Trajectory

Metric = Callable[[Trajectory], Any]
"""Returns a `Score`, a number, True or False, or one of these with a reason."""

Then = Literal["ask", "stop", "branch", "feedback"]

EVERY = 5
"""Calls between two looks where nobody says."""

_LINE = re.compile(
    r"\s*(?P<metric>[a-z_]+)\s*(?P<sign>>=|<=|>|<)\s*(?P<number>\S+?)"
    r"(?:\s+every\s+(?P<every>\d+))?(?:\s+else\s+(?P<then>\w+))?\s*"
)

_WORDS = {">=": "at least", ">": "more than", "<=": "at most", "<": "less than"}


@dataclass(frozen=True, slots=True)
class Bound:
    """What a metric has to come up to."""

    sign: str
    number: float

    def holds(self, value: float) -> bool:
        """Whether the metric does; not a number never does."""
        match self.sign:
            case ">=":
                return value >= self.number
            case ">":
                return value > self.number
            case "<=":
                return value <= self.number
        return value < self.number

    def __str__(self) -> str:
        return f"{_WORDS[self.sign]} {self.number:g}"


@dataclass(frozen=True, slots=True)
class GateSpec:
    """A gate as it is written; raises `UsageError` where it makes no sense."""

    label: str
    metric: Metric
    bounds: tuple[Bound, ...]
    every: int = EVERY
    then: Then = "ask"

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or isinstance(self.every, bool) or self.every < 1:
            raise UsageError(f"every={self.every!r} is no number of calls.", hint=_EXAMPLE)
        if self.then not in get_args(Then):
            raise UsageError(
                f"then={self.then!r} is not known.", hint=f"Use one of {', '.join(get_args(Then))}."
            )
        if not self.bounds:
            raise UsageError(f"The gate {self.label} has nothing to come up to.", hint=_EXAMPLE)
        if any(math.isnan(bound.number) for bound in self.bounds):
            raise UsageError(f"The gate {self.label} compares with no number.", hint=_EXAMPLE)
        if not re.fullmatch(r"[^\[\]/#\x00-\x1f]{1,80}", self.label):
            raise UsageError(f"{self.label!r:.100} is no name of a gate.", hint=_EXAMPLE)

    @property
    def condition(self) -> str:
        """In words: ``advancement at least 0.4``."""
        return f"{self.label} {' and '.join(map(str, self.bounds))}"

    def holds(self, score: Score) -> bool:
        """Whether the step may go on."""
        return all(bound.holds(score.value) for bound in self.bounds)

    def is_same(self, other: GateSpec) -> bool:
        """Whether both are written alike; what their metrics compute is not looked at."""
        return (self.label, self.bounds, self.every, self.then) == (
            other.label,
            other.bounds,
            other.every,
            other.then,
        )


_EXAMPLE = (
    "evercell.gate('advancement', every=5, below=0.4, then='ask'), --gate \"advancement>=0.4 else ask\""
)


def gate_spec(
    metric: str | Metric, every: int, below: float | None, above: float | None, then: str, name: str | None
) -> GateSpec:
    """What `evercell.gate` was given."""
    found = _metric(metric) if isinstance(metric, str) else metric
    if inspect.iscoroutinefunction(found):
        raise UsageError(
            f"The metric {name_of(found)} is a coroutine function.", hint="Give the gate a plain one."
        )
    if not callable(found):
        raise UsageError(
            f"A metric is a function of a trajectory, not {type(metric).__name__}.", hint=_EXAMPLE
        )
    bounds = [("below", ">=", below), ("above", "<=", above)]
    for word, _, number in bounds:
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise UsageError(f"{word}={number!r} is no number.", hint=_EXAMPLE)
    made = tuple(Bound(sign, float(number)) for _, sign, number in bounds if number is not None)
    return GateSpec(name or name_of(found), found, made, every, then)  # type: ignore[arg-type]


def read_gates(line: str) -> tuple[GateSpec, ...]:
    """The gates of ``--gate "advancement>=0.4 every 3 else ask; calls<=50 else stop"``; raises `UsageError`."""
    specs = tuple(_read(part) for part in line.split(";") if part.strip())
    if not specs:
        raise UsageError("--gate has no gate.", hint=_EXAMPLE)
    labels = [spec.label for spec in specs]
    if len(set(labels)) < len(labels):
        raise UsageError(
            f"--gate {line!r:.200} names a metric twice.", hint="In code gates have names: name=..."
        )
    return specs


def _read(text: str) -> GateSpec:
    found = _LINE.fullmatch(text)
    if found is None:
        raise UsageError(f"--gate {text.strip()!r:.200} cannot be read.", hint=f"Write: {_EXAMPLE}")
    try:
        number = float(found["number"])
    except ValueError:
        raise UsageError(
            f"--gate {text.strip()!r:.200}: {found['number']} is no number.", hint=_EXAMPLE
        ) from None
    name = found["metric"]
    bound = Bound(found["sign"], number)
    return GateSpec(name, _metric(name), (bound,), int(found["every"] or EVERY), found["then"] or "ask")  # type: ignore[arg-type]


def _metric(name: str) -> Metric:
    found = NAMED.get(name)
    if found is None:
        raise UsageError(f"No metric is called {name!r:.80}.", hint=f"By name there are {_list(NAMED)}.")
    return found


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
