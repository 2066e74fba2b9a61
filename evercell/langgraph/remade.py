"""What saved state names of this room: imported without LangGraph, which is needed when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def make_saver(store: str | None, serde: Any) -> Any:
    """A saver as it was."""
    return import_module("evercell.langgraph.saver").Saver(store, serde=serde)
