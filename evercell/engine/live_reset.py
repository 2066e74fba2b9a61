"""Reset in a live notebook: this kernel goes on from before a step, in a branch of its own. What was stays."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from evercell.core.errors import EvercellError
from evercell.core.records import Run
from evercell.engine.holder import this_user
from evercell.engine.moving import Arrival, SetupRunner, checkout, keep_memory
from evercell.engine.moving import branch as branch_off
from evercell.engine.places import find_place
from evercell.engine.resetting import plan_reset
from evercell.engine.session import Session


def origin_of_reset(session: Session, ref: str, run_ref: str | None) -> tuple[Run, str]:
    """The run that a reset is of, and the step in it: ``run_ref``, that of a place, or else the notebook's own."""
    if run_ref is not None:
        return session.store.runs.find(run_ref), ref
    run = session.require_run()
    with suppress(EvercellError):  # (a step that only failed is no place)
        place = find_place(session.workspace, ref, session, own_first=True)
        if place.named is not None and place.checkpoint is not None and place.run.id != run.id:
            return place.run, place.checkpoint
    return run, ref


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
