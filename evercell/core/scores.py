"""What an evaluator said of a run, as a record of the store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class GivenScore:
    """One score of a run, or of a step of it."""

    run_id: str
    step: str
    """Empty: of the run as a whole."""
    name: str
    value: float | None
    """None: it has a label only."""
    label: str | None
    reason: str
    evaluator: str
    """The function or class that said it."""
    version: str | None
    """Of the evaluator, where it has one."""
    given_at: datetime
    given_by: str
    mac: bytes = b""
    """Signature of all this."""

    def as_json(self) -> dict[str, Any]:
        """For other programs, and for the signature."""
        return {
            "step": self.step,
            "name": self.name,
            "value": self.value,
            "label": self.label,
            "reason": self.reason,
            "evaluator": self.evaluator,
            "version": self.version,
            "given_at": self.given_at.isoformat(),
            "given_by": self.given_by,
        }
