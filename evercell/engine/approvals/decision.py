"""What ``approve()`` returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Decision:
    """Who decided what, when, from where. It is true where the first choice was taken."""

    choice: str
    approved: bool
    """Whether it is the first choice."""
    by: str
    at: datetime
    comment: str
    values: Any
    """The form as the approver left it, of the type that the form had; None without a form."""
    via: str
    """``notebook``, ``command line``, ``web page`` or ``timeout``."""
    approval: str
    """Id of the approval."""

    def __bool__(self) -> bool:
        return self.approved
