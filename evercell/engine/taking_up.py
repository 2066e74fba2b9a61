"""What was put aside while the store was away comes into the run."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from evercell.core.clock import local_text
from evercell.core.errors import StateError, StepNotFound, StoreError
from evercell.core.faults import reach
from evercell.core.records import Checkpoint, Lease
from evercell.engine.aside import Aside, asides_of, read_aside, write_aside
from evercell.engine.facts import seal_of
from evercell.engine.workspace import Workspace

_SUPERSEDED = ".superseded"


def put_aside(workspace: Workspace, aside: Aside) -> Aside:
    """Keep a completed step in a file of its own, or where none can be written, in memory."""
    for folder in workspace.settings.aside_folders:
        with suppress(OSError):
            return replace(aside, path=write_aside(aside, folder, workspace.signer))
    return aside


def take_up(workspace: Workspace, lease: Lease, aside: Aside) -> Checkpoint:
    """Commit what was put aside, once, and forget its file. Raises `StoreError`, `LeaseLost`."""
    seal = partial(seal_of, signer=workspace.signer)
    checkpoint = workspace.store.steps.complete(
        lease, aside.attempt, aside.draft, calls=aside.calls, may_be_there=True, seal=seal
    )
    reach("after_taking_up")
    if aside.path is not None:
        aside.path.unlink(missing_ok=True)
    return checkpoint


def take_up_left(workspace: Workspace, lease: Lease, tell: Callable[[str], None]) -> None:
    """Commit what an earlier session of this run on this machine had put aside. Raises `StoreError`."""
    for path in asides_of(lease.run_id, workspace.settings.aside_folders):
        try:
            aside = read_aside(path, workspace.signer)
        except StateError as error:
            tell(str(error))
            continue
        if _is_next(workspace, aside):
            take_up(workspace, lease, aside)
            tell(
                f"step {aside.draft.step} had completed at {local_text(aside.completed_at)} while the store was away; "
                "it is in the run now"
            )
        else:
            _supersede(path, aside, tell)


def _is_next(workspace: Workspace, aside: Aside) -> bool:
    """Whether the run stands where the step began, or has it already: an answer of the store may have been lost."""
    if workspace.store.runs.find(aside.run_id).head == aside.draft.parent:
        return True
    with suppress(StepNotFound):
        return workspace.store.checkpoints.get(aside.draft.id).run_id == aside.run_id
    return False


def _supersede(path: Path, aside: Aside, tell: Callable[[str], None]) -> None:
    left = path.with_name(path.name + _SUPERSEDED)
    path.rename(left)
    tell(
        f"step {aside.draft.step} had completed at {local_text(aside.completed_at)} while the store was away, but the "
        f"run has gone on without it since; what it made is in {left}, which you may remove"
    )


def explain_aside(aside: Aside, error: StoreError) -> str:
    """What a user is told of a step that the store could not take."""
    where = f"in {aside.path}" if aside.path is not None else "in this kernel's memory only (do not end it)"
    what = "what changed after it could not be stored" if aside.draft.late else "the store could not take it"
    return (
        f"step {aside.draft.step} completed, but {what}: {error.what} It is kept {where} and comes into the run with "
        "its next step"
    )
