"""Which cells of a headless notebook are steps, and how they are called."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from evercell.core.vocabulary import COMMANDS
from evercell.engine.magic_lines import header_of

PLAIN_TAGS = frozenset({"evercell-plain", "parameters", "injected-parameters"})
SETUP_TAG = "evercell-setup"

_OUR_COMMANDS = re.compile(
    rf"^\s*%(?:{'|'.join(['load_ext', 'reload_ext', 'unload_ext', *COMMANDS])})(?![\w-])", re.MULTILINE
)


def cell_requests(cells: list[Any]) -> list[dict[str, Any]]:
    """For each cell what its execute request says to the kernel about it (``{}``: treat it as written).

    A code cell is a step named ``cell-N`` (N counts all cells from 1) unless it is tagged otherwise,
    has a header (``%%step`` and its like), or holds commands of evercell. The slot tells cells
    of the same source apart, so that moving a cell does not make it another one.
    """
    seen: Counter[str] = Counter()
    requests = []
    for position, cell in enumerate(cells, start=1):
        request = _request(cell, position)
        if "step" in request:
            seen[cell.source] += 1
            request["slot"] = f"#{seen[cell.source]}"
        requests.append(request)
    return requests


def _request(cell: Any, position: int) -> dict[str, Any]:
    tags = set(cell.metadata.get("tags", ()))
    if cell.cell_type != "code" or tags & PLAIN_TAGS or header_of(cell.source):
        return {}
    if SETUP_TAG in tags:
        return {"setup": f"cell-{position}"}
    return {} if _OUR_COMMANDS.search(cell.source) else {"step": f"cell-{position}"}
