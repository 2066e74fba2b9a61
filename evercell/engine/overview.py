"""All runs at a glance: how each stands, how far it is, and who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evercell.core.found import Found
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.engine.listing import ApprovalRow, RunRow, list_runs
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run as the list of a server shows it."""

    row: RunRow
    completed: int
    """How many of its own steps are done."""
    attempted: int
    step: str
    """The step that began last, empty where none did."""
    is_step_done: bool
    asked: tuple[ApprovalRow, ...]
    """What it waits for, the oldest first."""

    @property
    def state(self) -> str:
        """In one word: a step that asks somebody is under way, and waits."""
        word = self.row.standing.word
        return str(RunStatus.WAITING) if self.asked and word == RunStatus.RUNNING else word

    @property
    def standing(self) -> str:
        """The same with what is known of its kernel."""
        return self.state if self.state != self.row.standing.word else str(self.row.standing)


def summarise_runs(
    workspace: Workspace, pending: Sequence[ApprovalRow], *, limit: int | None = None
) -> Found[RunSummary]:
    """The newest runs in a handful of queries, however many."""
    rows = list_runs(workspace, limit=limit)
    ids = [row.run.id for row in rows]
    progress = workspace.store.steps.progress(ids)
    newest = workspace.store.steps.newest(ids)
    asked: dict[str, list[ApprovalRow]] = {}
    for approval in pending:
        asked.setdefault(approval.approval.run_id, []).append(approval)
    summaries = []
    for row in rows:
        done, begun = progress.get(row.run.id, (0, 0))
        last = newest.get(row.run.id)
        is_done = last is not None and last.status is AttemptStatus.COMPLETED
        summaries.append(
            RunSummary(row, done, begun, last.step if last else "", is_done, tuple(asked.get(row.run.id, ())))
        )
    return Found([*summaries, *rows.damaged])
