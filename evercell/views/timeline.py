"""A run's journal as a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from evercell.core.clock import utc_text
from evercell.core.found import Found
from evercell.core.records import Event
from evercell.views.table import Table

_LONGEST = 160
_HIDDEN = frozenset({"digest", "calls_digest", "key", "step_key", "mac", "host", "pid", "token"})
"""Of use to a program that verifies, and noise to a person."""


def timeline_view(events: Iterable[Event]) -> Table:
    """One row an entry: when, what, and its data."""
    rows = [(utc_text(event.at), str(event.kind), _data_text(event.data)) for event in events]
    damage = events.damaged if isinstance(events, Found) else ()
    return Table("", ("when", "what", ""), rows, "\n".join(map(str, damage)))


def _data_text(data: Mapping[str, Any]) -> str:
    shown = {name: value for name, value in data.items() if name not in _HIDDEN and value not in (None, "")}
    text = "  ".join(f"{name}={_value_text(value)}" for name, value in shown.items())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _value_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)
