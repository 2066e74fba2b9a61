"""How a step's cell ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from evercell.core.records import Checkpoint
from evercell.state import Missing


class Ending(StrEnum):
    """How a step's cell ended."""

    COMPLETED = "completed"
    REPLAYED = "replayed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What became of a step's cell."""

    ending: Ending
    checkpoint: Checkpoint | None = None
    missing: Sequence[Missing] = ()
