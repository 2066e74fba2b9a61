"""What a completed step would do if its cell were run now, said without running anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from evercell.core.records import Checkpoint
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.staleness import Replay, why_stale
from evercell.engine.steps import decide, known_by
from evercell.state import CellPlan


class CellsInOrder:
    """A notebook's cells from its top, as a Run All comes by: what it finds made anew where it comes to a cell."""

    def __init__(self, session: Session, cells: Iterable[tuple[str | None, CellPlan]]) -> None:
        """``cells``: the name of each cell's step, if it is one, and its plan."""
        self._namespace = session.namespace
        self._first_maker: dict[str, int] = {}
        """Who may have made a variable (a step's name, a plain cell's code) → where its first cell stands."""
        self._first_binding: dict[str, int] = {}
        for place, (step, plan) in enumerate(cells):
            self._first_maker.setdefault(plan.maker if step is None else step, place)
            for name in plan.code.binds:
                self._first_binding.setdefault(name, place)

    def makes_anew(self, name: str, place: int) -> bool:
        """Whether a variable was changed since by a cell that stands below a place, and is made by one above it."""
        made_by, maker = self._namespace.made_by(name), self._namespace.maker(name)
        changed_at = self._first_maker.get(made_by or "", self._first_maker.get(maker or "", -1))
        return changed_at > place > self._first_binding.get(name, place)


def why_it_would_execute(
    session: Session,
    spec: StepSpec,
    place: CellPlace,
    plan: CellPlan,
    is_made_anew: Callable[[str], bool] = lambda _: False,
) -> str | None:
    """Why the step would not replay in a Run All, None where it would, or where that is not for now to say.

    What it changed itself (``n += 1``), what is not in memory at the place where this kernel stands, and what
    ``is_made_anew`` before the Run All comes to the step is no reason: it comes by with the inputs as they were.
    """
    decision = decide(session, spec, place, plan)
    if isinstance(decision, Replay) or decision.reason is None:
        return None
    latest = session.history.latest(spec.name)
    if latest is None or spec.rerun:
        return decision.reason if spec.rerun else None
    checkpoint = session.store.checkpoints.get(latest)
    if checkpoint.source_hash != plan.source_hash:
        return decision.reason
    counting = _differing_inputs(session, spec, plan, checkpoint, is_made_anew)
    if not counting:
        return None
    return why_stale(
        checkpoint,
        step=spec.name,
        source_hash=plan.source_hash,
        inputs={**checkpoint.inputs, **counting},
        made_by=session.namespace.made_by,
        shown=partial(known_by, session),
    )


def _differing_inputs(
    session: Session,
    spec: StepSpec,
    plan: CellPlan,
    checkpoint: Checkpoint,
    is_made_anew: Callable[[str], bool],
) -> dict[str, str]:
    now = plan.inputs_hex
    differing = [name for name, then in checkpoint.inputs.items() if now.get(name, then) != then]
    return {
        name: now[name]
        for name in differing
        if session.namespace.made_by(name) != spec.name and not is_made_anew(name)
    }
