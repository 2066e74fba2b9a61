"""The head of a run, as its journal and the signatures of its checkpoints have it: what a resume goes on from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from evercell.core.canonical import canonical_json
from evercell.core.errors import Damaged, JournalBroken, Tampered
from evercell.core.records import Checkpoint, EventKind, Run
from evercell.core.text import as_word
from evercell.engine.facts import is_sealed
from evercell.engine.workspace import Workspace
from evercell.state import Signer
from evercell.store.journal import BEGINNING, Entry

RECENT = 5000
"""About so many entries of a journal are verified at each resume. Those before a place that is signed (a checkpoint's
entry, or the mark of an earlier resume) were verified then, and are again by ``evercell verify``."""

_FAR = 3
"""Times `RECENT`: no signed place is so far back that more is read."""

_MOVES = (EventKind.STEP_COMPLETED, EventKind.STATE_CHANGED, EventKind.STEP_REPLAYED)


@dataclass(frozen=True, slots=True)
class SignedHead:
    """Where a run goes on from."""

    checkpoint: str | None
    mark: Mapping[str, object]
    """For the journal: up to where it was verified, signed."""


def signed_head(workspace: Workspace, run: Run) -> SignedHead:
    """The run's head checkpoint, which is the one that its journal names.

    Raises `JournalBroken` where the journal does not verify, and `Tampered` where the run's row disagrees with it.
    """
    store = workspace.store
    end = store.journal.end(run.id)
    store.journal.verify(run.id, after=_anchor(workspace, run, end.seq))
    expected = _journalled_heads(workspace, run)
    if run.head not in expected:
        raise _moved(run, f"its head is checkpoint {run.head}, and its journal says {expected[0]}")
    newest = store.checkpoints.newest(run.id)
    if newest is not None and newest.seq > end.seq:
        raise _moved(run, f"its journal ends before checkpoint {newest.id} of step {newest.step}")
    _require_entry(workspace, run)
    signer = workspace.known_signer
    mark = {"verified": end.seq, "mac": _mac_of(run, end, signer)} if signer is not None else {}
    return SignedHead(run.head, mark)


def _anchor(workspace: Workspace, run: Run, end: int) -> Entry:
    """A signed place in the journal, `RECENT` entries from its end or a little more."""
    signer, limit = workspace.known_signer, end - RECENT
    if limit <= 0 or signer is None:
        return BEGINNING
    near: list[Entry] = []
    far = BEGINNING
    for places in (_sealed_places(workspace, run, signer, limit), _marked_places(workspace, run, signer)):
        for place in places:
            if place.seq <= limit:
                far = max(far, place, key=_seq)
                break
            near.append(place)
    if far.seq < end - _FAR * RECENT and near:
        return min(near, key=_seq)
    return far


def _seq(entry: Entry) -> int:
    return entry.seq


def _sealed_places(workspace: Workspace, run: Run, signer: Signer, limit: int) -> Iterator[Entry]:
    """The entry of the first checkpoint beyond ``limit``, and of those before."""
    checkpoints = workspace.store.checkpoints
    for checkpoint in chain(checkpoints.after(run.id, limit), checkpoints.before(run.id, limit)):
        if checkpoint.entry is not None and is_sealed(checkpoint, signer):
            yield Entry(checkpoint.seq, checkpoint.entry)


def _marked_places(workspace: Workspace, run: Run, signer: Signer) -> Iterator[Entry]:
    """Up to where earlier resumes verified the journal, the newest first."""
    journal = workspace.store.journal
    for event in journal.newest(run.id, (EventKind.SESSION_RESUMED,)):
        seq, mac = event.data.get("verified"), event.data.get("mac")
        if not isinstance(seq, int) or (digest := journal.digest(run.id, seq)) is None:
            continue
        place = Entry(seq, digest)
        if mac == _mac_of(run, place, signer):
            yield place


def _mac_of(run: Run, place: Entry, signer: Signer) -> str:
    text = canonical_json([run.id, place.seq, place.digest.hex()])
    return signer.sign(b"journal\0" + text.encode()).hex()


def _journalled_heads(workspace: Workspace, run: Run) -> list[str | None]:
    """What the head may be by the journal: one checkpoint, except where an older evercell did not say which."""
    possible: list[str | None] = []
    for event in workspace.store.journal.newest(run.id, _MOVES):
        data = event.data
        is_sure = event.kind is not EventKind.STEP_REPLAYED or "carried" in data or data.get("head") is True
        if is_sure or "head" not in data:
            possible.append(data.get("checkpoint"))
        if is_sure:
            return possible
    return [*possible, run.branch_point]


def _require_entry(workspace: Workspace, run: Run) -> None:
    """Raise `JournalBroken` unless the entry of the head checkpoint is the one that is signed with it."""
    if run.head is None:
        return
    try:
        head: Checkpoint = workspace.store.checkpoints.get(run.head)
    except Damaged:
        return  # whoever restores it says so
    if head.entry is None or head.run_id != run.id:
        return
    if workspace.store.journal.digest(run.id, head.seq) != head.entry:
        raise JournalBroken(
            f"The journal of run {run.name} does not verify: entry {head.seq} is not the one that is signed with "
            f"checkpoint {head.id} of step {head.step}.",
            hint="Go on in a run of its own: %branch --from STEP (evercell branch RUN --from STEP). `evercell verify` "
            "says what else is damaged.",
        )


def _moved(run: Run, why: str) -> Tampered:
    return Tampered(
        f"Where run {run.name} goes on from was changed: {why}.",
        hint=f"Put the store back from a backup, or choose a step to go on from: %checkout {run.name}@STEP, or in a "
        f"run of its own: %branch --from STEP (evercell branch {as_word(run.name)} --from STEP).",
    )
