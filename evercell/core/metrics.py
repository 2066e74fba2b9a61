"""Numbers that a step says of itself, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Metric = int | float

METRICS = "metrics"
"""Under this the journal's entry of a completed step, and the record of a call, have what was logged in them."""


def metrics_to_json(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    """As they are stored, floats as text: JSON has no NaN, and a database that keeps its numbers as decimals gives
    another ``1e22`` or ``-0.0`` back than the one that was hashed.
    """
    return {name: value if isinstance(value, int) else repr(value) for name, value in metrics.items()}


def metrics_from_json(stored: object) -> dict[str, Metric]:
    """What a row says of metrics, whoever wrote it: what is none is left out."""
    items = stored.items() if isinstance(stored, Mapping) else ()
    numbers = {name: _number(value) for name, value in items if isinstance(name, str)}
    return {name: number for name, number in numbers.items() if number is not None}


def _number(value: object) -> Metric | None:
    if not isinstance(value, str):
        return value if isinstance(value, int | float) else None
    try:
        return float(value)
    except ValueError:
        return None
