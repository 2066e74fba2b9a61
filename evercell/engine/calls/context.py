"""The step whose calls are made: what one attempt at it hands to its calls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from evercell.core.records import Lease
from evercell.engine.calls.gate import Gate
from evercell.engine.calls.policy import OnChange
from evercell.engine.executor import Page, TimeLimits
from evercell.engine.watching import StepProgress
from evercell.engine.workspace import Workspace
from evercell.state import Values

if TYPE_CHECKING:
    from evercell.engine.calls.guard import Guard


class Answers(Protocol):
    """What was recorded elsewhere. (The room ``evals`` has it, where a notebook is checked against a run.)"""

    def log_of(self, step: StepContext) -> Any:
        """The `CallLog` that an attempt at a step finds its calls in."""

    def guard_of(self, step: str) -> Guard:
        """What refuses those that are not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepContext:
    """One attempt at a step, as its calls see it."""

    workspace: Workspace
    lease: Callable[[], Lease]
    """The session's lease; raises `LeaseLost` where there is none."""
    values: Values
    run_id: str
    name: str
    key: bytes
    """What its calls are found by: an edited step begins without any."""
    note: Callable[[str], None]
    """Tells the user one thing."""
    gate: Gate
    """Asks before calls that need approval."""
    guard: Guard | None = None
    """Decides on each call before it is executed; None where no policy counts for the run."""
    recording: Answers | None = None
    """What calls are answered with in the place of what they would do; None: they do it."""
    attempt: str = ""
    """Id of the attempt, empty where it has none."""
    attempts_behind: Callable[[], Collection[str]] = frozenset
    """The attempts whose work this one goes on from: what they left outside of variables is seen."""
    limit: str | None = None
    """Key of the limit of which the step holds a slot."""
    page: Page | None = None
    """Where questions are shown; None: nobody looks on."""
    on_change: OnChange = OnChange.FAIL
    limits: TimeLimits | None = None
    """Ends calls that take longer than their timeout; None: nothing does."""
    progress: StepProgress = field(default_factory=lambda: StepProgress(""))
    """Told as its calls begin and end."""
    deferred_interrupts: Callable[[], AbstractContextManager[None]] = nullcontext
    """While inside, an interrupt waits: what the store is asked for or given comes to its end."""
