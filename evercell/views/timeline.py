"""A run's journal as lines of text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from evercell.core.records import Event

_LONGEST = 160
_HIDDEN = frozenset({"digest", "calls_digest", "host", "pid", "token"})


def timeline_text(events: Iterable[Event]) -> str:
    """One line an entry: when, what, and what is to be said of it."""
    return "\n".join(f"{e.at:%Y-%m-%d %H:%M:%S}  {e.kind:<22} {_told(e.data)}".rstrip() for e in events)


def _told(data: Any) -> str:
    parts = [
        f"{name}={value}" for name, value in data.items() if name not in _HIDDEN and value not in (None, "")
    ]
    text = " ".join(" ".join(parts).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
