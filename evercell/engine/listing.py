"""What there is, as rows for people: runs as a tree, steps with their attempts. Reads, never writes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from evercell.core.records import Attempt, Lease, Run
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.engine.holder import is_gone
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as a listing shows it."""

    run: Run
    depth: int
    """Branches below a run stand one deeper than it."""
    is_abandoned: bool
    """It says running, but the kernel that ran it is gone: resume goes on."""

    @property
    def status(self) -> str:
        return f"{self.run.status} (kernel gone)" if self.is_abandoned else str(self.run.status)

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        run = self.run
        return {
            "id": run.id,
            "name": run.name,
            "notebook": run.notebook,
            "status": str(run.status),
            "is_abandoned": self.is_abandoned,
            "parent": run.parent,
            "branch_point": run.branch_point,
            "head": run.head,
            "params": dict(run.params),
            "created_at": run.created_at.isoformat(),
            "updated_at": run.updated_at.isoformat(),
            "created_by": run.created_by,
        }


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as a listing shows it."""

    name: str
    status: str
    """An attempt's status, ``inherited`` for one completed before the run branched off."""
    attempts: int
    versions: int
    """How often it executed to its end: ``NAME@1`` … ``NAME@versions``. Replays add none."""
    seconds: float | None
    completed_at: datetime | None
    checkpoint: str | None

    def as_json(self) -> dict[str, object]:
        """For ``--json``; ``seconds`` is the time of the body that completed."""
        return {
            "name": self.name,
            "status": self.status,
            "attempts": self.attempts,
            "versions": self.versions,
            "seconds": self.seconds,
            "completed_at": self.completed_at.isoformat() if self.completed_at else None,
            "checkpoint": self.checkpoint,
        }


def list_runs(workspace: Workspace, *, notebook: str | None = None, limit: int | None = None) -> list[RunRow]:
    """Runs, newest first."""
    runs = workspace.store.runs.all(notebook=notebook, limit=limit)
    return [RunRow(run, 0, is_abandoned(workspace, run)) for run in runs]


def run_tree(rows: list[RunRow]) -> list[RunRow]:
    """The same rows with every branch below the run that it came from."""
    below: dict[str | None, list[RunRow]] = {}
    listed = {row.run.id for row in rows}
    for row in rows:
        parent = row.run.parent if row.run.parent in listed else None
        below.setdefault(parent, []).append(row)
    ordered: list[RunRow] = []
    waiting = [(row, 0) for row in reversed(below.get(None, []))]
    while waiting:
        row, depth = waiting.pop()
        ordered.append(RunRow(row.run, depth, row.is_abandoned))
        waiting += [(child, depth + 1) for child in reversed(below.get(row.run.id, []))]
    return ordered


def is_abandoned(workspace: Workspace, run: Run) -> bool:
    """Whether the run counts as running although nobody runs it any more."""
    if run.status is not RunStatus.RUNNING:
        return False
    lease: Lease | None = workspace.store.leases.get(run.id)
    return lease is None or lease.expires_at <= workspace.clock() or is_gone(lease.holder)


def list_steps(workspace: Workspace, run: Run) -> list[StepRow]:
    """The steps of a run in order of their first execution, inherited ones first."""
    store = workspace.store
    attempts: dict[str, list[Attempt]] = {}
    for attempt in store.steps.attempts(run.id):
        attempts.setdefault(attempt.step, []).append(attempt)
    completed = {}
    versions: dict[str, int] = {}
    for checkpoint in store.checkpoints.visible(store.runs.lineage(run.id)):
        if checkpoint.is_execution:
            completed[checkpoint.step] = checkpoint
            versions[checkpoint.step] = versions.get(checkpoint.step, 0) + 1
    rows = []
    for name in dict.fromkeys([*completed, *attempts]):
        tries, done = attempts.get(name, []), completed.get(name)
        rows.append(
            StepRow(
                name=name,
                status=str(tries[-1].status if tries else _untried(done is not None)),
                attempts=len(tries),
                versions=versions.get(name, 0),
                seconds=done.seconds if done else None,
                completed_at=done.created_at if done else None,
                checkpoint=done.id if done else None,
            )
        )
    return rows


def _untried(is_done: bool) -> str:
    return "inherited" if is_done else str(AttemptStatus.RUNNING)
