"""Figures and how they are printed: each beside its baseline, its target and the noise of the machine."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ENOUGH = 5
"""Fewer runs than this are said beside a figure."""


@dataclass(frozen=True, slots=True)
class Spread:
    """What repeated runs of the same thing gave."""

    low: float
    median: float
    high: float
    runs: int

    @staticmethod
    def of(samples: Sequence[float]) -> Spread:
        return Spread(min(samples), statistics.median(samples), max(samples), len(samples))

    @staticmethod
    def exactly(value: float) -> Spread:
        """What was counted, not measured."""
        return Spread(value, value, value, ENOUGH)


Elsewhere = Mapping[str, "Spread | str"]
"""The same in other tools: figures, or why there is none."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of evercell's. ``unit`` is "s", "B" or "" for a bare number."""

    scenario: str
    unit: str
    evercell: float
    baseline_name: str
    baseline: Spread
    limit: float | None = None
    """What the figure itself may be at most."""
    ratio_limit: float | None = None
    """What it may be at most in baselines."""
    elsewhere: Elsewhere = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        return self.evercell / self.baseline.median if self.baseline.median else float("nan")

    @property
    def is_met(self) -> bool | None:
        """None where there is no target."""
        if self.limit is None and self.ratio_limit is None:
            return None
        within_limit = self.limit is None or self.evercell <= self.limit
        return within_limit and (self.ratio_limit is None or self.ratio <= self.ratio_limit)

    @property
    def target(self) -> str:
        parts = [] if self.limit is None else [f"<= {show(self.limit, self.unit)}"]
        parts += [] if self.ratio_limit is None else [f"<= {self.ratio_limit:g}x"]
        return " ".join(parts)

    @property
    def verdict(self) -> str:
        return {None: "", True: "ok", False: "MISSED"}[self.is_met]

    def as_json(self) -> dict[str, Any]:
        return {
            "scenario": self.scenario,
            "unit": self.unit,
            "evercell": self.evercell,
            "baseline": {"name": self.baseline_name, **_spread_json(self.baseline)},
            "ratio": self.ratio,
            "target": {"at_most": self.limit, "ratio_at_most": self.ratio_limit, "met": self.is_met},
            "elsewhere": {
                name: told if isinstance(told, str) else _spread_json(told)
                for name, told in self.elsewhere.items()
            },
        }


def _spread_json(spread: Spread) -> dict[str, float]:
    return {"min": spread.low, "median": spread.median, "max": spread.high, "runs": spread.runs}


def show(value: float, unit: str) -> str:
    """A figure with a unit that suits its size."""
    if unit == "s":
        return (
            f"{value:.2f} s" if abs(value) >= 1 else f"{1000 * value:.{1 if abs(value) >= 0.02 else 2}f} ms"
        )
    if unit == "B":
        if abs(value) >= 1e6:
            return f"{value / 1e6:.1f} MB"
        return f"{value / 1e3:.1f} kB" if abs(value) >= 1e3 else f"{value:.0f} B"
    return f"{value:.3g}"


def results_table(rows: Sequence[Row]) -> str:
    """Evercell against its baseline and target."""
    head = ("scenario", "evercell", "baseline", "median (min .. max)", "ratio", "target", "")
    lines = [
        (
            row.scenario,
            show(row.evercell, row.unit),
            row.baseline_name,
            _with_noise(row.baseline, row.unit),
            f"{row.ratio:.3g}x",
            row.target,
            row.verdict,
        )
        for row in rows
    ]
    return _table(head, lines, left={0, 2, 3, 5, 6})


def elsewhere_table(rows: Sequence[Row]) -> str:
    """The same scenarios in other tools: median, and its multiple of evercell's figure."""
    names = list(dict.fromkeys(name for row in rows for name in row.elsewhere))
    told = [row for row in rows if row.elsewhere]
    lines = [
        (row.scenario, show(row.evercell, row.unit), *(_elsewhere(row, name) for name in names))
        for row in told
    ]
    return _table(("scenario", "evercell", *names), lines, left={0})


def _elsewhere(row: Row, name: str) -> str:
    found = row.elsewhere.get(name, "-")
    if isinstance(found, str):
        return found
    times = f" {found.median / row.evercell:.3g}x" if row.evercell > 0 else ""
    few = f" (n={found.runs})" if found.runs < ENOUGH else ""
    return f"{show(found.median, row.unit)}{times}{few}"


def _with_noise(spread: Spread, unit: str) -> str:
    if spread.low == spread.high:
        return show(spread.median, unit)
    return f"{show(spread.median, unit)} ({show(spread.low, unit)} .. {show(spread.high, unit)})"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: set[int]) -> str:
    widths = [max(len(line[n]) for line in [head, *lines]) for n in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if n in left else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in [head, *lines]
    )
