"""What stands for a value that is not made yet. It is not imported for the sake of asking (see `is_stand_in`)."""

from __future__ import annotations

from typing import Any

_MARK = "_self_evercell_stand_in"


def is_stand_in(value: Any) -> bool:
    """Whether a value is a `Resource` or a `Pending` one: to look into it would make it."""
    return hasattr(type(value), _MARK)
