"""The notebook's cells as they are now, and which step each of them is."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass

from evercell.core.errors import StepNotFound
from evercell.engine.magic_lines import cell_as_written, header_of
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.other_code import cells_now
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.step_names import declared_name
from evercell.engine.unnamed_cells import name_in


@dataclass(frozen=True, slots=True)
class ForeseenCell:
    """What a cell would be if it were run now."""

    spec: StepSpec
    place: CellPlace
    source: str
    """As Python."""


Foresee = Callable[[NotebookCell], ForeseenCell | None]
"""What a cell would be; None for one that is no step, or no Python."""


def as_plain_step(cell: NotebookCell) -> ForeseenCell | None:
    """The same without a shell that knows magics."""
    name = declared_name(cell.source)
    try:
        compile(cell.body, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return ForeseenCell(StepSpec(name), CellPlace("the cell", cell.id), cell.body) if name else None


def present_cells(session: Session) -> dict[str, NotebookCell]:
    """Step → its cell, of the steps that have one in the notebook: by its name, or since it was executed from there."""
    executed: dict[str, str] = {}
    if session.run is not None:
        for run_id, _ in reversed(session.store.runs.lineage(session.run.id).cuts):
            executed |= {s.cell_id: s.name for s in session.store.steps.of_run(run_id) if s.cell_id}
    found: dict[str, NotebookCell] = {}
    for cell in cells_now(session):
        name = declared_name(cell.source)
        if name is None and header_of(cell.source) is None:
            name = name_in(cell.source, ()) or executed.get(cell.id or "")
        if name is not None:
            found.setdefault(name, cell)
    return found


def present_source(session: Session, step: str, foresee: Foresee) -> str:
    """The source of a step's cell as it is now. Raises `StepNotFound` where the notebook has none, or nobody tells."""
    cells = present_cells(session)
    if step in cells:
        cell = cells[step]
        foreseen = foresee(cell) if header_of(cell.source) is not None else None
        return cell_as_written(foreseen.source, step) if foreseen is not None else cell.source.strip("\n")
    if not cells_now(session):
        raise StepNotFound(
            "What the notebook's cells say now is not known here: it was not saved yet.",
            hint=f"Save it. To compare two versions: %diff {step}@1 {step}@2",
        )
    raise StepNotFound(
        f"The notebook has no cell of step {step}.",
        hint=f"%source {step} --put puts its code into a new cell. To compare two versions: %diff {step}@1 {step}@2",
    )
