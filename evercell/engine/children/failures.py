"""A child that did not complete, in words: where it failed, why, and what to do."""

from __future__ import annotations

from pathlib import Path

from evercell.core.errors import ChildFailed
from evercell.core.records import Attempt, EventKind, Run
from evercell.core.statuses import RunStatus
from evercell.core.text import as_word
from evercell.engine.missions.launching import is_closed
from evercell.engine.workspace import Workspace


def child_failed(workspace: Workspace, run: Run) -> ChildFailed:
    """The error for a run that ended without completing."""
    notebook = Path(run.notebook).name if run.notebook else "without a notebook"
    what = f"Run {run.name} ({notebook})"
    if run.status is RunStatus.CANCELLED:
        return ChildFailed(
            f"{what} was cancelled{_reason(workspace, run)}.",
            hint=f"`evercell show {as_word(run.name)}` says how far it came. To start another one: "
            "%%step STEP --rerun.",
        )
    failed = _last_failure(workspace, run)
    where = f" at step {failed.step}: {_error(failed)}" if failed is not None else _reason(workspace, run)
    if is_closed(workspace, run):
        return ChildFailed(
            f"{what} failed{where}. It was a mission, which is closed by that.",
            hint=f"`evercell mission {as_word(run.name)}` says how far it came. To launch another one: "
            "%%step STEP --rerun.",
        )
    return ChildFailed(
        f"{what} failed{where}.",
        hint=f"`evercell show {as_word(run.name)}` says more. Mend {run.notebook}, and run this cell again: that run "
        "goes on at the step that failed.",
    )


def _last_failure(workspace: Workspace, run: Run) -> Attempt | None:
    attempts = [a for a in workspace.store.steps.attempts(run.id) if a.error is not None]
    return max(attempts, key=lambda a: (a.started_at, a.number), default=None)


def _error(attempt: Attempt) -> str:
    assert attempt.error is not None
    return f"{attempt.error.ename}: {attempt.error.evalue}".rstrip(".")


def _reason(workspace: Workspace, run: Run) -> str:
    for event in workspace.store.journal.newest(run.id, (EventKind.RUN_STATUS,)):
        reason = str(event.data.get("reason") or "")
        return f": {reason}" if reason else ""
    return ""
