"""Where a run was stopped: steps that did not come to their end since the last one that did, and their calls."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.core.records import Attempt, Call, Run
from evercell.core.statuses import AttemptStatus
from evercell.core.text import one_line
from evercell.engine.calls.log import count_kept
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class StoppedStep:
    """A step that did not come to its end."""

    name: str
    has_failed: bool
    """It raised; otherwise its kernel went away, or somebody interrupted it."""
    kept_calls: int
    """Calls that its next attempt is handed."""
    question: str = ""
    """The title of an approval that it asked for and that is open."""

    def __str__(self) -> str:
        """What happened, and what to do."""
        what = f"step {one_line(self.name)} {'failed' if self.has_failed else 'was interrupted'}"
        if self.question:
            asked = f"{what} while it waits for an answer to {one_line(self.question)!r}"
            return f"{asked}; run its cell to go on with that"
        if not self.kept_calls:
            return f"{what}; run its cell again"
        return f"{what} after {self.kept_calls} of its calls; run its cell to go on at call {self.kept_calls + 1}"


def stopped_steps(workspace: Workspace, run: Run) -> list[StoppedStep]:
    """Those that began after the run's last completed step and did not complete, in the order of their attempts.

    For a run that nobody executes: an attempt that is stored as running has lost its kernel.
    """
    last: dict[str, Attempt] = {}
    completed: dict[str, Attempt] = {}
    newest: Attempt | None = None
    for attempt in workspace.store.steps.attempts(run.id):
        last.pop(attempt.step, None)
        last[attempt.step] = attempt
        if attempt.status is AttemptStatus.COMPLETED:
            completed[attempt.step] = newest = attempt
    questions = {asked.step: asked.title for asked in workspace.store.approvals.pending(run_id=run.id)}
    return [
        StoppedStep(
            name,
            attempt.status is AttemptStatus.FAILED,
            _kept(workspace, attempt, completed.get(name)),
            questions.get(name, ""),
        )
        for name, attempt in last.items()
        if attempt.status is not AttemptStatus.COMPLETED
        and (newest is None or attempt.started_at > newest.started_at)
    ]


def _kept(workspace: Workspace, attempt: Attempt, completed: Attempt | None) -> int:
    """Calls that were made for it. Those of executions that came to their end are none of them."""
    by_key: dict[bytes, list[Call]] = {}
    for call in workspace.store.calls.beside(attempt.run_id, attempt.step, b""):
        by_key.setdefault(call.step_key, []).append(call)
    if not by_key:
        return 0
    newest = max(by_key.values(), key=lambda calls: max(call.ended_at for call in calls))
    ended_at = completed.ended_at if completed is not None else None
    if ended_at is not None and max(call.ended_at for call in newest) <= ended_at:
        return 0
    return count_kept(newest)
