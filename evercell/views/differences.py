"""How differences look in HTML: signs as well as colours, and nothing in it that can run."""

from __future__ import annotations

from collections.abc import Sequence

from evercell.views.palette import GREEN, RED
from evercell.views.picture import DIM, HEAD
from evercell.views.text import escaped

_PRE = (
    "margin:2px 0 6px;padding:4px 8px;border-left:3px solid #8886;overflow-x:auto;white-space:pre;text-align:left;"
    "font-family:monospace;font-size:12px;line-height:1.4"
)
_TABLE = "width:100%;table-layout:fixed;border-collapse:collapse;border:0;margin:2px 0 6px"
_BESIDE = "vertical-align:top;text-align:left;padding:2px 10px 2px 0;overflow:hidden"
_LONGEST = 60_000
"""Characters of one diff that are shown."""


def section(title: str, notes: Sequence[str], body: str) -> str:
    """One kind of difference under its heading."""
    below = "".join(f'<div style="{DIM}">{escaped(note)}</div>' for note in notes)
    return f'<div style="margin:8px 0 2px"><strong>{escaped(title)}</strong></div>{below}{body}'


def diff_html(name: str, diff: str, *, is_open: bool = True) -> str:
    """A unified diff, folded under its name."""
    return (
        f'<details{" open" if is_open else ""}><summary style="cursor:pointer">{escaped(name)}</summary>'
        f'<pre style="{_PRE}">{diff_lines(diff)}</pre></details>'
    )


def diff_lines(diff: str) -> str:
    """Its lines, those that came and went in colour."""
    if len(diff) > _LONGEST:
        diff = f"{diff[:_LONGEST]}\n… {len(diff) - _LONGEST:,} characters more"
    return "\n".join(map(_line, diff.split("\n")))


def _line(line: str) -> str:
    if line.startswith(("---", "+++", "@@")):
        return f'<span style="{DIM}">{escaped(line)}</span>'
    colour = {"+": GREEN, "-": RED}.get(line[:1])
    return f'<span style="color:{colour}">{escaped(line)}</span>' if colour else escaped(line)


def text_html(text: str) -> str:
    """Plain text, as it is."""
    return f'<pre style="{_PRE}">{escaped(text)}</pre>'


def side_by_side(name: str, sides: Sequence[str], pages: Sequence[str]) -> str:
    """Two pages of HTML beside each other, folded under a name."""
    head = "".join(f'<th style="{HEAD};width:50%">{escaped(side)}</th>' for side in sides)
    body = "".join(f'<td style="{_BESIDE}">{page}</td>' for page in pages)
    return (
        f'<details open><summary style="cursor:pointer">{escaped(name)}</summary>'
        f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody><tr>{body}</tr></tbody></table></details>'
    )
