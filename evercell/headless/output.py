"""The output notebook: written as the run goes, whole at every instant, true about what ran."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Any

from papermill.engines import NotebookExecutionManager

from evercell.core.errors import NotebookUnwritable
from evercell.headless.notebook_file import write_whole


class CellEnd(StrEnum):
    """What papermill's metadata say of a cell whose turn has come."""

    COMPLETED = "completed"
    FAILED = "failed"
    PENDING = "pending"
    """It came to no end, and its turn comes again."""


class OutputNotebook(NotebookExecutionManager):  # type: ignore[misc]
    """Papermill's execution manager with three faults mended.

    A local file is replaced atomically, so a kill while saving leaves the former one; cells that came to no end stay
    ``pending`` instead of being called completed; and a disk that is full for a while does not end the execution.
    """

    output_path: Any
    unwritten: NotebookUnwritable | None = None
    """Why the file is not what the notebook is by now."""
    say: Callable[[str], None] | None = None
    """Hears of it when the file cannot be written for the first time; before that is there, it is an error."""

    def save(self, **kwargs: Any) -> None:
        """Write the notebook where the user wants it."""
        path = self.output_path
        if not path or "://" in str(path):
            super().save(**kwargs)
            return
        try:
            write_whole(kwargs.get("nb") or self.nb, Path(path))
            self.unwritten = None
        except NotebookUnwritable as error:
            if self.say is None:
                raise
            if self.unwritten is None:
                self.say(f"{error.what} The run goes on, and it is tried again after each cell.")
            self.unwritten = error
        self.last_save_time = self.now()

    def cell_came_to(self, end: CellEnd, cell: Any, cell_index: int) -> None:
        """The cell's turn is over: as papermill notes it, but that one which came to no end is not called completed."""
        if end is CellEnd.FAILED:
            self.cell_exception(cell, cell_index=cell_index)
        if end is not CellEnd.PENDING:
            self.cell_complete(cell, cell_index=cell_index)
            return
        cell.metadata.papermill.update(exception=None, status=self.PENDING)
        self.save()

    def notebook_complete(self, **kwargs: Any) -> None:
        """Close the books: times, and the statuses as they are."""
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING]
        nowhere, self.output_path = self.output_path, None  # saved once, when the statuses are true
        try:
            super().notebook_complete(**kwargs)
        finally:
            self.output_path = nowhere
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING
        self.save()

    def start_again(self) -> None:
        """Begin anew in a new kernel: its replays bring the outputs back."""
        self.nb.metadata.papermill["exception"] = None
        for cell in self.nb.cells:
            cell.metadata.papermill.update(exception=None, start_time=None, end_time=None, duration=None)
            cell.metadata.papermill["status"] = self.PENDING
        if self.pbar:
            self.pbar.reset()
