"""Reset in a live notebook: this kernel goes on from before a step, in a branch of its own. What was stays."""

from __future__ import annotations

from dataclasses import replace

from evercell.core.records import Run
from evercell.engine.holder import this_user
from evercell.engine.moving import Arrival, SetupRunner, checkout, keep_memory
from evercell.engine.moving import branch as branch_off
from evercell.engine.resetting import plan_reset
from evercell.engine.session import Session


def reset(session: Session, run_setup: SetupRunner, run: Run, step: str, *, name: str | None) -> Arrival:
    """Begin a branch of a run before its step (``STEP``, ``STEP@2``, one that only failed), with the state of there.

    Before the first step there is no state: memory stays as it is. Raises `StepNotFound`, `RunNameTaken`.
    """
    point = plan_reset(session.workspace, run, step).point
    if point is not None:
        return branch_off(session, run_setup, step=f"{run.id}@{point}", name=name)
    kept = keep_memory(session)
    new = session.notebook.new_run(this_user())
    child = session.store.runs.create(
        replace(new, notebook=new.notebook or run.notebook, name=name, params=run.params, parent=run.id)
    )
    return replace(checkout(session, child.id, run_setup), kept=kept)
