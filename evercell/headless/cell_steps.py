"""Which cells of a headless notebook are steps, and how they are called."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from evercell.core.vocabulary import COMMANDS
from evercell.engine.magic_lines import header_of
from evercell.engine.step_names import declared_name

INJECTED_TAG = "injected-parameters"
"""Papermill puts such a cell into the notebook: it is none of the notebook's own."""

PARAMETER_TAGS = frozenset({"parameters", INJECTED_TAG})
PLAIN_TAG = "evercell-plain"
SETUP_TAG = "evercell-setup"

_OUR_COMMANDS = re.compile(
    rf"^\s*%(?:{'|'.join(['load_ext', 'reload_ext', 'unload_ext', *COMMANDS])})(?![\w-])", re.MULTILINE
)


def cell_requests(cells: list[Any]) -> list[dict[str, Any]]:
    """For each cell what its execute request says to the kernel about it (``{}``: treat it as written).

    A code cell is a step named ``cell-N`` (N counts the code cells of the notebook as it was written, from 1) unless
    it is tagged otherwise, has a header (``%%step`` and its like), or holds commands of evercell. The slot tells cells
    of the same source apart, so that moving a cell does not make it another one.
    """
    seen: Counter[str] = Counter()
    number = 0
    requests = []
    for cell in cells:
        number += cell.cell_type == "code" and INJECTED_TAG not in _tags(cell)
        request = _request(cell, f"cell-{number}")
        if "step" in request:
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
    tags = _tags(cell)
    if cell.cell_type != "code" or PLAIN_TAG in tags or header_of(cell.source):
        return {}
    if tags & PARAMETER_TAGS:
        return {"label": "the parameters"}
    if SETUP_TAG in tags:
        return {"setup": name}
    return {} if _OUR_COMMANDS.search(cell.source) else {"step": name}


def _tags(cell: Any) -> set[str]:
    return set(cell.metadata.get("tags", ()))
