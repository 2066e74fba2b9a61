"""What cells register with Altair: themes, ways to show charts and to hand over data."""

from __future__ import annotations

from typing import Any


def _registry(choice: Any) -> Any:
    """The registry behind what Altair offers: its themes are behind a module."""
    return getattr(choice, "_themes", choice)


def registered_with(choice: Any) -> dict[str, Any]:
    """What is registered, by name. Otherwise: nothing, and what cells register is forgotten."""
    found: dict[str, Any] = getattr(_registry(choice), "_plugins", {})
    return found


def register_with(choice: Any, name: str, plugin: Any) -> None:
    """Register it again."""
    _registry(choice).register(name, plugin)
