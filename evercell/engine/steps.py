"""One step: replayed where it completed with this very code and input, executed where it did not."""

from __future__ import annotations

from functools import partial

from evercell.core.errors import AttemptUnknown
from evercell.core.records import Checkpoint
from evercell.core.statuses import AttemptStatus
from evercell.engine.execution import execute_step
from evercell.engine.executor import Executor
from evercell.engine.late_changes import commit_late_changes, look_at_everything
from evercell.engine.magic_lines import first_line
from evercell.engine.other_code import require_own_code
from evercell.engine.outcome import StepOutcome
from evercell.engine.plain_cells import commit_before_step
from evercell.engine.replay import replay_step
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.staleness import OWN_CODE, Execute, Replay, why_stale
from evercell.engine.unnamed_cells import is_unnamed
from evercell.engine.watching import StepProgress
from evercell.state import CellPlan


async def run_step(
    session: Session, spec: StepSpec, place: CellPlace, source: str, executor: Executor
) -> StepOutcome:
    """Replay or execute the cell ``source`` (plain Python) as the step ``spec``.

    Raises `DuplicateStep`, `LeaseHeld`, `LeaseLost`, `RunPaused`, `AttemptUnknown`; errors of the user's code are
    shown by the executor and only reported in the outcome.
    """
    plan, decision = _begin(session, spec, place, source)
    match decision:
        case Replay(checkpoint_id):
            return _replay(session, spec, place, plan, checkpoint_id, executor)
        case Execute(reason):
            _require_known_effect(session, spec, plan)
            if reason == OWN_CODE:
                require_own_code(session, spec, plan)
            is_known = session.notebook.every_cell and not spec.is_named and reason == OWN_CODE
            if reason is not None and not is_known:  # (whoever edited such a cell just now knows why)
                executor.note(f"step {spec.name} executes again: {reason}")
            _say_what_is_not_in_memory(session, spec, reason, executor)
            session.namespace.know_restored()
            with executor.uninterrupted():
                commit_before_step(session)
            progress = StepProgress(
                spec.name, cell_id=place.cell_id, why=reason or "", watchers=session.watchers
            )
            return await execute_step(session, spec, place, plan, executor, progress)


def _say_what_is_not_in_memory(
    session: Session, spec: StepSpec, reason: str | None, executor: Executor
) -> None:
    """A new step in a kernel that put nothing back: from it on the run has what is in memory there. (Where every cell
    is a step, the first ones are met again before.)
    """
    run = session.require_run()
    is_elsewhere = session.position is None and run.head is not None
    if is_elsewhere and reason is None and not session.notebook.every_cell:
        executor.note(
            f"step {spec.name} begins without what run {run.name} had in memory, which was not put back. "
            f"To go on from there: %checkout {run.name}@{run.head}"
        )


def replay_completed(
    session: Session, spec: StepSpec, place: CellPlace, source: str, executor: Executor
) -> StepOutcome | None:
    """Replay a step as `run_step` would; None, and nothing done, where that would execute it. Raises as that does."""
    plan, decision = _begin(session, spec, place, source)
    if not isinstance(decision, Replay):
        return None
    return _replay(session, spec, place, plan, decision.checkpoint_id, executor)


def _begin(
    session: Session, spec: StepSpec, place: CellPlace, source: str
) -> tuple[CellPlan, Replay | Execute]:
    """What the cell is about to do, and what is to be done with it."""
    session.places.claim(spec.name, place)
    session.ensure_lease()
    session.settle()
    commit_late_changes(session)
    with session.readings.waited_for():
        plan = session.namespace.plan(source, label=spec.name)
    if _may_be_hidden(session, spec, place, plan):
        look_at_everything(session)
        plan = session.namespace.plan(source, label=spec.name)
    return plan, decide(session, spec, place, plan)


def _replay(
    session: Session, spec: StepSpec, place: CellPlace, plan: CellPlan, checkpoint_id: str, executor: Executor
) -> StepOutcome:
    progress = StepProgress(spec.name, cell_id=place.cell_id, watchers=session.watchers)
    return replay_step(session, spec, plan, checkpoint_id, executor, progress)


