"""What a checkpoint holds: which variables are large, what changed when, what shares, what was not kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from evercell.core.text import one_line
from evercell.engine.inspection import VariableRow
from evercell.views.listings import variables_view
from evercell.views.palette import AMBER, BLUE, GREEN, RED
from evercell.views.picture import DIM, Picture, framed, row_of, table_of
from evercell.views.quantities import size_text
from evercell.views.text import escaped

MOST_ROWS = 60
"""Variables that are shown at once; the small ones behind a detail."""

_HEADS = (
    ("variable", "18%"), ("type", "20%"), ("size", ""), ("last changed by", "16%"), ("shares objects with", "16%"),
    ("kept", "7em"),
)  # fmt: skip


def state_picture(title: str, rows: Sequence[VariableRow]) -> Picture:
    """The state as HTML, the largest first, and as text the table by name."""
    text = variables_view(title, rows)
    if not rows:
        return Picture(text, text._repr_html_())
    sizes = _group_sizes(rows)
    ordered = sorted(rows, key=lambda row: (not is_lost(row), -sizes[row.name], -row.size, row.name))
    largest = max(1, *(row.size for row in rows))
    body = table_of(_HEADS, (row_of(_cells(row, largest)) for row in ordered[:MOST_ROWS]))
    if rest := ordered[MOST_ROWS:]:
        more = table_of(_HEADS, (row_of(_cells(row, largest)) for row in rest))
        size = size_text(sum(row.size for row in rest)) or "0 B"
        body += (
            f'<details><summary style="{DIM}">{len(rest)} smaller variables, {size}</summary>{more}</details>'
        )
    return Picture(text, framed(title, _facts(rows), _legend(rows), body, _losses(rows)))


def is_lost(row: VariableRow) -> bool:
    """Whether it was not kept, or not all of it."""
    return row.kept.startswith("not saved")


def _group_sizes(rows: Sequence[VariableRow]) -> dict[str, int]:
    """By variable, the size of what it is saved with, which one of its group tells."""
    own = {row.name: row.size for row in rows}
    return {row.name: max(own.get(name, 0) for name in (row.name, *row.shares_with)) for row in rows}


def _facts(rows: Sequence[VariableRow]) -> str:
    size, stored = sum(row.size for row in rows), sum(row.stored for row in rows)
    parts = [
        f"{len(rows)} variables",
        f"{size_text(size)}" if size else "",
        f"{size_text(stored)} in the store" if stored else "",
        f"{lost} not kept" if (lost := sum(map(is_lost, rows))) else "",
    ]
    return " · ".join(filter(None, parts))


def _legend(rows: Sequence[VariableRow]) -> str:
    found = dict.fromkeys(_kept(row)[:3] for row in rows)
    return "&emsp;".join(_signed(*kept) for kept in found)


def _kept(row: VariableRow) -> tuple[str, str, str]:
    """Sign, word and colour of how it is kept."""
    if is_lost(row):
        return "✗", "not kept", RED
    if row.kept.startswith("rebuilt"):
        return "↻", "rebuilt", AMBER
    return "✓", "saved", GREEN


def _signed(sign: str, word: str, colour: str) -> str:
    return f'<span style="color:{colour};font-weight:700">{sign}</span>&nbsp;{word}'


def _cells(row: VariableRow, largest: int) -> Iterator[str]:
    yield f"<code>{escaped(one_line(row.name))}</code>"
    kind = " ".join(filter(None, [row.type, row.shape]))
    yield f'<span title="{escaped(one_line(kind))}">{escaped(one_line(kind))}</span>'
    yield _size_bar(row, largest)
    yield escaped(one_line(row.made_by))
    others = one_line(", ".join(row.shares_with))
    yield f'<span title="{escaped(others)}">{escaped(others)}</span>'
    yield f'<span title="{escaped(one_line(row.kept))}">{_signed(*_kept(row))}</span>'


def _size_bar(row: VariableRow, largest: int) -> str:
    if not row.size:
        return f'<span style="{DIM}">in the group</span>' if row.shares_with else ""
    told = f"{size_text(row.size)}, {size_text(row.stored) or '0 B'} in the store"
    width = max(0.5, row.size / largest * 100)
    return (
        f'<div title="{told}" style="position:relative;height:18px"><div style="position:absolute;left:0;top:4px;'
        f'width:{width:.1f}%;max-width:100%;height:10px;border-radius:2px;background-color:{BLUE};opacity:.45"></div>'
        f'<div style="position:absolute;left:4px;top:0;line-height:18px">{size_text(row.size)}</div></div>'
    )


def _losses(rows: Sequence[VariableRow]) -> Iterator[str]:
    for row in rows:
        if is_lost(row):
            yield f"✗ {one_line(row.name)}: {one_line(row.kept)}"
