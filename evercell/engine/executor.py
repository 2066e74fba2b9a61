"""What the engine needs from whoever executes a cell. A kernel implements it, and so can a test."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from evercell.core.records import ErrorRecord, Output


@dataclass(frozen=True, slots=True)
class BodyResult:
    """How one execution of a cell's body ended."""

    error: ErrorRecord | None = None
    interrupted: bool = False
    """The user interrupted it: not a failure to try again."""

    @property
    def is_ok(self) -> bool:
        return self.error is None


class Executor(Protocol):
    """Executes the body of one cell, records what it shows, and shows what was recorded."""

    async def run_body(self, *, timeout: float | None, is_last: bool) -> BodyResult:
        """Execute the body once. ``timeout`` in seconds; ``is_last``: no further attempt follows a failure."""

    def recorded(self) -> Sequence[Output]:
        """All that the cell showed since it began, over all attempts."""

    def show(self, outputs: Sequence[Output], *, step: str) -> None:
        """Show recorded outputs again, marked as replayed in metadata only."""

    def note(self, text: str) -> None:
        """Tell the user one thing; not a part of what the cell shows."""

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts."""

    def uninterrupted(self) -> AbstractContextManager[None]:
        """While inside, an interrupt waits: a commit happens whole or not at all."""
