"""The history of a run, the code of a step, and why it would execute, as text for people."""

from __future__ import annotations

from evercell.core.text import one_line
from evercell.engine.comparison.explaining import Explanation
from evercell.engine.run_history import HistoryRow, RunHistory
from evercell.views.differences import diff_html, text_html
from evercell.views.listings import damage_text
from evercell.views.picture import DIM, FONT, Picture
from evercell.views.quantities import ago_text, duration_text
from evercell.views.table import Table
from evercell.views.text import escaped

_HERE = "◀ here"


def history_view(history: RunHistory, *, limit: int) -> Table:
    """Each version of each step in order; ``limit``: at most so many, the newest."""
    run = history.run
    rows = [_cells(row) for row in history.rows[-limit:]]
    left_out = len(history.rows) - len(rows)
    footer = (
        [f"{left_out:,} earlier ones are left out: --limit {len(history.rows)} shows all"] if left_out else []
    )
    if history.branches_at_begin:
        footer.append(f"before the first step leave: {', '.join(map(one_line, history.branches_at_begin))}")
    if history.is_at_begin:
        footer.append(f"{_HERE}: before the first step")
    if not history.rows:
        footer.append("No step of it completed yet.")
    if any(not row.on_path for row in history.rows):
        footer.append("·: not on the way to here. %checkout RUN@STEP@VERSION goes there")
    footer.append(damage_text(history.rows))
    headings = ("", "step", "code", "took", "completed", "run", "", "branches, tags")
    return Table(f"History of run {run.name} ({run.id})", headings, rows, "\n".join(filter(None, footer)))


def _cells(row: HistoryRow) -> tuple[str, ...]:
    return (
        "●" if row.on_path else "·",
        row.ref,
        "new" if row.is_source_new else "",
        duration_text(row.seconds),
        ago_text(row.completed_at),
        "" if row.is_own else row.run,
        _HERE if row.is_here else "",
        " ".join([*(f"⑂ {name}" for name in row.branches), *(f"⚑ {name}" for name in row.tags)]),
    )


def source_view(source: str) -> Picture:
    """The code of a cell, as it is typed."""
    return Picture(Table("", (), (), source), text_html(source))


def diff_view(title: str, diff: str) -> Picture:
    """A unified diff under a line that says of what."""
    page = diff_html(title, diff) if diff else f"<div>{escaped(title)}</div>"
    return Picture(Table(title, (), (), diff), f'<div style="{FONT}">{page}</div>')


def explanation_view(found: Explanation) -> Picture:
    """Why a step would replay or execute: the verdict, what is behind it, how its code differs."""
    lines = [*found.causes, *filter(None, found.note.split("\n"))]
    text = "\n".join([*(f"  {line}" for line in lines), *([found.diff] if found.diff else [])])
    page = f"<div><strong>{escaped(found.verdict)}</strong></div>"
    page += "".join(f'<div style="{DIM}">{escaped(line)}</div>' for line in lines)
    page += diff_html("its code", found.diff) if found.diff else ""
    return Picture(Table(found.verdict, (), (), text), f'<div style="{FONT}">{page}</div>')
