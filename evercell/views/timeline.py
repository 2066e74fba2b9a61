"""A run's journal as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evercell.core.clock import utc_text
from evercell.core.records import Event
from evercell.views.text import one_line

_LONGEST = 160
_HIDDEN = frozenset({"digest", "calls_digest", "host", "pid", "token"})


def timeline_text(events: Iterable[Event]) -> str:
    """One line an entry: when, what, and its data."""
    return "\n".join(f"{utc_text(e.at)}  {e.kind:<22} {_data_text(e.data)}".rstrip() for e in events)


def _data_text(data: Any) -> str:
    shown = {name: value for name, value in data.items() if name not in _HIDDEN and value not in (None, "")}
    text = one_line(" ".join(f"{name}={value}" for name, value in shown.items()))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
