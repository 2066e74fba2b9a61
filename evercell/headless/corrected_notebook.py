"""The notebook that a reset run goes on with: which it is, and whether the cell of a step is another one by now."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from pathlib import Path
from typing import Any

from evercell.core.errors import UsageError
from evercell.core.records import Checkpoint, Run
from evercell.core.text import as_word
from evercell.engine.notebook_cells import text_or_none
from evercell.engine.same_code import is_same_code
from evercell.engine.step_names import check_notebook
from evercell.headless.cell_steps import cell_mark, cell_requests
from evercell.headless.notebook_file import read_notebook


class CellState(StrEnum):
    """A step's cell beside what the run executed."""

    CHANGED = "changed"
    UNCHANGED = "unchanged"
    GONE = "not in the notebook"


@dataclass(frozen=True, slots=True)
class CorrectedNotebook:
    """A notebook file as it is now."""

    path: Path
    digest: str
    """Of its code: text and outputs are no correction."""
    id: str | None
    _cells: Sequence[tuple[str, str]]
    """Name and source of each cell that is a step."""

    @property
    def steps(self) -> list[str]:
        """Their names, in the order of the notebook."""
        return [name for name, _ in self._cells]

    def cell_state(self, step: str, version: Checkpoint | None) -> CellState:
        """Whether the cell of a step differs from what ran; of one that never completed nobody can tell."""
        if version is not None and version.slot != version.step:  # known by its code, not by its name
            same = any(is_same_code(s, version.source, version.source_hash) for _, s in self._cells)
            return CellState.UNCHANGED if same else CellState.CHANGED
        source = next((source for name, source in self._cells if name == step), None)
        if source is None:
            return CellState.GONE
        is_same = version is not None and is_same_code(source, version.source, version.source_hash)
        return CellState.UNCHANGED if is_same else CellState.CHANGED


def read_corrected(run: Run, path: Path | None) -> CorrectedNotebook:
    """The notebook at a path, or the run's own. Raises `UsageError`, `NotebookError`, `DuplicateStep`."""
    if path is None and run.notebook is None:
        raise UsageError(
            f"Run {run.name} has no notebook file: it was made in a kernel without one.",
            hint=f"evercell export {as_word(run.name)} corrected.ipynb; correct that, and add "
            "--notebook corrected.ipynb",
        )
    found = path or Path(str(run.notebook))
    notebook = read_notebook(found)
    check_notebook(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    named = [
        (str(cell_mark(cell, request).get("step") or ""), cell.source)
        for cell, request in zip(code, cell_requests(code), strict=True)
    ]
    own: Any = notebook.metadata.get("evercell")
    return CorrectedNotebook(
        found.absolute(),
        sha256(json.dumps([cell.source for cell in code]).encode()).hexdigest()[:16],
        text_or_none(own.get("id")) if isinstance(own, dict) else None,
        [(name, source) for name, source in named if name],
    )
