"""What there is, as rows for people: runs as a tree, steps with their attempts. Reads, never writes."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import datetime

from evercell.core.approvals import Approval, approval_to_json, vote_to_json
from evercell.core.errors import Damaged, JournalBroken, RowDamaged, RunNotFound, VersionCollected
from evercell.core.found import Found
from evercell.core.records import Attempt, Checkpoint, EventKind, Run
from evercell.core.statuses import AttemptStatus
from evercell.engine.approvals.deciding import waiting_for
from evercell.engine.approvals.forms import values_of
from evercell.engine.leasing import has_live_session
from evercell.engine.magic_lines import first_line
from evercell.engine.standing import Standing, standing_of, standings_of
from evercell.engine.visible_checkpoints import DamagedCheckpoint, visible_checkpoints
from evercell.engine.workspace import Workspace

INHERITED = "inherited"
"""The status of a step that completed before the run branched off."""


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as a listing shows it."""

    run: Run
    standing: Standing
    depth: int = 0
    """Branches below a run, and what it started, stand one deeper than it."""
    started_by: str | None = None
    """Id of the run that started it, None where no run did."""

    def as_json(self) -> dict[str, object]:
        """For ``--json``. ``status`` is the stored one, ``standing`` what people read."""
        run = self.run
        return {
            "id": run.id,
            "name": run.name,
            "notebook": run.notebook,
            "status": str(run.status),
            "standing": str(self.standing),
            "kernel": str(self.standing.kernel),
            "is_abandoned": self.standing.is_abandoned,
            "parent": run.parent,
            "started_by": self.started_by,
            "branch_point": run.branch_point,
            "head": run.head,
            "params": dict(run.params),
            "created_at": run.created_at.isoformat(),
            "updated_at": run.updated_at.isoformat(),
            "created_by": run.created_by,
            "archived_at": run.archived_at.isoformat() if run.archived_at else None,
            "key": run.run_key,
        }


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step as a listing shows it."""

    name: str
    status: str
    """That of its last attempt, or `INHERITED`."""
    attempts: int
    versions: int
    """How often it executed to its end: ``NAME@1`` … ``NAME@versions``. Replays add none."""
    seconds: float | None
    completed_at: datetime | None
    checkpoint: str | None
    first_line: str = ""
    """Of its source, without the header that names it."""

    @property
    def is_completed(self) -> bool:
        """Whether it is done, as far as the run came: here, or before the run branched off."""
        return self.status in (AttemptStatus.COMPLETED, INHERITED)

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
            "first_line": self.first_line,
        }


@dataclass(frozen=True, slots=True)
class ApprovalRow:
    """An approval as a listing shows it."""

    approval: Approval
    run_name: str
    """With those of the runs above it: ``research/clean``."""

    def as_json(self) -> dict[str, object]:
        """For ``--json``. ``values`` are the form's: those decided on, and the proposed ones until then."""
        decision = self.approval.decision
        return {
            **approval_to_json(self.approval, self.run_name),
            "values": values_of(self.approval),
            "decision": None
            if decision is None
            else {**vote_to_json(decision), "at": decision.at.isoformat()},
        }


def list_approvals(workspace: Workspace, *, decided: bool = False) -> Found[ApprovalRow]:
    """What waits for somebody, of all runs, the oldest first; ``decided``: and what was decided already."""
    pending = waiting_for(workspace)  # first: it decides those whose time has passed
    found = workspace.store.approvals.all() if decided else pending
    names = {run_id: _run_name(workspace, run_id) for run_id in {a.run_id for a in found}}
    rows = [ApprovalRow(approval, names[approval.run_id]) for approval in found]
    return Found([*rows, *found.damaged])


def _run_name(workspace: Workspace, run_id: str) -> str:
    """The run's name, behind those of the runs that started it; its id where its row cannot be read."""
    try:
        return path_of(workspace, run_id)
    except (RowDamaged, RunNotFound):
        return run_id


def path_of(workspace: Workspace, run_id: str) -> str:
    """A run's name behind those of the runs above it, that started it: ``research/clean``."""
    line = workspace.store.children.line(run_id)
    return "/".join(run.name for run in reversed(line)) or workspace.store.runs.find(run_id).name


def list_runs(
    workspace: Workspace, *, notebook: str | None = None, limit: int | None = None, archived: bool = False
) -> Found[RunRow]:
    """Runs, newest first; ``archived``: those that were archived, too."""
    runs = workspace.store.runs.all(notebook=notebook, limit=limit, archived=archived)
    above = workspace.store.children.parents() if runs else {}
    rows = [
        RunRow(run, standing, started_by=above.get(run.id))
        for run, standing in zip(runs, standings_of(workspace, runs), strict=True)
    ]
    return Found([*rows, *runs.damaged])


