"""Which cells of a headless notebook are steps, and how they are called."""

from __future__ import annotations

from collections import Counter
from typing import Any

from evercell.engine.magic_lines import header_of
from evercell.engine.step_names import declared_name
from evercell.engine.unnamed_cells import INJECTED_TAG, CellKind, kind_of, name_in


def cell_requests(cells: list[Any]) -> list[dict[str, Any]]:
    """For each cell what its execute request says to the kernel about it (``{}``: treat it as written).

    A code cell is a step unless it is tagged otherwise, has a header (``%%step`` and its like), or holds commands of
    evercell. It is called what its first line or a tag says, otherwise ``cell-N`` (N counts the code cells of the
    notebook as it was written, from 1); the slot then tells cells of the same source apart, so that moving a cell
    does not make it another one.
    """
    seen: Counter[str] = Counter()
    number = 0
    requests = []
    for cell in cells:
        number += cell.cell_type == "code" and INJECTED_TAG not in _tags(cell)
        request = _request(cell, f"cell-{number}")
        if "slot" in request:
            seen[cell.source] += 1
            request["slot"] = f"#{seen[cell.source]}"
        requests.append(request)
    return requests


def cell_mark(cell: Any, request: dict[str, Any]) -> dict[str, Any]:
    """What a cell's metadata in the output notebook says that it is: ``step``, ``setup`` or ``plain``."""
    if "step" in request or "setup" in request:
        return {kind: request[kind] for kind in ("step", "setup") if kind in request}
    header = header_of(cell.source) if cell.cell_type == "code" else None
    name = declared_name(cell.source)
    if header is None or name is None:
        return {"plain": True}
    return {"setup" if header.magic.name == "setup" else "step": name}


def _request(cell: Any, name: str) -> dict[str, Any]:
    if cell.cell_type != "code" or header_of(cell.source):
        return {}
    tags = _tags(cell)
    match kind_of(cell.source, tags):
        case CellKind.PARAMETERS:
            return {"label": "the parameters"}
        case CellKind.SETUP:
            return {"setup": name}
        case CellKind.STEP:
            own = name_in(cell.source, tags)
            return {"step": name, "slot": ""} if own is None else {"step": own}
        case CellKind.PLAIN:
            return {}


def _tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))
