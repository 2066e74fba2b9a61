"""What takes space and time and what fails, as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from evercell.engine.statistics import Failures, Statistics
from evercell.views.quantities import duration_text, size_text
from evercell.views.table import Table

_MOST = 10
"""Rows of a table: the largest, the slowest, the worst."""


def statistics_view(found: Statistics) -> Iterator[Table]:
    """One table for each question."""
    ratio = f", {found.ratio:.1f} bytes of content for one that is stored" if found.ratio else ""
    yield _sizes(f"{size_text(found.stored) or '0 B'} stored{ratio}", "run", found.by_run, found.stored)
    yield _sizes("", "step", found.by_step, found.stored)
    yield _sizes("", "variable", found.by_variable, found.stored)
    if found.times:
        rows = [
            (t.step, str(t.executions), duration_text(t.seconds), duration_text(t.longest))
            for t in found.slowest[:_MOST]
        ]
        yield Table("Slowest steps", ("step", "executions", "took", "longest"), rows)
    yield from _failures("Attempts at steps", "step", found.steps)
    yield from _failures("Tries of calls", "call", found.callees)


def _sizes(title: str, what: str, sizes: Counter[str], total: int) -> Table:
    rows = [(name, size_text(size), f"{100 * size / total:.0f} %") for name, size in sizes.most_common(_MOST)]
    return Table(title, (what, "stored", "part"), rows)


def _failures(title: str, what: str, found: dict[str, Failures]) -> Iterator[Table]:
    worst = sorted(found.values(), key=lambda one: (-one.rate, one.name))[:_MOST]
    rows = [
        (one.name, str(one.completed), str(one.failed), str(one.interrupted), f"{100 * one.rate:.0f} %")
        for one in worst
    ]
    if rows:
        yield Table(title, (what, "completed", "failed", "interrupted", "did not end well"), rows)
