"""What people call runs and places in them, and which runs they want to see no more."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.core.errors import StepNotFound
from evercell.core.found import Found
from evercell.core.records import Run, Tag
from evercell.engine.holder import is_gone, this_user
from evercell.engine.leasing import is_live, lease_held_error
from evercell.engine.places import find_place
from evercell.engine.session import Session
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class TagRow:
    """A tag as a listing shows it."""

    tag: Tag
    run_name: str
    step: str
    """Empty where the checkpoint cannot be read."""

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "name": self.tag.name,
            "run": self.run_name,
            "step": self.step,
            "checkpoint": self.tag.checkpoint_id,
            "created_at": self.tag.created_at.isoformat(),
            "created_by": self.tag.created_by,
        }


@dataclass(frozen=True, slots=True)
class Deletion:
    """What goes with a run, and what stays."""

    run: Run
    steps: int
    """Versions of steps that it made itself."""
    branches: tuple[str, ...]
    """Names of runs that begin in it: they keep all that they see."""
    tags: tuple[str, ...]


def list_tags(workspace: Workspace) -> Found[TagRow]:
    """All tags by name."""
    store = workspace.store
    found = store.references.tags()
    steps = store.checkpoints.steps_of([tag.checkpoint_id for tag in found])
    names = {run.id: run.name for run in store.runs.all()}
    rows = [
        TagRow(tag, names.get(tag.run_id, tag.run_id), steps.get(tag.checkpoint_id, ("", 0))[0])
        for tag in found
    ]
    return Found([*rows, *found.damaged])


def tag_place(
    workspace: Workspace, ref: str, name: str, *, move: bool = False, session: Session | None = None
) -> TagRow:
    """Give a place (`find_place`) a name that stays. Raises `StepNotFound` where no step completed there."""
    place = find_place(workspace, ref, session, own_first=True)
    store, run, point = workspace.store, place.run, place.checkpoint
    if point is None:
        raise StepNotFound(
            f"No step of run {run.name} completed yet, so there is nothing to name.",
            hint="Run a step in it first.",
        )
    tag = store.references.put_tag(name, run.id, point, by=this_user(), move=move)
    step = store.checkpoints.steps_of([point]).get(point, ("", 0))[0]
    return TagRow(tag, run.name, step)


def archive_run(workspace: Workspace, ref: str, *, undo: bool = False) -> Run:
    """Leave a run out of lists; ``undo``: show it in them again. Everything else stays as it is."""
    store = workspace.store
    return store.references.set_archived(store.runs.find(ref).id, is_archived=not undo)


def rename_run(workspace: Workspace, ref: str, name: str) -> tuple[Run, Run]:
    """Call a run otherwise; returns it as it was, and as it is. Its notebook, steps and branches stay its own."""
    run = workspace.store.runs.find(ref)
    return run, workspace.store.references.rename(run.id, name)


def foresee_deletion(workspace: Workspace, ref: str) -> Deletion:
    """What would go with a run. Raises `LeaseHeld` where a kernel that lives is on it."""
    store = workspace.store
    run = store.runs.find(ref)
    _refuse_held(workspace, run)
    branches = tuple(other.name for other in store.runs.all() if other.parent == run.id)
    tags = tuple(tag.name for tag in store.references.tags(run_id=run.id))
    return Deletion(run, len(store.checkpoints.counts([run.id]).get(run.id, [])), branches, tags)


def delete_run(workspace: Workspace, run: Run, *, with_tags: bool = False) -> None:
    """Take a run away: nobody finds it any more, and ``evercell gc`` frees what no other run sees.

    Raises `LeaseHeld` where a kernel that lives is on it.
    """
    held = _refuse_held(workspace, run)
    workspace.store.references.delete(run.id, by=this_user(), dead=held, with_tags=with_tags)


def _refuse_held(workspace: Workspace, run: Run) -> int | None:
    """Raise `LeaseHeld` for a run that somebody writes to; returns the token of a holder who has died."""
    held = workspace.store.leases.get(run.id)
    if held is None:
        return None
    if is_live(workspace, held):
        error = lease_held_error(run.name, held)
        error.hint = (
            "Shut that kernel down, or let it go on elsewhere (%evercell new there); then delete the run."
        )
        raise error
    return held.token if is_gone(held.holder) else None
