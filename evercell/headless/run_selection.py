"""Which run an execution by papermill goes on with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evercell.core.errors import UnderWay
from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.claiming import Claim, claim_new, claim_run, claim_work
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace
from evercell.headless.kernels import kernel_of


def claim_selected(workspace: Workspace, papermill: Any, *, wanted: str | None = None) -> Claim:
    """The run named by ``wanted`` (or ``$EVERCELL_RUN``), an unfinished one of the same work, or a new one.

    The same work is: same input notebook, same output notebook, same parameters. ``new`` asks for a
    new run in any case. ``papermill`` is the notebook's papermill metadata. Raises `UnderWay`.
    """
    wanted = wanted or os.environ.get("EVERCELL_RUN")
    if wanted and wanted != "new":
        return claim_run(workspace, workspace.store.runs.find(wanted))
    new = NewRun(
        notebook=absolute(papermill.get("input_path")),
        output=absolute(papermill.get("output_path")),
        params=dict(papermill.get("parameters") or {}),
        created_by=this_user(),
        status=RunStatus.QUEUED,
    )
    if wanted == "new":
        return claim_new(workspace, new)
    try:
        return claim_work(workspace, new, goes_on=True)
    except UnderWay as error:
        hint = error.hint.rstrip(".") + ", or set EVERCELL_RUN=new."
        raise UnderWay(error.what, hint=hint) from None


def remember_kernel(workspace: Workspace, run: Run, notebook: Any, kernel_name: str) -> None:
    """Have ``evercell resume`` take the kernel that papermill was told to take."""
    if kernel_name != (workspace.store.runs.chosen_kernel(run) or kernel_of(notebook)[0]):
        workspace.store.runs.choose_kernel(run.id, kernel_name)


def absolute(path: Any) -> str | None:
    """By which one file is the same to all commands; addresses stay as they are."""
    if not path:
        return None
    return str(path) if "://" in str(path) else str(Path(str(path)).absolute())
