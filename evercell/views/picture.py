"""A picture with two faces, as a table has: HTML for a notebook, aligned text for the rest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from evercell.views.palette import Look, bar_style
from evercell.views.table import Table
from evercell.views.text import escaped

FONT = "font-family:system-ui,sans-serif;font-size:13px;line-height:1.45"
DIM = "opacity:.75"
CELL = "text-align:left;padding:2px 10px 2px 0;white-space:nowrap;overflow:hidden;text-overflow:ellipsis"
HEAD = f"{CELL};font-weight:600;border-bottom:1px solid #8888"
_TABLE = "width:100%;font-size:13px;border-collapse:collapse;border:0;margin:4px 0;text-align:left"


@dataclass(frozen=True, slots=True)
class Picture:
    """What a run, its tree or its state looks like. HTML in which nothing can run, and which needs no style sheet:
    it survives the sanitizers of JupyterLab and GitHub, and where all style is taken away a table is left.
    """

    table: Table
    page: str

    def __str__(self) -> str:
        return str(self.table)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.page


def signed(look: Look, word: str = "") -> str:
    """A state in HTML: its sign in its colour, and its word."""
    return f'<span style="color:{look.colour};font-weight:700">{look.sign}</span>&nbsp;{escaped(word or look.word)}'


def bar(left: float, width: float, look: Look, title: str, *, top: int, height: int) -> str:
    """A bar at its place in a `track`."""
    return (
        f'<div title="{escaped(title)}" style="position:absolute;box-sizing:border-box;border-radius:2px;'
        f"left:{left * 100:.2f}%;width:{width * 100:.2f}%;min-width:3px;top:{top}px;height:{height}px;"
        f'{bar_style(look)}"></div>'
    )


def track(bars: Iterable[str], *, height: int) -> str:
    """A line on which bars lie."""
    inside = "".join(bars)
    return (
        f'<div style="position:relative;height:{height}px;overflow:hidden;'
        f'border-left:1px solid #8884;border-right:1px solid #8884">{inside}</div>'
    )


def table_of(heads: Iterable[tuple[str, str]], rows: Iterable[str]) -> str:
    """A table of rows that are HTML; heads are text, each with the width of its column (empty: what is left)."""
    head = "".join(
        f'<th style="{HEAD}{f";width:{width}" if width else ""}">{escaped(text)}</th>'
        for text, width in heads
    )
    return (
        f'<table style="{_TABLE};table-layout:fixed"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


def row_of(cells: Iterable[str], *, before: str = "") -> str:
    """A row of such a table; ``before`` is a cell that touches those above and below it."""
    touching = f'<td style="padding:0;text-align:left">{before}</td>' if before else ""
    return f"<tr>{touching}" + "".join(f'<td style="{CELL}">{cell}</td>' for cell in cells) + "</tr>"


def framed(title: str, facts: str, legend: str, body: str, notes: Iterable[str] = ()) -> str:
    """The whole: a heading, what is worth knowing, what the signs mean, the picture."""
    below = "".join(
        f'<div style="{DIM};white-space:pre-wrap;overflow-wrap:anywhere">{escaped(note)}</div>'
        for note in notes
    )
    facts = f'<span style="{DIM};margin-left:10px">{escaped(facts)}</span>' if facts else ""
    legend = f'<div style="{DIM};margin:2px 0 0">{legend}</div>' if legend else ""
    return (
        f'<div style="{FONT};max-width:100%;overflow-x:auto"><div><strong>{escaped(title)}</strong>{facts}</div>'
        f"{legend}{body}{below}</div>"
    )


def legend_of(looks: Iterable[Look]) -> str:
    """What the signs that occur mean."""
    known = {look.word: look for look in looks}
    return "&emsp;".join(signed(look) for look in known.values())
