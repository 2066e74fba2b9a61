"""What came of several runs that were executed at a time, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evercell.core.text import one_line
from evercell.views.palette import look_of
from evercell.views.quantities import duration_text
from evercell.views.table import Table

_LONGEST = 160


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run and what came of it."""

    run: str
    status: str
    seconds: float
    output: str
    problem: str = ""
    chosen: Mapping[str, Any] = field(default_factory=dict)
    """What it has otherwise than the others: its parameters, the run that it came from."""


def outcomes_view(title: str, outcomes: Sequence[Outcome]) -> Table:
    """A row for each run."""
    names = list(dict.fromkeys(name for outcome in outcomes for name in outcome.chosen))
    problems = any(outcome.problem for outcome in outcomes)
    headings = ("run", *names, "status", "took", "executed notebook", *(["why"] if problems else []))
    rows = [
        (
            outcome.run,
            *(_text(outcome.chosen.get(name, "")) for name in names),
            f"{look_of(outcome.status).sign} {outcome.status}",
            duration_text(outcome.seconds) if outcome.seconds else "",
            outcome.output,
            *([_text(outcome.problem)] if problems else []),
        )
        for outcome in outcomes
    ]
    return Table(title, headings, rows)


def _text(value: Any) -> str:
    text = one_line(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
