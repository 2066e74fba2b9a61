"""Undoing what children did, each in its place among the calls of the run that started it."""

from __future__ import annotations

import subprocess
from typing import Any

from evercell.core.errors import UsageError
from evercell.core.records import Run
from evercell.core.run_process import command_of
from evercell.core.statuses import RunStatus
from evercell.engine.calls.ownership import require_scope
from evercell.engine.children.hosting import HOST, environ_of
from evercell.engine.workspace import Workspace

_KEPT = "keep"


def undo_child(outcome: Any, *_: Any, **__: Any) -> None:
    """The undo of `run_notebook` and `start_notebook`: all that the run did is undone, and it is cancelled."""
    undo_run(require_scope("run_notebook").step.workspace, outcome.run_id)


def undo_run(workspace: Workspace, run_id: str) -> None:
    """In a process of its own, for it needs a kernel: undo a run that another one started, unless it is to be kept."""
    child = workspace.store.children.of_run(run_id)
    if child is None or child.call.on_close == _KEPT:
        return
    done = subprocess.run(  # noqa: S603  this Python and a module of ours
        command_of(HOST, run_id, "undo"),
        env=environ_of(workspace),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UsageError(
            f"What run {run_id} did could not be undone: {done.stderr.strip() or done.stdout.strip()}",
            hint=f"Mend that, and try again. Alone: evercell cancel {run_id} --undo",
        )


def unfinished_children(workspace: Workspace, run_id: str) -> list[Run]:
    """Those that did not complete, the newest first: they did what they did after all that is recorded of others."""
    store = workspace.store
    found = [store.runs.find(child.run_id) for child in store.children.of_parent(run_id)]
    return [run for run in reversed(found) if run.status is not RunStatus.COMPLETED]
