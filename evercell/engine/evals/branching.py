"""The branch that a gate leaves behind: from the last completed step, before the one that drifted."""

from __future__ import annotations

from dataclasses import replace

from evercell.core.records import Run
from evercell.engine.branching import branch_of, create_at
from evercell.engine.workspace import Workspace


def leave_branch(workspace: Workspace, run_id: str, place: str) -> Run:
    """Commit a branch that nobody executes by itself; one for each place in a run, however often it is asked."""
    run = workspace.store.runs.find(run_id)
    return create_at(workspace, replace(branch_of(run, run.head), run_key=f"gate:{run_id}/{place}"))
