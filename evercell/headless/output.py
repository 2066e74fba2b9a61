"""The output notebook: written as the run goes, whole at every instant, true about what ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from papermill.engines import NotebookExecutionManager

from evercell.headless.notebook_file import write_whole


class OutputNotebook(NotebookExecutionManager):  # type: ignore[misc]
    """Papermill's execution manager with two faults mended.

    A local file is replaced atomically, so a kill while saving leaves the former one; and cells that
    never ran stay ``pending`` instead of being called completed at the end.
    """

    def save(self, **kwargs: Any) -> None:
        """Write the notebook where the user wants it."""
        path = self.output_path
        if path and "://" not in str(path):
            write_whole(kwargs.get("nb") or self.nb, Path(path))
            self.last_save_time = self.now()
        else:
            super().save(**kwargs)

    def notebook_complete(self, **kwargs: Any) -> None:
        """Close the books: times, and the statuses as they are."""
        pending = [cell for cell in self.nb.cells if cell.metadata.papermill["status"] == self.PENDING]
        super().notebook_complete(**kwargs)
        for cell in pending:
            if cell.cell_type == "code":
                cell.metadata.papermill["status"] = self.PENDING
        self.save()

    def start_again(self) -> None:
        """Begin anew in a new kernel: its replays bring the outputs back."""
        for cell in self.nb.cells:
            cell.metadata.papermill.update(exception=None, start_time=None, end_time=None, duration=None)
            cell.metadata.papermill["status"] = self.PENDING
        if self.pbar:
            self.pbar.reset()
