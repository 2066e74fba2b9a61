"""A table with two faces: HTML for a notebook, aligned text for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evercell.core.text import one_line, printable
from evercell.views.text import display_width, escaped

_CELL = "text-align:left;padding:.15em .8em .15em 0;vertical-align:top;white-space:pre"

_FOOTER = "opacity:.75;white-space:pre-wrap;margin:.4em 0"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings, with a line above and one below. Whatever they hold, it is only shown."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    footer: str = ""

    def __str__(self) -> str:
        lines = [one_line(self.title)] if self.title else []
        if self.rows:
            lines += _aligned([self.headings, *self.rows])
        return "\n".join([*lines, printable(self.footer)] if self.footer else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<div><strong>{escaped(self.title)}</strong></div>"] if self.title else []
        if self.rows:
            head = "".join(f'<th style="{_CELL}">{escaped(h)}</th>' for h in self.headings)
            body = "".join(
                "<tr>" + "".join(f'<td style="{_CELL}">{escaped(t)}</td>' for t in row) + "</tr>"
                for row in self.rows
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if self.footer:
            parts.append(f'<pre style="{_FOOTER}">{escaped(self.footer)}</pre>')
        return "".join(parts)


@dataclass(frozen=True, slots=True)
class Tables:
    """Several tables, one below the other."""

    tables: tuple[Table, ...]

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cell_text(text) for text in row] for row in rows]
    widths = [max(map(display_width, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            text + " " * (width - display_width(text)) for text, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in cells
    ]


def cell_text(text: str) -> str:
    """A cell's text on one line, its indent kept."""
    indent = len(text) - len(text.lstrip(" "))
    return " " * indent + one_line(text)
