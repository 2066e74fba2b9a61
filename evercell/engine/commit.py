"""What a completed step commits: outputs, state and completion, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from evercell.core.chunks import Blob, ChunkReader, Supply
from evercell.core.errors import ContentChanged, ContentCollected, StoreError
from evercell.core.ids import new_id
from evercell.core.records import Attempt, Checkpoint, CheckpointDraft
from evercell.engine.aside import Aside, NothingStored
from evercell.engine.facts import facts_of, seal_of
from evercell.engine.session import Session
from evercell.engine.transfers import counted
from evercell.engine.watching import StepProgress
from evercell.state import Missing

_TRIES = 3
"""So often a commit is made anew from under which content was removed, or changed."""

RESULT = "result"
"""Under this the signed facts of a checkpoint have what `describe_result` noted, where the cell had a result."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What a checkpoint says of the step that made it."""

    step: str
    slot: str
    key: bytes
    source: str
    source_hash: bytes
    inputs: Mapping[str, str]
    seconds: float
    outputs: Blob
    chunks: Supply = field(default_factory=Supply)
    """Those of the outputs that may be new to the store."""
    calls: Mapping[str, object] = field(default_factory=dict)
    """What its journal entry says of its durable calls."""
    result: Mapping[str, str] | None = None
    """Where its last value is found again."""
    origin: str | None = None
    """Id of the checkpoint that it repeats, where it is a replay."""
    late: bool = False
    """It is of no step's execution: it has what changed after one."""


def carried(checkpoint: Checkpoint, result: Mapping[str, str] | None, *, late: bool = False) -> Completion:
    """A completed step as it is committed once more, on another parent: a replay, not a version of it.

    ``late``: on itself, with what changed since.
    """
    return Completion(
        step=checkpoint.step,
        slot=checkpoint.slot,
        key=checkpoint.key,
        source=checkpoint.source,
        source_hash=checkpoint.source_hash,
        inputs=dict(checkpoint.inputs),
        seconds=checkpoint.seconds,
        outputs=checkpoint.outputs,
        result=result,
        origin=checkpoint.id,
        late=late,
    )


def commit_step(
    session: Session, completion: Completion, *, attempt: Attempt | None, progress: StepProgress | None = None
) -> tuple[Checkpoint, Sequence[Missing]]:
    """Commit outputs, state and completion in one transaction, and move the run's head there.

    Where the store cannot take it, it is put aside: the step completed, and the run's next commit takes it up.
    ``progress`` is told what is written. Returns the checkpoint, and what could not be kept. Raises `LeaseLost`
    where another session took the run over; then nothing was changed.
    """
    try:
        return commit_checkpoint(session, completion, attempt=attempt, progress=progress)
    except StoreError as error:
        draft, missing = _draft(session, completion, NothingStored(), copied=True)
        now = session.workspace.clock()
        aside = Aside(session.require_run().id, attempt, draft, completion.calls, now)
        return _goes_on_from(session, session.put_aside(aside, error)), missing


def commit_checkpoint(
    session: Session, completion: Completion, *, attempt: Attempt | None, progress: StepProgress | None = None
) -> tuple[Checkpoint, Sequence[Missing]]:
    """The same, without waiting for a store that is away. Raises `StoreError` then, with nothing changed."""
    copied = False
    for _ in range(_TRIES):
        try:
            return _commit(session, completion, attempt, progress, copied=copied)
        except ContentCollected as error:  # evercell gc was faster: what the next draft names is there
            if error.has_lost_base:
                session.namespace.save_anew()
        except ContentChanged:
            copied = True
    return _commit(session, completion, attempt, progress, copied=True)


def _commit(
    session: Session,
    completion: Completion,
    attempt: Attempt | None,
    progress: StepProgress | None,
    *,
    copied: bool,
) -> tuple[Checkpoint, Sequence[Missing]]:
    lease, store = session.ensure_lease().lease, session.store
    seal = partial(seal_of, signer=session.workspace.signer)
    with store.outages.nobody_waits():
        draft, missing = _draft(session, completion, store.chunks, copied=copied)
        if progress is not None and progress.is_watched:
            draft = replace(draft, chunks=counted(draft.chunks, progress))
        checkpoint = store.steps.complete(lease, attempt, draft, calls=completion.calls, seal=seal)
    return _goes_on_from(session, checkpoint), missing


def _goes_on_from(session: Session, checkpoint: Checkpoint) -> Checkpoint:
    session.namespace.committed()
    session.position, session.changed_late = checkpoint.id, False
    session.history.add(checkpoint)
    session.history.path.add(checkpoint.id)
    return checkpoint


def _facts(session: Session, completion: Completion) -> dict[str, object]:
    facts: dict[str, object] = facts_of(
        run=session.require_run().id,
        step=completion.step,
        slot=completion.slot,
        key=completion.key,
        outputs=completion.outputs,
    )
    return facts if completion.result is None else facts | {RESULT: dict(completion.result)}


def _draft(
    session: Session, completion: Completion, reader: ChunkReader, *, copied: bool
) -> tuple[CheckpointDraft, Sequence[Missing]]:
    checkpoint_id = new_id()
    manifest = session.namespace.draft(
        checkpoint_id=checkpoint_id,
        parent=session.position,
        store_id=session.store.store_id,
        signer=session.workspace.signer,
        reader=reader,
        facts=_facts(session, completion),
        copied=copied,
    )
    draft = CheckpointDraft(
        id=checkpoint_id,
        parent=session.position,
        step=completion.step,
        slot=completion.slot,
        key=completion.key,
        source=completion.source,
        source_hash=completion.source_hash,
        inputs=completion.inputs,
        outputs=completion.outputs,
        manifest=manifest.payload,
        mac=manifest.mac,
        seconds=completion.seconds,
        origin=completion.origin or (checkpoint_id if completion.late else None),
        late=completion.late,
        base=manifest.base,
        chunks=completion.chunks + manifest.chunks,
    )
    return draft, manifest.missing
