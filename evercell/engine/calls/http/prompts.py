"""What the user said last in a request to a model: kept beside it, so that people see where an agent turned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evercell.core.text import storable
from evercell.state import holds_secret_of_environment

PROMPT = "prompt"
"""Of a try at a request: what the user said last."""

_LONGEST = 300
"""Characters."""

_LOOKED_THROUGH = 1_000


def prompt_of(body: Mapping[str, Any]) -> str:
    """The text, cut where it is long; empty where a request is none to a model, or its text holds a secret."""
    said = body.get("messages", body.get("input", body.get("contents", body.get("prompt"))))
    if isinstance(said, list):
        turns = [turn for turn in said if isinstance(turn, dict) and turn.get("role", "user") == "user"]
        texts = (_text(turn.get("content", turn.get("parts", turn.get("text")))) for turn in reversed(turns))
        said = next((text for text in texts if text), "")
    if not isinstance(said, str) or holds_secret_of_environment(said[:_LOOKED_THROUGH]):
        return ""
    return storable(said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…")


def _text(content: object) -> str:
    """Of a message, or of its parts; the results of tools are nobody's words."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts = (part.get("text") for part in content if isinstance(part, dict))
    return " ".join(part for part in parts if isinstance(part, str))
