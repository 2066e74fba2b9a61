"""Branching from outside a kernel: a new ref into an old history."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.facts import require_signed
from evercell.engine.history import History, split_step_ref
from evercell.engine.holder import this_user
from evercell.engine.workspace import Workspace


def create_branch(
    workspace: Workspace,
    run: Run,
    *,
    step: str,
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    output: str | None = None,
) -> Run:
    """A queued run whose history begins at ``step`` (or ``step@2``) of ``run``; nothing is copied.

    ``params`` replace the run's own by name. Without ``output`` its notebook goes beside the run's,
    named after the branch. Raises `StepNotFound`, `RunNameTaken`.
    """
    store, signer = workspace.store, workspace.known_signer
    point = History(store, run, signer).version(*split_step_ref(step))
    if signer is not None:
        require_signed(store.checkpoints.get(point), signer, store.store_id)
    child = store.runs.create(
        NewRun(
            notebook=run.notebook,
            name=name,
            output=output,
            params={**run.params, **(params or {})},
            created_by=this_user(),
            status=RunStatus.QUEUED,
            parent=run.id,
            branch_point=point,
            notebook_id=run.notebook_id,
        )
    )
    if output is None and run.notebook is not None:
        notebook = Path(run.notebook)
        beside = notebook.with_name(f"{notebook.stem}.{child.name}.ipynb")
        child = store.runs.update(child.id, output=str(beside))
    return child
