"""A table with two faces: HTML for a notebook, aligned text for the rest."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_CELL = "text-align:left;padding:.15em .8em .15em 0;vertical-align:top;white-space:pre"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under headings, with a line above and one below. All text is escaped in HTML."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    footer: str = ""

    def __str__(self) -> str:
        lines = [self.title] if self.title else []
        if self.rows:
            widths = [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]
            for row in (self.headings, *self.rows):
                lines.append("  ".join(t.ljust(w) for t, w in zip(row, widths, strict=True)).rstrip())
        return "\n".join([*lines, self.footer] if self.footer else lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [f"<div><strong>{html.escape(self.title)}</strong></div>"] if self.title else []
        if self.rows:
            head = "".join(f'<th style="{_CELL}">{html.escape(h)}</th>' for h in self.headings)
            body = "".join(
                "<tr>" + "".join(f'<td style="{_CELL}">{html.escape(t)}</td>' for t in row) + "</tr>"
                for row in self.rows
            )
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if self.footer:
            parts.append(f'<div style="opacity:.75;white-space:pre-wrap">{html.escape(self.footer)}</div>')
        return "".join(parts)
