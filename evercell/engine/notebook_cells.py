"""The code cells of a notebook file, as far as they tell which notebook it is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evercell.engine.magic_lines import gate_of, header_of

_LARGEST = 200_000_000
"""Bytes of a notebook file that is read for this."""


@dataclass(frozen=True, slots=True)
class NotebookCell:
    """A code cell as it stands in the notebook."""

    source: str
    id: str | None = None

    @property
    def body(self) -> str:
        """Its source without the header that makes it a step."""
        header = header_of(self.source)
        return self.source if header is None else self.source.lstrip().partition("\n")[2]

    @property
    def executed(self) -> str:
        """What a kernel executes of it, but for its magics: by this its code is told from another."""
        header = header_of(self.source)
        return self.body if header is None else f"{gate_of(header)}\n{self.body}"


@dataclass(frozen=True, slots=True)
class NotebookContent:
    """What a notebook file says of itself."""

    id: str | None
    """Of the notebook, from its metadata."""
    cells: tuple[NotebookCell, ...]


def read_notebook_file(path: Path) -> NotebookContent | None:
    """The content of a notebook file; None where there is none, or none that can be read."""
    try:
        if path.stat().st_size > _LARGEST:
            return None
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return notebook_content(notebook) if isinstance(notebook, dict) else None


def notebook_content(notebook: Mapping[str, Any]) -> NotebookContent:
    """The same of a notebook's JSON, whatever is wrong with it."""
    metadata = notebook.get("metadata")
    own = metadata.get("evercell") if isinstance(metadata, Mapping) else None
    return NotebookContent(
        text_or_none(own.get("id")) if isinstance(own, Mapping) else None,
        tuple(_code_cells(notebook.get("cells"))),
    )


def text_or_none(value: object) -> str | None:
    """An id as it is stored; None for what is none."""
    return value[:64] if isinstance(value, str) and value else None


def _code_cells(cells: object) -> Iterator[NotebookCell]:
    for cell in cells if isinstance(cells, list) else []:
        if isinstance(cell, Mapping) and cell.get("cell_type") == "code":
            source = cell.get("source", "")
            text = source if isinstance(source, str) else "".join(map(str, source))
            yield NotebookCell(text, text_or_none(cell.get("id")))
