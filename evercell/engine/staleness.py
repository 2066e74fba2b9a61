"""Replay or execute? Decided by provenance before a cell runs, with the reason in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from evercell.core.records import Checkpoint

OWN_CODE = "its own code changed"


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
    step: str,
    source_hash: bytes,
    inputs: Mapping[str, str],
    made_by: Callable[[str], str | None],
    shown: Callable[[str], str] = str,
) -> str:
    """Why a step that completed as ``previous`` does not replay now. ``made_by``: the cell that made a variable;
    ``shown``: what a reader knows that cell by.
    """
    if previous.source_hash != source_hash:
        return OWN_CODE
    changed = sorted(name for name, origin in inputs.items() if previous.inputs.get(name, origin) != origin)
    if changed:
        return _changed_inputs(changed, step, made_by, shown)
    added, gone = sorted(inputs.keys() - previous.inputs), sorted(previous.inputs.keys() - inputs)
    if added:
        return f"it now also reads {_names(added)}"
    if gone:
        return f"{_names(gone)}, which it used to read, is not there"
    return "an earlier execution of it is not part of this run's history"


def _changed_inputs(
    names: list[str], step: str, made_by: Callable[[str], str | None], shown: Callable[[str], str]
) -> str:
    makers = {made_by(name) for name in names}
    maker = next(iter(makers)) if len(makers) == 1 else None
    inputs, were = ("its input", "was") if len(names) == 1 else ("its inputs", "were")
    if maker is None:
        how = "changed"
    elif maker == step:
        how = f"{were} changed by the step itself"
    else:  # by other code, from other inputs, or in an attempt that failed
        how = f"{were} made otherwise in {shown(maker)}"
    return f"{inputs} {_names(names)} {how}"


def _names(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"
