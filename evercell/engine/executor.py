"""What the engine needs from whoever executes a cell. A kernel implements it, and so can a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from evercell.core.approvals import Approval
from evercell.core.records import ErrorRecord, Output


@dataclass(frozen=True, slots=True)
class BodyResult:
    """How one execution of a cell's body ended."""

    error: ErrorRecord | None = None
    interrupted: bool = False
    """The user interrupted it: not a failure to try again."""
    suspended: bool = False
    """It ended in the middle of a wait, for the run waits without a kernel: no error to the user."""
    value: object = None
    """Of the last expression, where the cell shows one."""

    @property
    def is_ok(self) -> bool:
        return self.error is None


class Page(Protocol):
    """Where somebody may look on while a step waits."""

    def render(self, value: Any) -> dict[str, Any]:
        """What Jupyter would display: MIME type → data, as JSON."""

    def ask(self, approval: Approval, answer: Answer) -> Callable[[Approval], None]:
        """Show a question; returns what shows how it ended. ``answer`` raises what the page has to say."""

    def publish(self, data: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Show something: a part of what the cell shows, by MIME type."""

    def listen(self) -> None:
        """Called often while a question is open: hear answers that nothing else would deliver."""

    def suspend(self, what: str) -> None:
        """The step is about to end in the middle of a wait for ``what``: that is no error to show."""


Answer = Callable[[str, str, "dict[str, Any] | None"], Approval]
"""A choice, a comment and the form's values → the approval thereafter."""


class TimeLimit(Protocol):
    """When code has taken too long, and what it raises then."""

    def seconds_left(self) -> float:
        """Until it is over; may grow again, with signs of life."""

    def error(self) -> Exception:
        """What the code raises."""


class TimeLimits(Protocol):
    """Ends code that takes too long."""

    def limited(self, limit: TimeLimit) -> AbstractContextManager[None]:
        """Raise the limit's error in the synchronous code inside; where it cannot be stopped there is no limit."""

    def limited_async(self, limit: TimeLimit) -> AbstractAsyncContextManager[object]:
        """Cancel the coroutine inside, and raise the limit's error."""


class Executor(Protocol):
    """Executes the body of one cell, records what it shows, and shows what was recorded."""

    @property
    def page(self) -> Page | None:
        """Where questions are shown; None where nobody looks on."""

    @property
    def variables(self) -> Mapping[str, object]:
        """The namespace that the cell runs in."""

    async def run_body(self, *, timeout: float | None, after_failure: str | None) -> BodyResult:
        """Execute the body once. ``timeout`` in seconds.

        ``after_failure`` says that another attempt follows a failure: it is shown with the error's name and message,
        in the place of the traceback. None: it is the last attempt.
        """

    def recorded(self) -> Sequence[Output]:
        """All that the cell showed since it began, over all attempts."""

    def show(self, outputs: Sequence[Output], *, step: str) -> None:
        """Show recorded outputs again, marked as replayed in metadata only."""

    def set_result(self, value: object) -> None:
        """Make this the value of the cell's last expression (``_``, ``Out[n]``), as its execution would have."""

    def note(self, text: str) -> None:
        """Tell the user one thing; not a part of what the cell shows."""

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts."""

    def uninterrupted(self) -> AbstractContextManager[None]:
        """While inside, an interrupt waits: a commit happens whole or not at all."""
