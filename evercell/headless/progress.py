"""How far a headless execution is, for whoever shows it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from evercell.engine.watching import Snapshot, snapshot_from_json

log = logging.getLogger("papermill")


@dataclass(frozen=True, slots=True)
class CellProgress:
    """One code cell on its way."""

    number: int
    """Among the code cells, from 1."""
    of: int
    name: str
    """Of the step; empty for a cell that is none."""


class RunDisplay(Protocol):
    """Shows an execution as it goes. Called in the thread that executes the notebook."""

    def cell_began(self, cell: CellProgress) -> None:
        """It is executed now."""

    def step_stands(self, cell: CellProgress, snapshot: Snapshot) -> None:
        """How far its step is."""

    def cell_ended(self, cell: CellProgress, fate: str, seconds: float | None) -> None:
        """``fate``: ``completed``, ``replayed``, ``failed``, ``interrupted``; empty for a cell that is no step.
        ``seconds``: what it took; None where it ended under another command, whose kernel this one took over.
        """

    def kernel_died(self, deaths: int, *, goes_on: bool, why: str = "") -> None:
        """``goes_on``: a new kernel begins with the first cell; ``why``: as far as it is known."""

    def told(self, text: str) -> None:
        """Something beside the cells: the store is away, the output cannot be written."""


class NoDisplay:
    """Nobody looks on; what is beside the cells goes to papermill's log."""

    def cell_began(self, cell: CellProgress) -> None: ...

    def step_stands(self, cell: CellProgress, snapshot: Snapshot) -> None: ...

    def cell_ended(self, cell: CellProgress, fate: str, seconds: float | None) -> None: ...

    def kernel_died(self, deaths: int, *, goes_on: bool, why: str = "") -> None: ...

    def told(self, text: str) -> None:
        log.warning("evercell: %s", text)


def snapshot_in(message: Mapping[str, Any]) -> Snapshot | None:
    """What a kernel's message says of how far a step is."""
    if message.get("msg_type") not in ("display_data", "update_display_data"):
        return None
    mark = (message["content"].get("metadata") or {}).get("evercell")
    progress = mark.get("progress") if isinstance(mark, Mapping) else None
    return snapshot_from_json(progress) if isinstance(progress, Mapping) else None
