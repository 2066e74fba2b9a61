"""The cells as a page has them, which may be others than the file's or those that ran: read from what it sends."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from evercell.core.records import Step
from evercell.engine.magic_lines import header_of
from evercell.engine.step_names import declared_name
from evercell.engine.unnamed_cells import name_in

_MOST_CELLS = 10_000
_LONGEST_SOURCE = 200_000
"""Characters of a source that is looked at."""


@dataclass(frozen=True, slots=True)
class PageCell:
    """A code cell of a page."""

    id: str
    source: str
    tags: tuple[str, ...] = ()

    @property
    def header_step(self) -> str | None:
        """The step that its header names, None for another cell."""
        header = header_of(self.source)
        if header is None or header.magic.name == "setup":
            return None
        return declared_name(self.source)


@dataclass(frozen=True, slots=True)
class PageView:
    """One notebook on one page, as it said last."""

    client: str = ""
    """The page's own connection to the kernel: requests of its cells carry it."""
    path: str = ""
    """On its server."""
    notebook_id: str | None = None
    saved_at: datetime | None = None
    """When the file was saved that it shows; None where nothing is to be put into its cells."""
    cells: tuple[PageCell, ...] = ()


def read_view(sent: object, former: PageView | None = None) -> PageView:
    """What a page says of itself; what it leaves out, or what is none, is as before."""
    values = sent if isinstance(sent, Mapping) else {}
    view = former or PageView()
    cells = values.get("cells")
    return PageView(
        client=_text(values.get("client"), view.client),
        path=_text(values.get("path"), view.path),
        notebook_id=_text(values.get("id"), view.notebook_id or "") or None,
        saved_at=_moment(values.get("saved_at")),
        cells=tuple(_cells(cells)) if isinstance(cells, list) else view.cells,
    )


def _text(value: object, otherwise: str) -> str:
    return value if isinstance(value, str) else otherwise


def _moment(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _cells(sent: Iterable[object]) -> Iterable[PageCell]:
    """One of each id: old formats have none, and tools that copy cells make two of one."""
    seen: set[str] = set()
    for cell in list(sent)[:_MOST_CELLS]:
        if not isinstance(cell, Mapping):
            continue
        cell_id, source, tags = cell.get("id"), cell.get("source"), cell.get("tags")
        if isinstance(cell_id, str) and isinstance(source, str) and cell_id not in seen:
            seen.add(cell_id)
            texts = [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []
            yield PageCell(cell_id, source[:_LONGEST_SOURCE], tuple(texts))


def steps_of_cells(cells: Iterable[PageCell], steps: Iterable[Step]) -> dict[str, str]:
    """Cell id → step: the one that it names, or the last that was executed from this cell."""
    known = list(steps)
    names = {step.name for step in known}
    executed = {step.cell_id: step.name for step in known if step.cell_id}
    found: dict[str, str] = {}
    for cell in cells:
        step = cell.header_step
        if step is None and header_of(cell.source) is None:
            own = name_in(cell.source, cell.tags)
            step = own if own in names else executed.get(cell.id)
        if step is not None:
            found[cell.id] = step
    return found
