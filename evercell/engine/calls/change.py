"""What happens where a step that goes on after a kill calls otherwise than it did."""

from __future__ import annotations

from enum import StrEnum


class OnChange(StrEnum):
    """Chosen with ``%%step --on-change``."""

    FAIL = "fail"
    """Stop with `NonDeterminism`, which says what was expected and found."""
    RERUN = "rerun"
    """Forget what was recorded from there on, and execute."""
    KEEP = "keep"
    """Take the recorded result all the same."""
