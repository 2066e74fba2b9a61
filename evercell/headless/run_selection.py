"""Which run an execution goes on with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.holder import this_user
from evercell.engine.leasing import foreign_lease
from evercell.engine.workspace import Workspace

_DONE = (RunStatus.COMPLETED, RunStatus.CANCELLED)


def select_run(workspace: Workspace, papermill: Any, *, wanted: str | None = None) -> Run:
    """The run named by ``wanted`` (or ``$EVERCELL_RUN``), an unfinished one of the same work, or a new one.

    The same work is: same input notebook, same output notebook, same parameters. ``new`` asks for a
    new run in any case. ``papermill`` is the notebook's papermill metadata.
    """
    wanted = wanted or os.environ.get("EVERCELL_RUN")
    if wanted and wanted != "new":
        return workspace.store.runs.find(wanted)
    notebook, output = _absolute(papermill.get("input_path")), _absolute(papermill.get("output_path"))
    params = dict(papermill.get("parameters") or {})
    if wanted != "new" and notebook is not None:
        for run in workspace.store.runs.all(notebook=notebook):
            if run.output != output or dict(run.params) != params:
                continue
            if run.status not in _DONE and foreign_lease(workspace, run.id) is None:
                return run
            break
    return workspace.store.runs.create(
        NewRun(
            notebook=notebook,
            output=output,
            params=params,
            created_by=this_user(),
            status=RunStatus.QUEUED,
        )
    )


def _absolute(path: Any) -> str | None:
    if not path:
        return None
    return str(path) if "://" in str(path) else str(Path(str(path)).absolute())
