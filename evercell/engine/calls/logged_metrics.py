"""What was logged in an attempt at a step, and in each of its calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from evercell.core.metrics import Metric


@dataclass(slots=True)
class LoggedMetrics:
    """Metrics of a call or of a whole attempt. Those of a call are also those of what is around it: a replay of the
    outer one, in which nothing runs, has to say them, too.
    """

    outer: LoggedMetrics | None = None
    values: dict[str, Metric] = field(default_factory=dict)
    """Name → the last number."""

    def note(self, metrics: Mapping[str, Metric]) -> None:
        """These were logged here."""
        here: LoggedMetrics | None = self
        while here is not None:
            here.values |= metrics
            here = here.outer
