"""Which cells differ between two places, as unified diffs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from enum import StrEnum

from evercell.core.errors import Damaged
from evercell.core.records import Checkpoint
from evercell.engine.comparison.steps_behind import StepsAt
from evercell.engine.magic_lines import cell_as_written
from evercell.engine.workspace import Workspace

_LONGEST_SOURCE = 1_000_000
"""Characters of a cell that is compared line by line."""


class Side(StrEnum):
    """On which side of a comparison something is."""

    BOTH = "both"
    LEFT = "left"
    RIGHT = "right"


@dataclass(frozen=True, slots=True)
class CellDifference:
    """A step whose code differs, or that only one side has."""

    step: str
    side: Side
    left: str = ""
    """Its source as it is written there; empty where one side has none."""
    right: str = ""
    diff: str = ""
    """Unified; empty where one side has none."""
    error: str = ""
    """Why its code cannot be read."""

    def as_json(self) -> dict[str, object]:
        return {
            "step": self.step, "side": str(self.side), "left": self.left, "right": self.right, "diff": self.diff,
            "error": self.error,
        }  # fmt: skip


def compare_code(
    workspace: Workspace, left: StepsAt, right: StepsAt, names: tuple[str, str]
) -> list[CellDifference]:
    """The steps whose code differs, in the order of the left side, then those that only the right side has.

    Comments and layout do not count: they are no reason to execute a step again. ``names``: what the sides are called.
    """
    differences = list(_of_left(workspace, left, right, names))
    differences += [CellDifference(step, Side.RIGHT) for step in right.newest if step not in left.newest]
    return differences


def _of_left(
    workspace: Workspace, left: StepsAt, right: StepsAt, names: tuple[str, str]
) -> Iterator[CellDifference]:
    for step, checkpoint in left.newest.items():
        other = right.newest.get(step)
        if other is None:
            yield CellDifference(step, Side.LEFT)
        elif other.source_hash != checkpoint.source_hash:
            source, error = _source(workspace, checkpoint)
            source_there, error_there = _source(workspace, other)
            error = error or error_there
            diff = "" if error else diff_of(source, source_there, *(f"{name}@{step}" for name in names))
            yield CellDifference(step, Side.BOTH, source, source_there, diff, error)


def _source(workspace: Workspace, listed: Checkpoint) -> tuple[str, str]:
    """The source of a checkpoint as it is written, or why it cannot be read."""
    try:
        return source_of(workspace.store.checkpoints.get(listed.id)), ""
    except Damaged as error:
        return "", error.what


def source_of(checkpoint: Checkpoint) -> str:
    """What a cell's source is, as somebody would type it."""
    is_named = not checkpoint.slot.startswith("#")
    return cell_as_written(checkpoint.source, checkpoint.step if is_named else None)


def diff_of(left: str, right: str, left_name: str, right_name: str) -> str:
    """A unified diff; of very long texts only that they differ."""
    if len(left) + len(right) > _LONGEST_SOURCE:
        return f"--- {left_name}\n+++ {right_name}\n(too long to be compared line by line)"
    lines = unified_diff(left.splitlines(), right.splitlines(), left_name, right_name, lineterm="")
    return "\n".join(lines)
