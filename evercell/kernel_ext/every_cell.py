"""A kernel in which every cell is a step: what a cell without a header is there, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from evercell.engine.session import Session
from evercell.engine.spec import StepSpec
from evercell.engine.unnamed_cells import CellKind, kind_of, name_in

_SHOWN = 8
"""Characters of a cell's id in its step's name."""


class EveryCell:
    """Makes steps of the cells of one session that no header makes one.

    They replay as they do headless: cells of the same source are told apart by their order in the notebook.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._alike: dict[str, list[str]] = {}
        """Source → ids of the cells that were executed with it, in order of their first execution."""

    def declared(
        self, source: str, metadata: Mapping[str, Any], cell_id: str | None
    ) -> tuple[StepSpec | None, str | None]:
        """The step that the cell is, or the name of the setup cell; neither where it is plain."""
        found = metadata.get("tags")
        tags = [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []
        unnamed = f"cell-{cell_id[:_SHOWN] if cell_id else sha256(source.encode()).hexdigest()[:_SHOWN]}"
        match kind_of(source, tags):
            case CellKind.STEP:
                name = name_in(source, tags)
                if name is not None:
                    return StepSpec(name), None
                return StepSpec(unnamed, slot=f"#{self._ordinal(source, cell_id)}"), None
            case CellKind.SETUP:
                return None, unnamed
            case _:
                return None, None

    def _ordinal(self, source: str, cell_id: str | None) -> int:
        """Which of the cells with this source it is, from 1. Without ids each execution is another cell's."""
        alike = self._alike.setdefault(source, [])
        if cell_id is None:
            alike.append("")
            return len(alike)
        in_notebook = [c.id for c in self._session.notebook.identity.cells or () if c.source == source]
        if cell_id in in_notebook:
            return in_notebook.index(cell_id) + 1
        if cell_id not in alike:
            alike.append(cell_id)
        return len(in_notebook) + alike.index(cell_id) + 1
