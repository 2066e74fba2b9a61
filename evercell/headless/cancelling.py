"""Cancelling a run from outside of a notebook; undoing needs a kernel, for what undoes lives in the notebook."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_client.manager import KernelManager

from evercell.core.errors import KernelDied, NotebookError, UsageError
from evercell.core.records import Run, RunRequest
from evercell.core.statuses import CANCEL, ENDED, RunStatus
from evercell.engine.holder import this_user
from evercell.engine.leasing import foreign_lease, lease_held_error, take_lease
from evercell.engine.workspace import Workspace
from evercell.headless.kernels import PYTHON, kernel_of, reach_through_sockets, remote_call, require_kernel
from evercell.headless.notebook_file import read_notebook

_UNDO_TIMEOUT = 600
"""Seconds that one cell of the undoing may take."""

_KERNEL_START_TIMEOUT = 60
_SESSION_END_TIMEOUT = 30
"""Seconds that the session of a run has to leave it when it is cancelled."""


def cancel_run(workspace: Workspace, run_ref: str, *, undo: bool, store_url: str) -> list[str]:
    """Cancel a run; with ``undo`` its calls are undone first, in a kernel that resumes it.

    A living session on the run is interrupted and leaves it. So are those on what it started, and on what that started,
    unless it is to be kept. Returns what there is to report, line by line. Raises `LeaseHeld` where a session does not
    end.
    """
    run = workspace.store.runs.find(run_ref)
    below = [child for child in workspace.store.children.below(run.id) if child.status not in ENDED]
    if run.status is not RunStatus.COMPLETED:
        workspace.store.children.cancel_below(run.id, by=this_user())
    if foreign_lease(workspace, run.id):
        _end_session(workspace, run)
    ended = _wait_for_children(workspace, below)
    if undo:
        return _undo_in_a_kernel(run, _kernel_name(workspace, run), store_url)
    held = take_lease(workspace, run.id)
    try:
        workspace.store.runs.set_status(held.lease, run.id, RunStatus.CANCELLED)
    finally:
        held.release()
    return [*ended, f"run {run.name} is cancelled"]


def _wait_for_children(workspace: Workspace, below: Sequence[Run]) -> list[str]:
    """Until those that were asked to end did, the lowest first; what there is to report of them."""
    store, lines = workspace.store, []
    for child in reversed(below):
        request = store.runs.request(child.id)
        if request is not None and request.what == CANCEL:
            _wait_for_end(workspace, child)
            store.children.settle_cancelled(child.id)
        if store.runs.find(child.id).status is RunStatus.CANCELLED:
            lines.append(f"run {child.name} is cancelled")
    return lines


def _end_session(workspace: Workspace, run: Run) -> None:
    """Ask the session on a run to end, and wait until it did."""
    request = RunRequest(CANCEL, this_user(), workspace.clock().isoformat())
    workspace.store.runs.set_request(run.id, request)
    try:
        _wait_for_end(workspace, run)
    finally:
        workspace.store.runs.set_request(run.id, None)


def _wait_for_end(workspace: Workspace, run: Run) -> None:
    end = time.monotonic() + _SESSION_END_TIMEOUT
    while other := foreign_lease(workspace, run.id):
        if time.monotonic() > end:
            raise lease_held_error(run.name, other)
        time.sleep(0.1)


def _kernel_name(workspace: Workspace, run: Run) -> str:
    """The kernel that the run is executed in; Python's, where its notebook is gone."""
    name = workspace.store.runs.chosen_kernel(run)
    if name is None and run.notebook is not None:
        with suppress(NotebookError):
            name = kernel_of(read_notebook(Path(run.notebook)))[0]
    require_kernel(name or PYTHON)
    return name or PYTHON


def _undo_in_a_kernel(run: Run, kernel_name: str, store_url: str) -> list[str]:
    folder = Path(run.notebook).parent if run.notebook else Path.cwd()
    environ = {**os.environ, "EVERCELL_STORE": store_url}
    manager = reach_through_sockets(KernelManager(kernel_name=kernel_name))
    manager.start_kernel(cwd=str(folder if folder.is_dir() else Path.cwd()), env=environ)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=_KERNEL_START_TIMEOUT)
        cells = (remote_call("attach_run", run.id), "%resume", "%abandon --undo")
        return [line for cell in cells for line in _execute(client, cell)]
    except RuntimeError as error:
        raise KernelDied(f"No kernel to undo run {run.name} in: {error}", hint="Try again.") from error
    finally:
        client.stop_channels()
        manager.shutdown_kernel()


def _execute(client: Any, cell: str) -> list[str]:
    """Execute a cell and return the lines that it printed."""
    printed: list[str] = []

    def collect(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "stream":
            printed.append(str(content["text"]))
        elif message["msg_type"] == "display_data":
            printed.append(f"{content['data'].get('text/plain', '')}\n")

    try:
        reply = client.execute_interactive(cell, output_hook=collect, timeout=_UNDO_TIMEOUT)
    except TimeoutError as error:
        raise KernelDied(f"No answer to {cell} within {_UNDO_TIMEOUT} s.", hint="Undo it by hand.") from error
    content = reply["content"]
    if content["status"] != "ok":
        raise UsageError(
            f"{cell} failed, so the run is as it was: {content.get('ename')}: {content.get('evalue', '')}",
            hint="Mend that, and try again.",
        )
    return "".join(printed).strip().splitlines()
