"""A completed step met again: shown and put back, not executed."""

from __future__ import annotations

from collections.abc import Mapping

from evercell.core.records import Checkpoint
from evercell.core.text import as_word
from evercell.engine.cell_results import recover_result
from evercell.engine.commit import RESULT, carried, commit_step
from evercell.engine.executor import Executor
from evercell.engine.outcome import Ending, StepOutcome
from evercell.engine.outputs import decode_outputs, shorten
from evercell.engine.plain_cells import step_before
from evercell.engine.session import Session
from evercell.engine.spec import StepSpec
from evercell.engine.watching import StepProgress, StepState
from evercell.state import CellPlan

REPLAYS = "application/vnd.evercell.replays+json"
"""MIME type of what a kernel says of steps that it replayed together for a headless runner."""


def replay_step(
    session: Session,
    spec: StepSpec,
    plan: CellPlan,
    checkpoint_id: str,
    executor: Executor,
    progress: StepProgress | None = None,
) -> StepOutcome:
    """Put a completed step's state back and show its outputs again; its body does not execute."""
    checkpoint = session.store.checkpoints.get(checkpoint_id)
    manifest = session.verified_manifest(checkpoint)
    outputs = decode_outputs(checkpoint.outputs, session.store.chunks)
    with executor.uninterrupted(), session.readings.waited_for():
        reader = session.readings.counting(session.store.chunks)
        restored = session.namespace.replay(manifest, reader, binds=plan.code.binds)
        _record_replay(session, checkpoint, manifest.facts.get(RESULT), changed=restored.changed)
    if progress is not None:
        progress.enter(StepState.REPLAYED, saved_seconds=checkpoint.seconds)
    how = f"evercell show {as_word(session.require_run().name)}@{spec.name}"
    executor.show([part for o in outputs for part in shorten(o, how_to_see=how)], step=spec.name)
    if RESULT in manifest.facts or any(output.kind == "execute_result" for output in outputs):
        found = recover_result(manifest.facts.get(RESULT, {}), executor.variables, step=spec.name)
        executor.set_result(found)
    return StepOutcome(Ending.REPLAYED, checkpoint)


def _follows(session: Session, checkpoint: Checkpoint) -> bool:
    """Whether a step comes right after where the kernel stands, whatever was committed between the two."""
    while checkpoint.origin is not None and checkpoint.origin == checkpoint.parent:
        checkpoint = session.store.checkpoints.get(checkpoint.parent)
    if checkpoint.parent == session.position:
        return True
    before, here = (step_before(session.store, place) for place in (checkpoint.parent, session.position))
    return (before.id if before else None) == (here.id if here else None)


def _record_replay(
    session: Session, checkpoint: Checkpoint, result: Mapping[str, str] | None, *, changed: bool
) -> None:
    """Journal the replay, and see to it that the run's head has what the kernel now has.

    Going forward along the run's own history moves only our position. A replay that goes another way
    moves the head; one that lands beside the present position is carried there as a new checkpoint.
    """
    follows = _follows(session, checkpoint)
    if changed and not follows:
        commit_step(session, carried(checkpoint, result), attempt=None)
        return
    off_path = follows and checkpoint.id not in session.history.path
    session.store.steps.record_replay(session.ensure_lease().lease, checkpoint, move_head=off_path)
    if follows:
        session.position = checkpoint.id
        session.history.path.add(checkpoint.id)
