"""``python -m evercell.headless.admitted RUN``: executes a run that a server admitted, and says what became of it.

The id of the run is all that it is told; what is to be done, and what came of it, is in the store.
"""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from evercell.core.errors import EvercellError, LeaseHeld, LeaseLost, RunNotFound, RunPaused, StoreError
from evercell.core.queueing import Queued
from evercell.core.statuses import ENDED, PAUSE, RunStatus
from evercell.core.text import one_line
from evercell.engine.claiming import Claim
from evercell.engine.holder import this_holder
from evercell.engine.patience import Patience, patient
from evercell.engine.queue_states import MOST_STARTS, pause_before
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.runner import claim_to_resume, execute_run

log = logging.getLogger("evercell.serve")

_HELD_PAUSE = timedelta(seconds=2)

_UNKNOWN_PAUSE = timedelta(seconds=60)
"""Between two looks at a run whose kernel did not say what it waits for: that of an older evercell."""


def execute_admitted(workspace: Workspace, run_id: str) -> str:
    """Execute a run, unless it is executed already or not admitted any more; returns what became of it, in a word.

    What keeps it from being executed at all is its failure, but for what may pass: that is tried again later.
    """
    entry = workspace.store.queue.find(run_id)
    if entry is None or entry.admitted_at is None:
        return "not admitted"
    try:
        claim = claim_to_resume(workspace, workspace.store.runs.find(run_id))
    except RunNotFound:
        workspace.store.queue.remove(run_id)
        return "not there"
    except RunPaused:
        workspace.store.queue.give_back(entry)
        return "paused"
    except LeaseHeld as held:
        return _held(workspace, entry, held)
    except StoreError:
        raise
    except EvercellError as error:
        return _cannot_start(workspace, entry, error)
    return _execute(workspace, claim)


def _execute(workspace: Workspace, claim: Claim) -> str:
    run_id, queue = claim.run.id, workspace.store.queue
    try:
        is_over = claim.run.status in (RunStatus.COMPLETED, RunStatus.CANCELLED)
        if is_over or not queue.begin(run_id, this_holder()):
            return "not admitted"
        report = execute_run(workspace, claim)
    except LeaseLost as lost:
        if (
            entry := _ours(workspace, run_id)
        ) is not None:  # whoever has the run is not of this store's servers
            again = workspace.store.leases.now() + _HELD_PAUSE
            queue.give_back(entry, ready_at=again, starts=entry.starts, problem=one_line(lost.what))
        return "taken over"
    except Exception as error:
        claim.give_back()
        if (entry := _ours(workspace, run_id)) is not None:
            came_to_nothing(workspace, entry, one_line(f"{type(error).__name__}: {error}"))
        raise
    finally:
        claim.give_back()
    if (entry := _ours(workspace, run_id)) is not None:
        _settle(workspace, entry, report.error)
    return str(report.run.status)


def _ours(workspace: Workspace, run_id: str) -> Queued | None:
    """The entry, while it is this process that executes it."""
    entry = workspace.store.queue.find(run_id)
    return entry if entry is not None and entry.admitted_at and entry.runner == this_holder() else None


def _settle(workspace: Workspace, entry: Queued, error: str | None) -> None:
    """Commit what the end of this process means for the queue. (If it cannot, a server finds out by itself.)"""
    queue = workspace.store.queue
    if entry.status in ENDED:
        queue.drop(entry)
    elif error and entry.asked != PAUSE:
        queue.drop(entry, status=RunStatus.FAILED, reason=one_line(error))
    elif entry.status is RunStatus.WAITING and not workspace.store.waits.of_run(entry.run_id):
        queue.give_back(entry, ready_at=workspace.store.leases.now() + _UNKNOWN_PAUSE)
    else:
        queue.give_back(entry)


def _held(workspace: Workspace, entry: Queued, error: LeaseHeld) -> str:
    """Another process has the run: the one that a server started before, or somebody's notebook."""
    if entry.runner is None or entry.runner == this_holder():
        again = workspace.store.leases.now() + _HELD_PAUSE
        workspace.store.queue.give_back(
            entry, ready_at=again, starts=entry.starts, problem=one_line(error.what)
        )
    return "held"


def _cannot_start(workspace: Workspace, entry: Queued, error: EvercellError) -> str:
    log.warning("evercell: run %s cannot be executed: %s", one_line(entry.name), error)
    workspace.store.queue.drop(entry, status=RunStatus.FAILED, reason=one_line(error.what))
    return "failed"


def came_to_nothing(workspace: Workspace, entry: Queued, why: str) -> bool:
    """Commit that whoever executed a run is gone, and that it is started again, or has failed after too many of these;
    says whether it is started again.
    """
    has_moved = entry.run_head != entry.head
    starts = 1 if has_moved else entry.starts + 1
    if starts >= MOST_STARTS:
        reason = f"started {starts} times without completing a step: {why}"
        workspace.store.queue.drop(entry, status=RunStatus.FAILED, reason=reason)
        return False
    pause = pause_before(starts)
    ready_at = workspace.store.leases.now() + timedelta(seconds=pause) if pause else None
    workspace.store.queue.give_back(entry, ready_at=ready_at, starts=starts, problem=why, keeps_runner=True)
    return True


def execute_here(run_id: str) -> str:
    """The same in the store that this process's settings, and the project of the run's notebook, name."""
    with (
        open_workspace(resolve_settings(folder=_folder_of(run_id)), create=False) as workspace,
        patient(workspace.store, Patience(workspace.settings.longest_outage, log.warning)),
    ):
        return execute_admitted(workspace, run_id)


def main() -> None:
    """The process."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    with suppress(KeyboardInterrupt):
        execute_here(sys.argv[1])


def _folder_of(run_id: str) -> Path | None:
    """Where its notebook lies, whose project may say more of the settings."""
    with open_workspace(resolve_settings(), create=False) as workspace, suppress(EvercellError):
        notebook = workspace.store.runs.find(run_id).notebook
        return Path(notebook).parent if notebook else None
    return None


if __name__ == "__main__":
    main()
