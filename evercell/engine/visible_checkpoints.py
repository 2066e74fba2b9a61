"""The checkpoints that a run sees, each as it was signed; one that is not says which step it was of."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.core.clock import local_text
from evercell.core.errors import (
    Damaged,
    EvercellError,
    RowDamaged,
    StateTooNew,
    StateTooOld,
    Tampered,
    VersionCollected,
)
from evercell.core.records import Checkpoint, Collected, EventKind, Run
from evercell.engine.facts import altered_columns, is_sealed, is_tomb, row_altered
from evercell.state import Signer, read_own
from evercell.store import Store
from evercell.store.column_types import microseconds

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
    attempts: frozenset[object] = frozenset()
    """Ids of the attempt that made it, as far as its row tells."""

    def may_be(self, step: str, key: bytes) -> bool:
        """Whether it may be what this step left when it completed with this cell."""
        return (not self.steps or step in self.steps) and (not self.keys or key in self.keys)


def visible_checkpoints(
    store: Store, run: Run, signer: Signer | None
) -> list[Checkpoint | DamagedCheckpoint]:
    """All checkpoints that a run sees, oldest first; without a signer no signature is looked at."""
    found: list[Checkpoint | DamagedCheckpoint] = []
    lineage = store.runs.lineage(run.id)
    tombs = [
        tomb
        for run_id, cut in reversed(lineage.cuts)
        for tomb in store.collections.of_run(run_id)
        if (cut is None or tomb.seq <= cut) and (signer is None or is_tomb(tomb, signer))
    ]
    gone = {tomb.checkpoint_id for tomb in tombs}
    for item in store.checkpoints.visible(lineage).in_order:
        if isinstance(item, Checkpoint) and item.id in gone:
            continue  # its row stays, since others build on it
        if isinstance(item, RowDamaged):
            found.append(_unreadable(store, item))
        elif isinstance(item, Checkpoint):
            is_known = signer is None or is_sealed(item, signer)
            found.append(item if is_known or signer is None else _unsealed(store, item, signer))
    for run_id, cut in lineage.cuts:
        _insert_missing(store, run_id, found, is_cut=cut is not None, tombs=tombs)
    _insert_tombs(found, tombs, [run_id for run_id, _ in reversed(lineage.cuts)])
    return found


def _insert_tombs(
    found: list[Checkpoint | DamagedCheckpoint], tombs: list[Collected], order: list[str]
) -> None:
    """Put what `evercell gc` removed where it was: versions keep their numbers."""
    for tomb in tombs:
        place = (order.index(tomb.run_id), tomb.seq)
        later = (
            index
            for index, item in enumerate(found)
            if isinstance(item, Checkpoint) and (order.index(item.run_id), item.seq) > place
        )
        found.insert(next(later, len(found)), _collected(tomb))


def require_content(store: Store, checkpoint: Checkpoint) -> None:
    """Raise `VersionCollected` where `evercell gc` removed what a checkpoint has: its row may stay for others."""
    for tomb in store.collections.of_run(checkpoint.run_id):
        if tomb.checkpoint_id == checkpoint.id:
            raise _collected_error(tomb)


def _collected(tomb: Collected) -> DamagedCheckpoint:
    error = _collected_error(tomb)
    return DamagedCheckpoint(
        error, step=tomb.step, is_execution=tomb.is_execution, steps=frozenset({tomb.step}), keys=_NO_KEY
    )


def _collected_error(tomb: Collected) -> VersionCollected:
    is_plain = tomb.step.startswith(":")
    what = "What plain cells had left" if is_plain else f"This version of step {tomb.step}"
    again = "Choose a step." if is_plain else f"To make it again: %%step {tomb.step} --rerun."
    return VersionCollected(
        f"{what} (checkpoint {tomb.checkpoint_id}) was removed by `evercell gc` on "
        f"{local_text(tomb.collected_at)}.",
        hint=f"Newer ones are there: STEP alone is the newest. {again}",
    )


_NO_KEY = frozenset({b""})
"""No cell has it: what was collected is executed anew, and stands in nobody's way."""


def _insert_missing(
    store: Store,
    run_id: str,
    found: list[Checkpoint | DamagedCheckpoint],
    *,
    is_cut: bool,
    tombs: list[Collected],
) -> None:
    """Put what attempts of a run completed, and is not there, where it would be. (In order of time.)"""
    here = [
        index for index, item in enumerate(found) if isinstance(item, Checkpoint) and item.run_id == run_id
    ]
    named = {name for item in found if isinstance(item, DamagedCheckpoint) for name in item.attempts}
    named |= {tomb.attempt_id for tomb in tombs}
    for error in store.checkpoints.missing(run_id):
        ended = error.values.get("ended_at")
        later = [i for i in here if isinstance(ended, int) and _moment_of(found[i]) > ended]
        is_there = any(
            isinstance(item := found[i], Checkpoint)
            and (item.step, _moment_of(item)) == (error.values.get("step"), ended)
            for i in here
        )
        if is_there or error.values.get("id") in named or (is_cut and not later):
            continue
        found.insert(later[0] if later else len(found), _missing(error))


def _moment_of(item: Checkpoint | DamagedCheckpoint) -> int:
    """When a checkpoint was made, as attempts have it."""
    return microseconds(item.created_at) if isinstance(item, Checkpoint) else 0


def _missing(error: RowDamaged) -> DamagedCheckpoint:
    step, key = error.values.get("step"), error.values.get("key")
    return DamagedCheckpoint(
        error,
        step=step if isinstance(step, str) else None,
        is_execution=True,
        steps=frozenset({step} if isinstance(step, str) else ()),
        keys=frozenset({key} if isinstance(key, bytes) else ()),
    )


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
        attempts=frozenset({values.get("attempt_id")}),
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
    except EvercellError:
        return listed  # whoever uses it says what is wrong with it
    try:
        own = read_own(checkpoint.manifest, checkpoint.id, store.store_id)
    except (StateTooOld, StateTooNew):
        return listed
    except Tampered as error:
        return DamagedCheckpoint(
            error,
            step=listed.step,
            is_execution=listed.origin is None,
            steps=frozenset({listed.step, listed.slot}),
            keys=frozenset({listed.key}),
            attempts=frozenset({listed.attempt_id}),
        )
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
        attempts=frozenset({listed.attempt_id}),
    )