def _may_be_hidden(session: Session, spec: StepSpec, place: CellPlace, plan: CellPlan) -> bool:
    """Whether a completed step would execute again for other inputs, and not all that happened was looked at yet:
    what the cell before changed unseen may be among them.
    """
    previous = _previous(session, spec, place, plan)
    if previous is None or spec.rerun or session.namespace.saw_everything:
        return False
    if session.history.find(spec.replay_slot, plan.key):
        return False
    return session.store.checkpoints.get(previous).source_hash == plan.source_hash


def _previous(session: Session, spec: StepSpec, place: CellPlace, plan: CellPlan) -> str | None:
    """Id of the newest checkpoint of this cell.

    One without a name of its own is known by its code, and after an edit by its id or, where it has none, its place.
    """
    history = session.history
    if spec.is_named:
        return history.latest(spec.name)
    if alike := history.latest_of_code(spec.replay_slot, plan.source_hash):
        return alike
    if place.cell_id is None:
        return history.latest(spec.name)
    for run_id, _ in session.store.runs.lineage(session.require_run().id).cuts:
        for step in session.store.steps.of_run(run_id):
            if step.cell_id == place.cell_id:
                return history.latest(step.name)
    return None


def decide(session: Session, spec: StepSpec, place: CellPlace, plan: CellPlan) -> Replay | Execute:
    """Replay iff a visible checkpoint has the step's key (and ``--rerun`` is not given)."""
    if not spec.rerun and (found := session.history.find(spec.replay_slot, plan.key)):
        return Replay(found)
    previous = _previous(session, spec, place, plan)
    if spec.rerun:
        return Execute("--rerun is given" if previous else None)
    session.history.require_whole(spec.name, plan)
    if previous is None:
        return Execute()
    checkpoint = session.signed_checkpoint(previous)
    if _saw_the_same(checkpoint, spec, plan):
        return Replay(previous)
    return Execute(
        why_stale(
            checkpoint,
            step=spec.name,
            source_hash=plan.source_hash,
            inputs=plan.inputs_hex,
            made_by=session.namespace.made_by,
            shown=partial(known_by, session),
        )
    )


def known_by(session: Session, maker: str) -> str:
    """What a reader knows a cell by: one that is called after its id, which no page shows, by how its code begins."""
    if not is_unnamed(maker) or maker.removeprefix("cell-").isdecimal():
        return maker
    latest = session.history.latest(maker)
    line = first_line(session.store.checkpoints.get(latest).source) if latest is not None else ""
    return f"`{line}`" if line else maker


def _saw_the_same(checkpoint: Checkpoint, spec: StepSpec, plan: CellPlan) -> bool:
    """Whether all that a step could read when it completed is there as it was.

    What it could read beside that now (``def f(): return a`` above the cell that makes ``a``, an ``exec``) was not
    there when it completed without it: later cells made it.
    """
    if checkpoint.slot != spec.replay_slot or checkpoint.source_hash != plan.source_hash:
        return False
    now = plan.inputs_hex
    if plan.sees_everything:  # what a failed attempt or a deleted cell had left is no loss to it
        return all(now.get(name, then) == then for name, then in checkpoint.inputs.items())
    return checkpoint.inputs.items() <= now.items()


def _require_known_effect(session: Session, spec: StepSpec, plan: CellPlan) -> None:
    """Raise `AttemptUnknown` where a ``--once`` step was interrupted, and may have had its effect."""
    if not spec.once or spec.rerun:
        return
    attempts = session.store.steps.attempts(session.require_run().id, step=spec.name)
    if attempts and attempts[-1].status is AttemptStatus.INTERRUPTED and attempts[-1].key == plan.key:
        raise AttemptUnknown(
            f"Attempt {attempts[-1].number} of step {spec.name} was interrupted, and it is marked --once: "
            "nobody knows whether it had its effect.",
            hint=f"Look outside, then try again with: %%step {spec.name} --once --rerun",
        )
