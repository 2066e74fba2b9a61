"""What plain cells left behind, committed before the next step begins: a kernel that dies in it loses none of it."""

from __future__ import annotations

from hashlib import sha256

from evercell.core.chunks import Blob
from evercell.core.errors import StoreError
from evercell.core.records import Checkpoint
from evercell.engine.commit import Completion, commit_checkpoint
from evercell.engine.session import Session
from evercell.state import cell_key
from evercell.store import Store

PLAIN_CELLS = ":cells"
"""In the place of a step's name: a checkpoint of what is between two steps. No step can have this name."""

_NO_CELL = sha256(PLAIN_CELLS.encode()).digest()
"""In the place of a source's digest: no source has it."""


def commit_before_step(session: Session) -> None:
    """Commit what is in memory and in no checkpoint of the run, before one of its steps begins.

    That is what plain cells did since the last step; before the first one of a run that begins with memory from
    elsewhere it is all of it, so that the run can go back there.
    """
    begins = session.position is None and session.require_run().head is None
    if session.namespace.has_uncommitted or (begins and session.namespace.has_variables):
        _commit(session)


def commit_plain_cells(session: Session) -> None:
    """Commit what cells that are no steps made and changed since the last step, if they did."""
    if session.namespace.has_uncommitted:
        _commit(session)


def _commit(session: Session) -> None:
    """Where the store is away nothing is said: the step that is about to begin waits for it. What could not be kept is
    named when that has completed.
    """
    if session.is_over:
        return
    completion = Completion(
        step=PLAIN_CELLS,
        slot=PLAIN_CELLS,
        key=cell_key(_NO_CELL, {}),
        source="",
        source_hash=_NO_CELL,
        inputs={},
        seconds=0.0,
        outputs=Blob(0),
        late=True,
    )
    try:
        _, missing = commit_checkpoint(session, completion, attempt=None)
    except StoreError:
        return
    session.losses.of_plain_cell(missing)


def step_before(store: Store, checkpoint_id: str | None) -> Checkpoint | None:
    """The checkpoint of the step that a checkpoint stands behind, which may be its own; None before the first."""
    while checkpoint_id is not None:
        checkpoint = store.checkpoints.get(checkpoint_id)
        if checkpoint.step != PLAIN_CELLS:
            return checkpoint
        checkpoint_id = checkpoint.parent
    return None


def place_in_words(store: Store, checkpoint_id: str) -> str:
    """``after step fit``, for people."""
    step = step_before(store, checkpoint_id)
    if step is not None and step.id == checkpoint_id:
        return f"after step {step.step}"
    return (
        "before the first step" if step is None else f"after step {step.step} and the plain cells run since"
    )
