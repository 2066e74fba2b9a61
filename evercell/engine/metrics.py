"""Metrics: numbers that a step says of itself, committed with it."""

from __future__ import annotations

from typing import SupportsFloat

from evercell.core.errors import UsageError
from evercell.core.metrics import Metric
from evercell.engine.calls.ownership import current_owner, require_scope

_LONGEST_NAME = 200
_MOST = 1_000
"""Metrics of one step: its journal entry holds them all."""
_LARGEST = 2**63


def log_metric(name: str, value: SupportsFloat) -> None:
    """Say how well this step did: ``log_metric("accuracy", 0.93)``. `compare` shows it beside that of other runs.

    It is committed with the step, or not at all, and is there after a replay without being logged again. Of several
    values of one name the last one counts. Raises `UsageError` outside of a step, or for what is no number.
    """
    scope = require_scope("log_metric")
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise UsageError(
            f"{name!r:.80} is no name of a metric.",
            hint=f"A text of 1 to {_LONGEST_NAME} characters: evercell.log_metric('accuracy', 0.93)",
        )
    number = _number(name, value)
    if name not in scope.metrics.values and len(scope.metrics.values) >= _MOST:
        raise UsageError(
            f"Step {scope.step.name} has logged {_MOST:,} metrics already.",
            hint="Log what you will compare; keep a long series in a variable.",
        )
    owner = current_owner()
    (owner or scope).metrics.note({name: number})


def _number(name: str, value: SupportsFloat) -> Metric:
    """As a plain number: NumPy's, a tensor of one element, a fraction as well."""
    try:
        if isinstance(value, int):
            return int(value) if -_LARGEST < value < _LARGEST else float(value)
        if isinstance(value, str | bytes):
            raise TypeError  # float("1e3") is none that was measured
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise UsageError(
            f"Metric {name}: a {type(value).__name__} is no number.",
            hint=f"evercell.log_metric({name!r}, float(...))",
        ) from None
