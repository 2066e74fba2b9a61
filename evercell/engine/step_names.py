"""One step name, one cell: finding the second cell of a name before it does harm."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evercell.core.errors import DuplicateStep, UsageError
from evercell.engine.magic_lines import HelpRequested, header_of, parse_line
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.spec import CellPlace
from evercell.engine.unnamed_cells import name_in


@dataclass(frozen=True, slots=True)
class DeclaredStep:
    """A step as the notebook file declares it; ``position`` counts all cells from 1."""

    name: str
    position: int
    cell_id: str | None
    kind: str = "cell"
    """What ``position`` counts."""

    @property
    def label(self) -> str:
        return f"{self.kind} {self.position}"


class StepPlaces:
    """Which cell each step name was seen in, this session, checked against the notebook: as a page has it, where one
    tells, or else its file.
    """

    def __init__(
        self,
        notebook: str | None,
        *,
        every_cell: bool = False,
        told: Callable[[], Sequence[NotebookCell] | None] = lambda: None,
    ) -> None:
        """``every_cell``: a cell without a header is a step, too, and may name itself. ``told``: what a page says."""
        self._notebook = Path(notebook) if notebook else None
        self._told = told
        self._every_cell = every_cell
        self._seen: dict[str, CellPlace] = {}
        self._read: tuple[int, int] | None = None
        self._cells: list[DeclaredStep] = []

    def claim(self, name: str, place: CellPlace) -> None:
        """Note that the cell at ``place`` is the step ``name``; raises `DuplicateStep`.

        A cell that was removed, renamed or pasted elsewhere frees its name once the notebook is saved.
        """
        seen = self._seen.get(name)
        if seen is None or seen.cell_id is None or seen.cell_id == place.cell_id:
            self._check_file(name, place)
        else:
            self._check_other(name, place, seen)
        self._seen[name] = place

    def _check_file(self, name: str, place: CellPlace) -> None:
        declared = [d for d in self._declared() if d.name == name]
        if len(declared) > 1 and place.cell_id in (None, *(d.cell_id for d in declared)):
            raise duplicate(name, declared[0].label, declared[1].label)

    def _check_other(self, name: str, place: CellPlace, seen: CellPlace) -> None:
        cells = self._declared()
        former = next((d for d in cells if d.cell_id == seen.cell_id), None)
        if former is not None and former.name != name:
            return
        if former is None and any(d.cell_id == place.cell_id for d in cells):
            return  # the former cell is not in the notebook any more
        first = former.label if former else seen.label
        raise duplicate(name, first, place.label)

    def _declared(self) -> list[DeclaredStep]:
        if (told := self._told()) is not None:
            return list(self._declared_on_page(told))
        if self._notebook is None:
            return []
        try:
            stat = self._notebook.stat()
            if (stat.st_mtime_ns, stat.st_size) != self._read:
                notebook = json.loads(self._notebook.read_text(encoding="utf-8"))
                self._cells = declared_steps(notebook, every_cell=self._every_cell)
                self._read = (stat.st_mtime_ns, stat.st_size)
        except (OSError, ValueError):
            return []  # not saved yet, or being written: the session's own memory still counts
        return self._cells

    def _declared_on_page(self, cells: Sequence[NotebookCell]) -> Iterator[DeclaredStep]:
        for position, cell in enumerate(cells, start=1):
            name = declared_name(cell.source)
            if self._every_cell and header_of(cell.source) is None:
                name = name_in(cell.source, ())
            if name:
                yield DeclaredStep(name, position, cell.id, "code cell")


def declared_steps(notebook: dict[str, object], *, every_cell: bool = False) -> list[DeclaredStep]:
    """The cells of a notebook's JSON that a header names, in order; with ``every_cell``, or they themselves."""
    found = []
    cells = notebook.get("cells")
    for position, cell in enumerate(cells if isinstance(cells, list) else [], start=1):
        source = cell.get("source", "")
        text = source if isinstance(source, str) else "".join(source)
        if cell.get("cell_type") != "code":
            continue
        name = declared_name(text)
        if every_cell and header_of(text) is None:
            name = name_in(text, (cell.get("metadata") or {}).get("tags") or ())
        if name:
            found.append(DeclaredStep(name, position, cell.get("id")))
    return found


def declared_name(source: str) -> str | None:
    """The name on a cell's header, None for a cell without one, or with one that is refused when it is run."""
    header = header_of(source)
    if header is None:
        return None
    try:
        return str(parse_line(header.magic, header.line).name)
    except (UsageError, HelpRequested):
        return None


def check_notebook(notebook: dict[str, object]) -> None:
    """Raise `DuplicateStep` for the first name that two cells of a headless notebook share."""
    first: dict[str, DeclaredStep] = {}
    for declared in declared_steps(notebook, every_cell=True):
        earlier = first.setdefault(declared.name, declared)
        if earlier is not declared:
            raise duplicate(declared.name, f"cell {earlier.position}", f"cell {declared.position}")


def duplicate(name: str, first: str, second: str) -> DuplicateStep:
    return DuplicateStep(
        f"Two cells are named {name!r}: {first} and {second}.",
        hint="Give one of them another name (after removing a cell, save the notebook).",
    )
