"""Where a comparison looks, and which steps had been executed on the way there."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evercell.core.errors import Damaged, StepNotFound
from evercell.core.records import Checkpoint
from evercell.engine.places import Place
from evercell.engine.plain_cells import PLAIN_CELLS
from evercell.engine.session import Session
from evercell.engine.visible_checkpoints import DamagedCheckpoint, visible_checkpoints
from evercell.engine.workspace import Workspace


def place_here(session: Session) -> Place:
    """Where the kernel of a session stands. Raises `RunNotFound` where there is no run yet."""
    session.settle()
    run = session.require_run()
    return Place(run, session.position or run.head, run.name)


@dataclass(frozen=True, slots=True)
class StepsAt:
    """The steps that made the state at a place."""

    newest: Mapping[str, Checkpoint] = field(default_factory=dict)
    """Step → what its newest execution on the way there committed (without source and manifest), in the order of
    execution.
    """
    damaged: tuple[Damaged, ...] = ()
    """What could not be read of the run's history."""


def steps_at(workspace: Workspace, place: Place) -> StepsAt:
    """The steps on the way to a place. A step that was executed again counts once, as it was last."""
    if place.checkpoint is None:
        return StepsAt()
    seen = visible_checkpoints(workspace.store, place.run, workspace.known_signer)
    known = {item.id: item for item in seen if isinstance(item, Checkpoint)}
    found: dict[str, Checkpoint] = {}
    for checkpoint_id in workspace.store.checkpoints.ancestors(place.checkpoint):
        checkpoint = known.get(checkpoint_id)
        if checkpoint is not None and checkpoint.step != PLAIN_CELLS:
            found.setdefault(checkpoint.step, _executed(checkpoint, known))
    damaged = tuple(item.error for item in seen if isinstance(item, DamagedCheckpoint))
    return StepsAt(dict(reversed(found.items())), damaged)


def _executed(checkpoint: Checkpoint, known: Mapping[str, Checkpoint]) -> Checkpoint:
    """The execution that a checkpoint repeats, where it is no execution itself."""
    passed: set[str] = set()
    while checkpoint.origin in known and checkpoint.id not in passed:
        passed.add(checkpoint.id)
        checkpoint = known[str(checkpoint.origin)]
    return checkpoint


def find_modules_beside(places: Iterable[Place]) -> None:
    """From now on modules are found that lie beside the notebooks: values are put together as in theirs."""
    folders = {str(Path(place.run.notebook).parent) for place in places if place.run.notebook}
    sys.path.extend(sorted(folders - set(sys.path)))


def require_steps(place: Place) -> str:
    """The id of a place's checkpoint. Raises `StepNotFound` where no step completed yet."""
    if place.checkpoint is None:
        raise StepNotFound(
            f"No step of run {place.run.name} completed yet, so there is nothing to compare.",
            hint="Run a cell under %%step in it first; `evercell runs` lists other runs.",
        )
    return place.checkpoint
