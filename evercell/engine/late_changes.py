"""What changed after the last step had completed, or was found only then: a checkpoint of its own."""

from __future__ import annotations

from collections.abc import Iterator

from evercell.engine.commit import RESULT, carried, commit_step
from evercell.engine.session import Session


def look_in_slices(session: Session) -> Iterator[None]:
    """Look at what no cell named a few milliseconds at a time, and commit what changed. For an idle kernel."""
    for changed in session.namespace.look_in_slices():
        session.changed_late |= changed
        with session.store.outages.nobody_waits(busy=0):  # the kernel has other things to do
            commit_late_changes(session)
        yield


def look_at_everything(session: Session) -> None:
    """Look at once at all that no cell named, and commit what changed."""
    if not session.namespace.saw_everything:
        session.changed_late |= session.namespace.look_at_everything()
    commit_late_changes(session)


def commit_late_changes(session: Session) -> None:
    """Commit a checkpoint that repeats the last step with what was found changed since, if anything was.

    After another cell it is left to the next step: what a plain cell did is made again by that cell.
    """
    if not session.changed_late or session.position is None or not session.holds_lease or session.is_over:
        return
    session.settle()
    checkpoint = session.store.checkpoints.get(session.position)
    if not session.namespace.goes_on_from(checkpoint.key):
        session.changed_late = False
        return
    manifest = session.verified_manifest(checkpoint)
    session.namespace.repeat_step(manifest)
    commit_step(session, carried(checkpoint, manifest.facts.get(RESULT), late=True), attempt=None)
