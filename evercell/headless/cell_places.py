"""Which cell of a notebook is which step of a history, whatever became of either since."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from evercell.engine.executed_steps import ExecutedStep
from evercell.engine.same_code import code_marks, executed_marks
from evercell.headless.cell_steps import cell_mark, cell_requests

Marks = Collection[object]


def cell_places(cells: Sequence[Any], steps: Sequence[ExecutedStep]) -> dict[int, str]:
    """Index of a cell → the step that it is: by its name, its id, its code, or (as it was called) its place."""
    names = {
        index: _step_named(cell, request)
        for index, (cell, request) in enumerate(zip(cells, cell_requests(list(cells)), strict=True))
        if cell.cell_type == "code"
    }
    places: dict[int, str] = {}
    placed: set[str] = set()
    for marks_of_cell, marks_of_step in _WAYS:
        free: dict[object, list[int]] = {}
        for index, (name, is_own) in names.items():
            if index not in places:
                for mark in marks_of_cell(cells[index], name, is_own):
                    free.setdefault(mark, []).append(index)
        for step in steps:
            if step.name in placed:
                continue
            found = (i for mark in marks_of_step(step) for i in free.get(mark, ()) if i not in places)
            index = next(found, -1)
            if index >= 0:
                places[index] = step.name
                placed.add(step.name)
    return places


def _step_named(cell: Any, request: dict[str, Any]) -> tuple[str, bool]:
    """What a cell is called as a step, and whether it says so itself."""
    name = cell_mark(cell, request).get("step")
    return str(name or ""), bool(name) and "slot" not in request


_WAYS: Sequence[tuple[Callable[[Any, str, bool], Marks], Callable[[ExecutedStep], Marks]]] = (
    (lambda _, name, is_own: (name,) if is_own else (), lambda step: (step.name,)),
    (
        lambda cell, name, _: (cell.get("id"),) if name and cell.get("id") else (),
        lambda step: (step.cell_id,) if step.cell_id else (),
    ),
    (
        lambda cell, name, is_own: code_marks(cell.source) if name and not is_own else (),
        lambda step: _code_of(step),
    ),
    (lambda _, name, is_own: (name,) if name and not is_own else (), lambda step: (step.name,)),
)
"""By what cell and step know each other: the name that a cell gives itself; its id, where it was renamed or has none;
of those without one the code, and (as it was called) the place.
"""


def _code_of(step: ExecutedStep) -> Marks:
    found = step.checkpoint
    return executed_marks(found.source, found.source_hash) if found is not None else ()