def run_row(workspace: Workspace, run: Run) -> RunRow:
    """One run as it stands now."""
    child = workspace.store.children.of_run(run.id)
    return RunRow(run, standing_of(workspace, run), started_by=child.parent_id if child else None)


def run_tree(rows: Found[RunRow]) -> Found[RunRow]:
    """The same rows with every branch below the run that it came from, and every child below what started it."""
    below: dict[str | None, list[RunRow]] = {}
    listed = {row.run.id for row in rows}
    for row in rows:
        above = (one for one in (row.run.parent, row.started_by) if one in listed)
        below.setdefault(next(above, None), []).append(row)
    ordered: list[RunRow] = []
    waiting = [(row, 0) for row in reversed(below.get(None, []))]
    while waiting:
        row, depth = waiting.pop()
        ordered.append(replace(row, depth=depth))
        waiting += [(child, depth + 1) for child in reversed(below.get(row.run.id, []))]
    return Found([*ordered, *rows.damaged])


def list_steps(workspace: Workspace, run: Run, attempted: Found[Attempt] | None = None) -> Found[StepRow]:
    """The steps of a run in order of their first execution, inherited ones first.

    ``attempted``: its attempts, where they are read already.
    """
    is_attended = has_live_session(workspace, run.id)
    attempts: dict[str, list[Attempt]] = {}
    if attempted is None:
        attempted = workspace.store.steps.attempts(run.id)
    for attempt in attempted:
        attempts.setdefault(attempt.step, []).append(attempt)
    versions: dict[str, list[Checkpoint | DamagedCheckpoint]] = {}
    completed = visible_checkpoints(workspace.store, run, workspace.known_signer)
    for checkpoint in completed:
        if checkpoint.is_execution and checkpoint.step is not None:
            versions.setdefault(checkpoint.step, []).append(checkpoint)
    names = dict.fromkeys([*versions, *attempts])
    lines = _first_lines(workspace, run, versions, attempts.keys() - versions.keys())
    rows = [
        _step_row(
            name, attempts.get(name, []), versions.get(name, []), lines.get(name, ""), is_attended=is_attended
        )
        for name in names
    ]
    damaged = [
        found.error
        for found in completed
        if isinstance(found, DamagedCheckpoint) and not isinstance(found.error, VersionCollected)
    ]
    return Found([*rows, *attempted.damaged, *damaged, *_broken_end(workspace, run)])


def _broken_end(workspace: Workspace, run: Run) -> list[Damaged]:
    """What is wrong with the end of a run's journal; more of it is for a resume to look at."""
    try:
        workspace.store.journal.require_end(run.id)
    except (JournalBroken, RowDamaged) as error:
        return [error]
    return []


def _first_lines(
    workspace: Workspace,
    run: Run,
    versions: Mapping[str, list[Checkpoint | DamagedCheckpoint]],
    begun: Set[str],
) -> dict[str, str]:
    """By step, the first line of its newest version; of those that only ``begun`` what the journal says."""
    whole = {step: [v for v in found if isinstance(v, Checkpoint)] for step, found in versions.items()}
    newest = {step: found[-1].id for step, found in whole.items() if found}
    sources = workspace.store.checkpoints.beginnings(list(newest.values()))
    lines = {step: first_line(sources.get(checkpoint, "")) for step, checkpoint in newest.items()}
    if begun:
        for event in workspace.store.journal.events(run.id):
            if event.kind is EventKind.ATTEMPT_STARTED and event.data.get("step") in begun:
                lines[str(event.data["step"])] = str(event.data.get("line", ""))
    return lines


def _step_row(
    name: str,
    attempts: list[Attempt],
    versions: list[Checkpoint | DamagedCheckpoint],
    line: str,
    *,
    is_attended: bool,
) -> StepRow:
    """Those of its versions that are damaged count, and are not its newest."""
    newest = next((v for v in reversed(versions) if isinstance(v, Checkpoint)), None)
    return StepRow(
        name=name,
        status=_step_status(attempts[-1], is_attended=is_attended) if attempts else INHERITED,
        attempts=len(attempts),
        versions=len(versions),
        seconds=newest.seconds if newest else None,
        completed_at=newest.created_at if newest else None,
        checkpoint=newest.id if newest else None,
        first_line=line,
    )


def _step_status(last: Attempt, *, is_attended: bool) -> str:
    """Its last attempt's. One whose kernel died is stored as running until somebody takes the run on."""
    if last.status is AttemptStatus.RUNNING and not is_attended:
        return str(AttemptStatus.INTERRUPTED)
    return str(last.status)
