"""Why a step would replay or execute if its cell were run now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

from evercell.core.errors import CodeOfOtherRun
from evercell.core.records import Checkpoint
from evercell.engine.comparison.code import diff_of, source_of
from evercell.engine.comparison.present_cells import Foresee, ForeseenCell, present_cells
from evercell.engine.foresight import CellsInOrder, why_it_would_execute
from evercell.engine.magic_lines import cell_as_written
from evercell.engine.notebook_cells import NotebookCell
from evercell.engine.other_code import cells_now, require_own_code
from evercell.engine.session import Session
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.staleness import Replay
from evercell.engine.steps import decide
from evercell.state import CellPlan


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would become of a step, and why."""

    step: str
    replays: bool
    reason: str
    causes: tuple[str, ...] = ()
    """What is behind it, a line each."""
    diff: str = ""
    """How its code differs from when it was executed last."""
    note: str = ""

    @property
    def verdict(self) -> str:
        """In one line."""
        return f"{self.step} would {'replay' if self.replays else 'execute'}: {self.reason}"


def explain(session: Session, step: str, foresee: Foresee) -> Explanation:
    """Why a step would replay or execute now, by the cell that the notebook has of it.

    Where it has none, by the code of its last version. Nothing runs. Raises `StepNotFound`, `RunNotFound`, `Damaged`.
    """
    return _Explainer(session, foresee).explain(step)


class _Explainer:
    def __init__(self, session: Session, foresee: Foresee) -> None:
        self._session = session
        self._history = session.history
        self._foresee = foresee
        self._cells: dict[str, NotebookCell] = present_cells(session)

    @cached_property
    def _cells_now(self) -> tuple[NotebookCell, ...]:
        return cells_now(self._session)

    @cached_property
    def _order(self) -> CellsInOrder:
        return CellsInOrder(self._session, map(self._foreseen, self._cells_now))

    def _foreseen(self, cell: NotebookCell) -> tuple[str | None, CellPlan]:
        found, foresee = self._foresee(cell), self._session.namespace.foresee
        if found is not None:
            return found.spec.name, foresee(found.source, label=found.spec.name)
        try:
            return None, foresee(cell.body)
        except SyntaxError:
            return None, foresee("")  # magics make nothing that anybody is told of

    def explain(self, step: str) -> Explanation:
        cell = self._cell(step)
        note = (
            ""
            if step in self._cells
            else "Its cell is not in the notebook: judged is the code of its last version."
        )
        if cell is None:
            return Explanation(
                step, replays=False, reason="its cell cannot be read (is it Python?)", note=note
            )
        plan = self._session.namespace.foresee(cell.source, label=step)
        latest = self._history.latest(step)
        previous = self._session.store.checkpoints.get(latest) if latest is not None else None
        if self._session.position is None and previous is not None:
            return self._from_code_alone(step, cell, plan, previous, note)
        decision = decide(self._session, cell.spec, cell.place, plan)
        if isinstance(decision, Replay):
            return Explanation(
                step,
                True,
                self._why_it_replays(step, decision),
                tuple(self._stale_makers(plan, {step})),
                note=note,
            )
        if decision.reason is None or previous is None:
            return Explanation(step, False, "it has not completed in this run yet", note=note)
        diff = self._own_diff(step, cell, plan, previous)
        return Explanation(
            step, False, decision.reason, tuple(self._causes(cell, plan, previous)), diff, note
        )

    def _cell(self, step: str) -> ForeseenCell | None:
        if step in self._cells:
            return self._foresee(self._cells[step])
        checkpoint = self._session.store.checkpoints.get(self._history.version(step, None))
        slot = "" if checkpoint.slot == step else checkpoint.slot
        return ForeseenCell(StepSpec(step, slot=slot), CellPlace(step), checkpoint.source)

    def _from_code_alone(
        self, step: str, cell: ForeseenCell, plan: CellPlan, previous: Checkpoint, note: str
    ) -> Explanation:
        """Nothing of the run is in memory, so nothing tells where its inputs come from."""
        advice = "Nothing of this run is in memory here: %resume, then %why tells of its inputs, too."
        note = f"{note}\n{advice}".strip()
        if previous.source_hash == plan.source_hash:
            return Explanation(step, True, "its code is as it was, if its inputs are as well", note=note)
        return Explanation(
            step, False, "its own code changed", (), self._own_diff(step, cell, plan, previous), note
        )

    def _own_diff(self, step: str, cell: ForeseenCell, plan: CellPlan, previous: Checkpoint) -> str:
        if previous.source_hash == plan.source_hash:
            return ""
        then = source_of(self._session.store.checkpoints.get(previous.id))
        now = cell_as_written(cell.source, step if cell.spec.is_named else None)
        return diff_of(then, now, f"{step}@{self._history.count(step)}", "the cell now")

    def _why_it_replays(self, step: str, decision: Replay) -> str:
        for number in range(self._history.count(step), 0, -1):
            if self._history.version(step, number) == decision.checkpoint_id:
                newest = number == self._history.count(step)
                which = "last" if newest else f"in version {number}"
                return (
                    f"its code, and the code behind what it reads, are as they were when it executed {which}"
                )
        return "its code, and the code behind what it reads, are as they were"

    def _causes(self, cell: ForeseenCell, plan: CellPlan, previous: Checkpoint) -> Iterator[str]:
        """Each input that is not what it was, and who made it; and whether it would ask first."""
        try:
            require_own_code(self._session, cell.spec, plan)
        except CodeOfOtherRun as error:
            yield f"but it asks first. {error.what.removesuffix(' It was not executed.')}"
        now = plan.inputs_hex
        for name in sorted(previous.inputs.keys() | now.keys()):
            then = previous.inputs.get(name)
            if then == now.get(name):
                continue
            maker = self._session.namespace.made_by(name)
            if name not in now:
                yield f"{name}, which it read then, is not there now"
            elif then is None:
                yield (
                    f"{name}, made by {maker}, was not there then" if maker else f"{name} was not there then"
                )
            elif maker is None:
                yield f"{name} comes from elsewhere than then"
            else:
                yield f"{name} was made or changed by {maker} since{self._hint(maker)}"

    def _hint(self, maker: str) -> str:
        count = self._history.count(maker)
        return (
            f", which executed {count} times: %diff {maker}@{count - 1} {maker}@{count}" if count > 1 else ""
        )

    def _stale_makers(self, plan: CellPlan, passed: set[str]) -> Iterator[str]:
        """Steps behind its inputs that would execute in a Run All, and this one after them."""
        made_by = self._session.namespace.made_by
        for name in sorted(plan.inputs):
            maker = made_by(name)
            if maker is None or maker in passed or maker not in self._cells:
                continue
            passed.add(maker)
            cell = self._foresee(self._cells[maker])
            if cell is None:
                continue
            its_plan = self._session.namespace.foresee(cell.source, label=maker)
            is_made_anew = partial(self._order.makes_anew, place=self._cells_now.index(self._cells[maker]))
            reason = why_it_would_execute(self._session, cell.spec, cell.place, its_plan, is_made_anew)
            if reason is not None:
                yield f"but it reads {name} of {maker}, which would execute first in a Run All: {reason}"
            else:
                yield from self._stale_makers(its_plan, passed)
