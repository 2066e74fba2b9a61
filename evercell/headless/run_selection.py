"""Which run an execution by papermill goes on with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evercell.core.errors import UnderWay
from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.claiming import (
    Claim,
    check_same_params,
    claim_by_key,
    claim_new,
    claim_work,
    require_key,
)
from evercell.engine.holder import this_user
from evercell.engine.missions.launching import mission_from, require_same
from evercell.engine.workspace import Workspace
from evercell.headless.kernels import kernel_of
from evercell.headless.living_kernel import adopt, claim_or_adopt


def claim_selected(
    workspace: Workspace,
    papermill: Any,
    *,
    wanted: str | None = None,
    run_key: str | None = None,
    mission: str | Path | None = None,
) -> Claim | Run:
    """The run of a key (or ``$EVERCELL_RUN_KEY``), the one named by ``wanted`` (or ``$EVERCELL_RUN``), an unfinished
    one of the same work, or a new one. A kernel whose runner has died is taken over with its run.

    The same work is: same input notebook, same output notebook, same parameters. ``new`` asks for a new run in any
    case. A run that is made is launched as the ``mission`` of that file (or of ``$EVERCELL_MISSION``); one that is
    there has to be that. ``papermill`` is the notebook's papermill metadata. Without a claim where the run of the key
    is over. Raises `UnderWay`, `ParametersDiffer`, `RunKeyTaken`, `UsageError`.
    """
    wanted = wanted or os.environ.get("EVERCELL_RUN")
    run_key = run_key or os.environ.get("EVERCELL_RUN_KEY")
    mission = mission or os.environ.get("EVERCELL_MISSION")
    new = NewRun(
        notebook=absolute(papermill.get("input_path")),
        output=absolute(papermill.get("output_path")),
        params=dict(papermill.get("parameters") or {}),
        created_by=this_user(),
        status=RunStatus.QUEUED,
        run_key=require_key(run_key) if run_key else None,
        mission=mission_from(workspace, Path(mission)) if mission else None,
    )
    if new.run_key is not None:
        return claim_keyed(workspace, new)
    if wanted and wanted != "new":
        run = workspace.store.runs.find(wanted)
        check_same_params(run, new.params)
        require_same(run, workspace.store.missions.get(run.id), new.mission)
        return claim_or_adopt(workspace, run)
    if wanted == "new":
        return claim_new(workspace, new)
    try:
        return claim_work(workspace, new, goes_on=True)
    except UnderWay as error:
        if (adopted := _adopted(workspace, error)) is not None:
            return adopted
        hint = error.hint.rstrip(".") + ", or set EVERCELL_RUN=new."
        raise UnderWay(error.what, hint=hint) from None


def claim_keyed(workspace: Workspace, new: NewRun) -> Claim | Run:
    """As `claim_by_key`; a kernel whose runner has died is taken over with its run."""
    try:
        return claim_by_key(workspace, new)
    except UnderWay as error:
        if (adopted := _adopted(workspace, error)) is not None:
            return adopted
        raise


def _adopted(workspace: Workspace, error: UnderWay) -> Claim | None:
    return adopt(workspace, workspace.store.runs.find(error.run_id)) if error.run_id else None


def remember_kernel(workspace: Workspace, run: Run, notebook: Any, kernel_name: str) -> None:
    """Have ``evercell resume`` take the kernel that papermill was told to take."""
    if kernel_name != (workspace.store.runs.chosen_kernel(run) or kernel_of(notebook)[0]):
        workspace.store.runs.choose_kernel(run.id, kernel_name)


def absolute(path: Any) -> str | None:
    """By which one file is the same to all commands; addresses stay as they are."""
    if not path:
        return None
    return str(path) if "://" in str(path) else str(Path(str(path)).absolute())
