"""Branching from outside a kernel: a new ref into an old history."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.facts import require_signed
from evercell.engine.holder import this_user
from evercell.engine.places import place_in
from evercell.engine.workspace import Workspace

_LONGEST_FILE_NAME = 255
"""Bytes that a file system takes."""


def create_branch(
    workspace: Workspace,
    run: Run,
    *,
    step: str,
    name: str | None = None,
    params: Mapping[str, Any] | None = None,
    output: str | None = None,
) -> Run:
    """A queued run whose history begins at ``step`` (``step@2``, ``step~1``, a tag) of ``run``; nothing is copied.

    ``params`` replace the run's own by name. Without ``output`` its notebook goes beside the run's,
    named after the branch. Raises `StepNotFound`, `RunNameTaken`.
    """
    point = place_in(workspace, run, step)
    new = replace(branch_of(run, point), name=name, output=output, params={**run.params, **(params or {})})
    return create_at(workspace, new)


def branch_of(run: Run, point: str | None) -> NewRun:
    """What a queued branch of a run is made from, whose history begins at a checkpoint, or (None) before the first."""
    return NewRun(
        notebook=run.notebook,
        params=dict(run.params),
        created_by=this_user(),
        status=RunStatus.QUEUED,
        parent=run.id,
        branch_point=point,
        notebook_id=run.notebook_id,
    )


def create_at(workspace: Workspace, new: NewRun) -> Run:
    """Commit a branch; without an output of its own it goes beside its notebook. Raises `Tampered`, `RunNameTaken`."""
    store, signer = workspace.store, workspace.known_signer
    if signer is not None and new.branch_point is not None:
        require_signed(store.checkpoints.get(new.branch_point), signer, store.store_id)
    child = store.runs.create(new)
    if new.output is None and new.notebook is not None:
        notebook = Path(new.notebook)
        beside = notebook.with_name(f"{notebook.stem}.{child.name}.ipynb")
        if len(os.fsencode(beside.name)) > _LONGEST_FILE_NAME:
            beside = notebook.with_name(f"{child.id}.ipynb")
        child = store.runs.update(child.id, output=str(beside))
    return child
