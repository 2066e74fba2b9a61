"""Where a kernel goes in the history of runs: resume, checkout, branch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from evercell.core.errors import LeaseLost, StepNotFound, StoreError, StoreFull
from evercell.core.records import Checkpoint, EventKind, Run
from evercell.engine.heads import signed_head
from evercell.engine.holder import this_user
from evercell.engine.late_changes import commit_late_changes
from evercell.engine.places import find_place
from evercell.engine.plain_cells import commit_plain_cells
from evercell.engine.session import Session
from evercell.state import Restored, VerifiedManifest

SetupRunner = Callable[[str, str], None]
"""Executes a ``%%setup`` cell: its name and source."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a resume, a checkout or a branch put into the kernel."""

    run: Run
    checkpoint: Checkpoint | None
    restored: Restored | None
    warning: str = ""
    """Why nothing can be committed for now."""
    kept: str | None = None
    """Id of the checkpoint of what was in memory before, where no step had saved that."""
    gone: tuple[str, ...] = ()
    """Variables that no checkpoint had, and that are not in memory any more."""


def resume(session: Session, run_setup: SetupRunner, ref: str | None = None) -> Arrival:
    """Put the head state of the session's run (or of the run ``ref``) into the kernel and go on from there."""
    if ref is not None:
        return checkout(session, ref, run_setup)
    run = session.require_run()
    session.leave_aside()
    session.take_lease_if_there_is_room()
    run = session.refresh() or run
    session.namespace.something_ran()  # (a restore loads what is found to be another than what is stored)
    session.namespace.look_at_everything()
    head = signed_head(session.workspace, run)
    return _restore(session, run, head.checkpoint, run_setup, why="resume", mark=head.mark)


def checkout(session: Session, ref: str, run_setup: SetupRunner) -> Arrival:
    """Put a place (`find_place`: ``RUN``, ``RUN@STEP``, a tag) into the kernel and go on from there."""
    place = find_place(session.workspace, ref, session)
    run, target = place.run, place.checkpoint
    kept = keep_memory(session, target)
    session.switch_to(run)
    return replace(_restore(session, run, target, run_setup, why="checkout", mark=place.mark), kept=kept)


def keep_memory(session: Session, target: str | None = None) -> str | None:
    """Commit what is in memory and in no checkpoint, before another state takes its place; returns its id.

    None where nothing is. A kernel that is on no run, or has not resumed its run, has no checkpoint that it could
    follow. What is found the same here is what a restore need not load.
    """
    session.namespace.something_ran()  # whatever nobody was told of: memory that another process writes to
    session.changed_late |= session.namespace.look_at_everything()
    if not session.holds_lease or (session.position is None and session.require_run().head is not None):
        return None
    with suppress(LeaseLost):
        session.settle()
        before = session.position
        commit_late_changes(session)
        commit_plain_cells(session)
        return session.position if session.position not in (before, target) else None
    return None


def branch(session: Session, run_setup: SetupRunner, *, step: str | None, name: str | None) -> Arrival:
    """A new run whose history begins at ``step`` (with its state), or here (with this namespace).

    ``step``: ``STEP``, ``STEP@2``, ``RUN@STEP``, or ``RUN@`` for the last step of another run.
    """
    with suppress(LeaseLost):
        session.settle()
    if step:
        place = find_place(session.workspace, step, session, own_first=True)
        run, point = place.run, place.checkpoint
    else:
        run = session.require_run()
        point = session.position or run.head
    if point is not None:
        session.signed_checkpoint(point)
    new = session.notebook.new_run(this_user())
    child = session.store.runs.create(
        replace(
            new,
            notebook=new.notebook or run.notebook,
            name=name,
            params=run.params,
            parent=run.id,
            branch_point=point,
        )
    )
    kept = keep_memory(session, point) if step else None
    session.switch_to(child)
    if step is None:
        session.position = point
        return Arrival(child, None, None)
    return replace(_restore(session, child, point, run_setup, why="branch"), kept=kept)


def locate(session: Session, ref: str | None) -> tuple[Run, Checkpoint]:
    """The run and checkpoint of ``STEP``, ``STEP@2`` or ``RUN@STEP``; None: where this kernel stands."""
    session.settle()
    if ref is None:
        run = session.require_run()
        found = session.position or run.head
        if found is None:
            raise _nothing_completed(run)
        return run, session.store.checkpoints.get(found)
    place = find_place(session.workspace, ref, session, own_first=True)
    if place.checkpoint is None:
        raise _nothing_completed(place.run)
    return place.run, session.store.checkpoints.get(place.checkpoint)


def _nothing_completed(run: Run) -> StepNotFound:
    return StepNotFound(
        f"No step of run {run.name} completed yet.", hint="Run a cell under %%step in it first."
    )


def _restore(
    session: Session,
    run: Run,
    target: str | None,
    run_setup: SetupRunner,
    *,
    why: str,
    mark: Mapping[str, object] | None = None,
) -> Arrival:
    if target is None:  # (what comes next is the run's first checkpoint: it follows none of another run)
        session.position, session.changed_late = None, False
        return Arrival(run, None, None)
    checkpoint = session.store.checkpoints.get(target)
    manifest = session.verified_manifest(checkpoint)
    _run_setup_cells(session, manifest, run_setup)
    unsaved = session.namespace.unsaved
    with session.readings.waited_for():
        reader = session.readings.counting(session.store.chunks)
        restored = session.namespace.restore(manifest, reader)
    gone = tuple(sorted(unsaved - manifest.variables.keys() - session.namespace.setup_names))
    session.position, session.changed_late = checkpoint.id, False
    try:
        _record_arrival(session, run, {"checkpoint": checkpoint.id, "by": why, **(mark or {})})
    except StoreFull as error:
        return Arrival(run, checkpoint, restored, str(error), gone=gone)
    return Arrival(run, checkpoint, restored, gone=gone)


def _record_arrival(session: Session, run: Run, data: Mapping[str, object]) -> None:
    """Journal it. Raises `StoreFull` at once; another outage is waited for."""
    journal = session.store.journal
    try:
        with session.store.outages.nobody_waits():
            journal.append(session.ensure_lease().lease, run.id, EventKind.SESSION_RESUMED, data)
    except StoreFull:
        raise
    except StoreError:
        journal.append(session.ensure_lease().lease, run.id, EventKind.SESSION_RESUMED, data)


def _run_setup_cells(session: Session, manifest: VerifiedManifest, run_setup: SetupRunner) -> None:
    """Run those that this kernel has not run yet, in the order of their first run."""
    done = set(session.namespace.setup)
    for name, source in manifest.setup:
        if (name, source) in done:
            continue
        plan = session.namespace.plan(source)
        run_setup(name, source)
        session.namespace.observe(plan, label=name)
        session.namespace.mark_setup(name, plan)
