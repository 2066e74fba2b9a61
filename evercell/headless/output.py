"""The output notebook: written as the run goes, whole at every instant, true about what ran."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    """Papermill's execution manager with four faults mended.

    A local file is replaced atomically, so a kill while saving leaves the former one; cells that came to no end stay
    ``pending`` instead of being called completed; a disk that is full for a while does not end the execution; and the
    whole file is written once for each cell that executes, before it, instead of twice for each cell that is there.
    """

    output_path: Any
    unwritten: NotebookUnwritable | None = None
    """Why the file is not what the notebook is by now."""
    say: Callable[[str], None] | None = None
    """Hears of it when the file cannot be written for the first time; before that is there, it is an error."""

    def save(self, **kwargs: Any) -> None:
        """Write the notebook where the user wants it."""
        self._save(synchronous=False, **kwargs)

    def save_at_once(self) -> None:
        """The same, and on disk when this returns."""
        self._save(synchronous=True)

    def _save(self, *, synchronous: bool, **kwargs: Any) -> None:
        path = self.output_path
        if not path or "://" in str(path):
            super().save(**kwargs)
            return
        try:
            write_whole(kwargs.get("nb") or self.nb, Path(path), synchronous=synchronous)
            self.unwritten = None
        except NotebookUnwritable as error:
            if self.say is None:
                raise
            if self.unwritten is None:
                self.say(f"{error.what} The run goes on, and it is tried again after each cell.")
            self.unwritten = error
        self.last_save_time = self.now()

    @contextmanager
    def _unsaved(self) -> Iterator[None]:
        """What papermill would save here is saved at once with something else."""
        path, self.output_path = self.output_path, None
        try:
            yield
        finally:
            self.output_path = path

    def cell_start(self, cell: Any, cell_index: int | None = None, **kwargs: Any) -> None:
        """The cell's turn has come. Saved where it executes, together with all that came before it."""
        if cell.cell_type == "code":
            super().cell_start(cell, cell_index=cell_index, **kwargs)
            return
        with self._unsaved():
            super().cell_start(cell, cell_index=cell_index, **kwargs)

    def cell_came_to(self, end: CellEnd, cell: Any, cell_index: int) -> None:
        """The cell's turn is over: as papermill notes it, but that one which came to no end is not called completed.

        One that completed is saved as the next one begins, or with the end.
        """
        if end is CellEnd.COMPLETED:
            with self._unsaved():
                self.cell_complete(cell, cell_index=cell_index)
            return
        if end is CellEnd.FAILED:
            self.cell_exception(cell, cell_index=cell_index)
            self.cell_complete(cell, cell_index=cell_index)
            return
        cell.metadata.papermill.update(exception=None, status=self.PENDING)
        self.save()

    def cell_replayed(self, cell: Any, cell_index: int) -> None:
        """The cell's turn came and is over: it was replayed together with others, and is saved with the next one that
        is not.
        """
        with self._unsaved():
            super().cell_start(cell, cell_index=cell_index)
            self.cell_complete(cell, cell_index=cell_index)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Close the books: times, and the statuses as they are."""
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING]
        with self._unsaved():  # until the statuses are true
            super().notebook_complete(**kwargs)
        for cell in pending:
            cell.metadata.papermill["status"] = self.PENDING
        self.save_at_once()

    def start_again(self) -> None:
        """Begin anew in a new kernel: its replays bring the outputs back."""
        self.nb.metadata.papermill["exception"] = None
        for cell in self.nb.cells:
            cell.metadata.papermill.update(exception=None, start_time=None, end_time=None, duration=None)
            cell.metadata.papermill["status"] = self.PENDING
        if self.pbar:
            self.pbar.reset()
