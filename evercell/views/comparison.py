"""Runs side by side: a table of figures, and of two what differs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from evercell.core.scores import GivenScore
from evercell.core.text import one_line, printable
from evercell.engine.comparison.code import CellDifference, Side
from evercell.engine.comparison.comparing import Comparison, Pair
from evercell.engine.comparison.figures import COLUMNS, Figures
from evercell.views.comparison_parts import Part, listed, outputs_parts, title_of, variables_part
from evercell.views.differences import diff_html, section
from evercell.views.picture import DIM, FONT, Picture
from evercell.views.quantities import duration_text
from evercell.views.table import Table
from evercell.views.text import escaped

MOST_METRICS = 30
"""Metrics that have a column."""

Column = tuple[str, Callable[[Figures], str]]


def figures_table(rows: Sequence[Figures], footer: str = "", *, first: Sequence[str] = ()) -> Table:
    """A row for each run; what nobody used (tokens, calls) has no column. ``first``: metrics shown in any case."""
    metrics = list(dict.fromkeys(name for row in rows for name in row.metrics))
    shown = sorted(metrics, key=lambda name: name not in first)[:MOST_METRICS]
    columns = [*_columns(rows), *map(_metric_column, shown), *_score_columns(rows, metrics)]
    if len(rows) > 2:  # of two the code is shown itself
        columns.append(("other code", lambda row: listed(row.other_code, 4)))
    if left_out := len(metrics) - len(shown):
        footer = (
            f"{left_out:,} metrics more: --json tells all; --sort METRIC shows that one\n{footer}".strip()
        )
    body = [tuple(value(row) for _, value in columns) for row in rows]
    return Table("", [heading for heading, _ in columns], body, footer)


def _columns(rows: Sequence[Figures]) -> Iterator[Column]:
    branched = any(row.own.steps != row.total.steps for row in rows)
    yield "run", lambda row: row.place.label
    yield "status", lambda row: str(row.place.run.status)
    yield "steps", lambda row: str(row.total.steps)
    yield "time", lambda row: duration_text(row.total.seconds)
    if branched:
        yield "of its own", lambda row: duration_text(row.own.seconds)
    if any(row.total.calls for row in rows):
        yield "calls", lambda row: f"{row.total.calls:,}"
        yield "call time", lambda row: duration_text(row.total.call_seconds)
    if any(row.total.tokens for row in rows):
        yield "tokens", lambda row: f"{row.total.tokens:,}"
    if any(row.total.cost for row in rows):
        yield "cost", lambda row: number_text(row.total.cost)
        if branched:
            yield "cost of its own", lambda row: number_text(row.own.cost)


def _metric_column(name: str) -> Column:
    return name, lambda row: number_text(row.metrics[name]) if name in row.metrics else ""


def _score_columns(rows: Sequence[Figures], metrics: Sequence[str]) -> Iterator[Column]:
    for name in list(dict.fromkeys(name for row in rows for name in row.scores))[:MOST_METRICS]:
        heading = f"{name} (score)" if name in metrics or name in COLUMNS else name
        yield heading, lambda row, name=name: score_text(row.scores[name]) if name in row.scores else ""  # type: ignore[misc]


def score_text(score: GivenScore) -> str:
    """Its label, or its value."""
    if score.label is not None or score.value is None:
        return one_line(score.label or "")
    return number_text(score.value)


def number_text(number: float) -> str:
    """A number as it is read: ``0.9341``, ``1,204``, ``1.3e-07``."""
    if isinstance(number, int):
        return f"{number:,}" if abs(number) < 10**15 else f"{number:.6g}"
    if math.isfinite(number) and number == int(number) and abs(number) < 10**6:
        return f"{number:.1f}"
    return f"{number:.6g}"


def comparison_picture(found: Comparison) -> Picture:
    """The table of figures, and below it what differs between two runs."""
    parts = _parts(found.pair) if found.pair is not None else []
    damage = "\n".join(map(str, found.damaged))
    notes = [note for note in (found.pair.note if found.pair else "", damage) if note]
    texts = [*(part.text for part in parts), *notes]
    table = figures_table(found.figures, first=(found.sorted_by,))
    page = [table._repr_html_(), *(part.page for part in parts), *map(_note_html, notes)]
    footer = "\n\n".join(filter(None, [table.footer, *texts]))
    whole = Table(table.title, table.headings, table.rows, footer and f"\n{footer}")
    return Picture(whole, f'<div style="{FONT}">{"".join(page)}</div>')


def _note_html(note: str) -> str:
    return f'<div style="{DIM};white-space:pre-wrap;overflow-wrap:anywhere">{escaped(note)}</div>'


def _parts(pair: Pair) -> list[Part]:
    return [_code_part(pair), variables_part(pair), *outputs_parts(pair)]


# -- code ----------------------------------------------------------------------------------------


def _code_part(pair: Pair) -> Part:
    changed = [cell for cell in pair.code if cell.side is Side.BOTH]
    title = title_of("code", [cell.step for cell in changed], _steps_of_both(pair))
    lines = [title, *_only(pair)]
    lines += [cell.diff or f"{cell.step}: {cell.error}" for cell in changed]
    body = "".join(map(_cell_html, changed))
    return Part(title, "\n".join(map(printable, lines)), section(title, _only(pair), body))


def _cell_html(cell: CellDifference) -> str:
    return diff_html(cell.step, cell.diff or cell.error)


def _only(pair: Pair) -> list[str]:
    """Which steps one side has alone."""
    lines = []
    for side, name in zip((Side.LEFT, Side.RIGHT), pair.sides, strict=True):
        steps = [one_line(cell.step) for cell in pair.code if cell.side is side]
        if steps:
            lines.append(f"only in {one_line(name)}: {listed(steps)}")
    return lines


def _steps_of_both(pair: Pair) -> str:
    count = len(pair.shared)
    return f"all {count} steps that both have" if count != 1 else f"step {pair.shared[0]}, which both have"
