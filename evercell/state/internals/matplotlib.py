"""What a path of matplotlib keeps to itself."""

from __future__ import annotations

from typing import Any


def interpolation_steps(path: Any) -> int | None:
    """Into how many parts each segment of a path is cut when it is transformed; None where no path says so."""
    return getattr(path, "_interpolation_steps", None)
