"""Replay or execute? Decided by provenance before a cell runs, with the reason in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evercell.core.records import Checkpoint


@dataclass(frozen=True, slots=True)
class Replay:
    """The step completed with this very key: its checkpoint is shown and put back."""

    checkpoint_id: str


@dataclass(frozen=True, slots=True)
class Execute:
    """The step executes. ``reason`` is None at its first execution in this history."""

    reason: str | None = None


def why_stale(
    previous: Checkpoint,
    *,
    source_hash: bytes,
    inputs: Mapping[str, str],
    made_by: Callable[[str], str | None],
) -> str:
    """Why a step that completed as ``previous`` does not replay now."""
    if previous.source_hash != source_hash:
        return "its own code changed"
    changed = sorted(name for name, origin in inputs.items() if previous.inputs.get(name, origin) != origin)
    if changed:
        return _changed_inputs(changed, made_by)
    added, gone = sorted(inputs.keys() - previous.inputs), sorted(previous.inputs.keys() - inputs)
    if added:
        return f"it now also reads {_names(added)}"
    if gone:
        return f"{_names(gone)}, which it used to read, is not there"
    return "an earlier execution of it is not part of this run's history"


def _changed_inputs(names: list[str], made_by: Callable[[str], str | None]) -> str:
    makers = {made_by(name) for name in names}
    maker = next(iter(makers)) if len(makers) == 1 else None
    verb = "was" if len(names) == 1 else "were"
    made = f" {verb} made by changed code in {maker}" if maker else " changed"
    return f"its input {_names(names)}{made}" if len(names) == 1 else f"its inputs {_names(names)}{made}"


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
