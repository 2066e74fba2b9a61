"""What a completed step would do if its cell were run now, said without running anything."""

from __future__ import annotations

from evercell.core.records import Checkpoint
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.staleness import Replay
from evercell.engine.steps import decide
from evercell.state import CellPlan


def why_it_would_execute(session: Session, spec: StepSpec, place: CellPlace, plan: CellPlan) -> str | None:
    """Why the step would not replay now, None where it would, or where that is not for now to say.

    What it changed itself (``n += 1``) or what is not in memory at the place where this kernel stands is no
    reason: a Run All comes by with the inputs as they were.
    """
    decision = decide(session, spec, place, plan)
    if isinstance(decision, Replay) or decision.reason is None:
        return None
    latest = session.history.latest(spec.name)
    if latest is None or spec.rerun:
        return decision.reason if spec.rerun else None
    checkpoint = session.store.checkpoints.get(latest)
    return decision.reason if _is_by_others(session, spec, plan, checkpoint) else None


def _is_by_others(session: Session, spec: StepSpec, plan: CellPlan, checkpoint: Checkpoint) -> bool:
    if checkpoint.source_hash != plan.source_hash:
        return True
    now = plan.inputs_hex
    differing = [name for name, then in checkpoint.inputs.items() if now.get(name, then) != then]
    return any(session.namespace.made_by(name) != spec.name for name in differing)
