"""What the steps of a run were when they executed, for cells of the notebook that say something else by now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from evercell.core.records import Checkpoint, Run, Step
from evercell.engine.comparison.code import source_of
from evercell.engine.comparison.steps_behind import steps_at
from evercell.engine.magic_lines import cell_as_written, header_of
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.page_cells import PageCell, steps_of_cells
from evercell.engine.places import Place
from evercell.engine.workspace import Workspace
from evercell.state import source_digest


@dataclass(frozen=True, slots=True)
class FormerSource:
    """The source that a step had, and the cell whose it was."""

    step: str
    cell: str
    """Its id."""
    source: str


def former_sources(
    workspace: Workspace, place: Place, cells: Sequence[PageCell], *, step: str | None = None
) -> list[FormerSource]:
    """The sources of cells whose code is another than on the way to a place, in the order of the notebook.

    ``step``: of this one only, be it that only its comments or its layout differ. Cells with magics are left out
    otherwise, as nobody can tell whether their code differs; and so are those that are no step, or not of this place.
    """
    newest = steps_at(workspace, place).newest
    found = []
    for cell, name in _steps_of_cells(workspace, place.run, cells):
        checkpoint = newest.get(name)
        if checkpoint is None or step not in (None, name):
            continue
        if step is None and not _is_of_other_code(cell, checkpoint):
            continue
        source = _source(workspace.store.checkpoints.get(checkpoint.id), cell)
        if source != cell.source.rstrip("\n"):
            found.append(FormerSource(name, cell.id, source))
    return found


def _steps_of_cells(
    workspace: Workspace, run: Run, cells: Sequence[PageCell]
) -> Iterator[tuple[PageCell, str]]:
    """The cells that are steps, as they are named, or as they were executed last in this run or before it."""
    steps: dict[str, Step] = {}
    for run_id, _ in reversed(workspace.store.runs.lineage(run.id).cuts):
        for one in workspace.store.steps.of_run(run_id):
            former = steps.get(one.name)
            cell_id = one.cell_id or (former.cell_id if former else None)
            steps[one.name] = replace(one, cell_id=cell_id)
    by_id = {cell.id: cell for cell in cells}
    taken: set[str] = set()
    for cell_id, name in steps_of_cells(cells, steps.values()).items():
        if name not in taken:  # of two cells with one name the first: the other is refused when it is run
            taken.add(name)
            yield by_id[cell_id], name


def _is_of_other_code(cell: PageCell, checkpoint: Checkpoint) -> bool:
    digest = source_digest(NotebookCell(cell.source).executed)
    return digest is not None and digest != checkpoint.source_hash


def _source(checkpoint: Checkpoint, cell: PageCell) -> str:
    """As it was typed; a cell that is a step without a header is given none."""
    if header_of(cell.source) is None:
        return cell_as_written(checkpoint.source)
    return source_of(checkpoint)
