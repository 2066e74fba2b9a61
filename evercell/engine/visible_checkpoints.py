"""The checkpoints that a run sees, each as it was signed; one that is not says which step it was of."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.core.errors import Damaged, EvercellError, RowDamaged
from evercell.core.records import Checkpoint, EventKind, Run
from evercell.engine.facts import altered_columns, is_sealed, row_altered
from evercell.state import Signer, read_own
from evercell.store import Store

_COMMITTED = (EventKind.STEP_COMPLETED, EventKind.STATE_CHANGED, EventKind.STEP_REPLAYED)


@dataclass(frozen=True, slots=True)
class DamagedCheckpoint:
    """A checkpoint that is not used, since its row is damaged or not what was signed."""

    error: Damaged
    step: str | None
    """The step that it was of, None where nobody knows."""
    is_execution: bool
    steps: frozenset[str]
    """Names of what it may be of, by its row and by its signature; all, if there is none."""
    keys: frozenset[bytes]
    """The same of its key."""

    def may_be(self, step: str, key: bytes) -> bool:
        """Whether it may be what this step left when it completed with this cell."""
        return (not self.steps or step in self.steps) and (not self.keys or key in self.keys)


def visible_checkpoints(
    store: Store, run: Run, signer: Signer | None
) -> list[Checkpoint | DamagedCheckpoint]:
    """All checkpoints that a run sees, oldest first; without a signer no signature is looked at."""
    found: list[Checkpoint | DamagedCheckpoint] = []
    for item in store.checkpoints.visible(store.runs.lineage(run.id)).in_order:
        if isinstance(item, RowDamaged):
            found.append(_unreadable(store, item))
        elif isinstance(item, Checkpoint):
            is_known = signer is None or is_sealed(item, signer)
            found.append(item if is_known or signer is None else _unsealed(store, item, signer))
    return found


def _unreadable(store: Store, error: RowDamaged) -> DamagedCheckpoint:
    values = error.values
    step, key = values.get("step"), values.get("key")
    journalled = _journalled_step(store, values.get("run_id"), values.get("id"))
    steps = {name for name in (step, values.get("slot"), journalled) if isinstance(name, str)}
    return DamagedCheckpoint(
        error,
        step=journalled or (step if isinstance(step, str) else None),
        is_execution=values.get("origin") is None,
        steps=frozenset(steps),
        keys=frozenset({key} if isinstance(key, bytes) else ()),
    )


def _journalled_step(store: Store, run_id: object, checkpoint_id: object) -> str | None:
    """The step that the journal names for a checkpoint."""
    if not isinstance(run_id, str) or not isinstance(checkpoint_id, str):
        return None
    try:
        for event in store.journal.newest(run_id, _COMMITTED):
            if event.data.get("checkpoint") == checkpoint_id and event.data.get("head", True):
                return str(event.data["step"])
    except (EvercellError, KeyError):
        return None
    return None


def _unsealed(store: Store, listed: Checkpoint, signer: Signer) -> Checkpoint | DamagedCheckpoint:
    """A checkpoint whose row carries no seal: it is from before there were any, or it was changed."""
    try:
        checkpoint = store.checkpoints.get(listed.id)
        signer.verify(checkpoint.manifest, checkpoint.mac, what=f"checkpoint {checkpoint.id}")
        own = read_own(checkpoint.manifest, checkpoint.id, store.store_id)
    except EvercellError:
        return listed  # whoever uses it says what is wrong with it
    altered = altered_columns(checkpoint, own.facts, own.parent, signer)
    if not altered:
        return listed
    signed = str(own.facts["step"])
    return DamagedCheckpoint(
        row_altered(checkpoint, altered),
        step=signed,
        is_execution=listed.origin is None,
        steps=frozenset({signed, listed.step, listed.slot}),
        keys=frozenset({bytes.fromhex(own.facts["key"]), listed.key}),
    )
