"""What a reset is going to do with each of some runs, found out before anything is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evercell.core.errors import EvercellError, UsageError
from evercell.core.records import Run
from evercell.engine.resetting import FormerResets, Reset, begin_reset, plan_reset
from evercell.engine.workspace import Workspace
from evercell.headless.corrected_notebook import read_corrected
from evercell.headless.runner import check_to_execute


@dataclass(frozen=True, slots=True)
class ResetPlan:
    """One of the runs that are reset, or what keeps it from that."""

    run: Run
    reset: Reset | None = None
    digest: str = ""
    """Of the notebook that it goes on with."""
    notebook_id: str | None = None
    cell: str = ""
    problem: str = ""

    @property
    def is_skipped(self) -> bool:
        return self.reset is None or self.reset.is_done

    @property
    def will(self) -> str:
        """What comes of it."""
        if self.reset is None:
            return "nothing"
        if self.reset.former is None:
            return "a new branch"
        name = self.reset.former.name
        return f"nothing: {name} completed" if self.reset.is_done else f"goes on in {name}"

    def as_json(self) -> dict[str, object]:
        reset = self.reset
        return {
            "run": self.run.name,
            "id": self.run.id,
            "status": str(self.run.status),
            "step": reset.step if reset else None,
            "after": reset.after if reset else None,
            "checkpoint": reset.point if reset else None,
            "source": reset.version.source_hash.hex() if reset and reset.version else None,
            "cell": self.cell or None,
            "goes_on_in": reset.former.name if reset and reset.former else None,
            "is_done": bool(reset and reset.is_done),
            "problem": self.problem or None,
        }


def plan_resets(
    workspace: Workspace,
    runs: Sequence[Run],
    step: str,
    notebook: Path | None,
    output: Path | None,
    *,
    again: bool,
    is_batch: bool,
) -> list[ResetPlan]:
    former = FormerResets(workspace, workspace.store.runs.all())
    plans = []
    for run in runs:
        try:
            plan = _plan(workspace, run, step, notebook, output, former)
        except EvercellError as error:
            if len(runs) == 1 and not is_batch:
                raise
            plan = ResetPlan(run, problem=error.what)
        if plan.reset is not None and (again or (plan.reset.is_done and not is_batch)):
            plan = _anew(plan, plan.reset)
        plans.append(plan)
    return plans


def _anew(plan: ResetPlan, found: Reset) -> ResetPlan:
    """Whatever an earlier reset came to."""
    return replace(plan, reset=replace(found, former=None))


def _plan(
    workspace: Workspace,
    run: Run,
    step: str,
    notebook: Path | None,
    output: Path | None,
    former: FormerResets,
) -> ResetPlan:
    """Raises what would keep the run from being executed."""
    found = plan_reset(workspace, run, step)
    corrected = read_corrected(run, notebook)
    as_corrected = replace(run, notebook=str(corrected.path))
    check_to_execute(as_corrected, [output], workspace.store.runs.chosen_kernel(run))
    found = replace(found, former=former.of(found, corrected.digest))
    cell = corrected.cell_state(found.step, found.version)
    return ResetPlan(run, found, corrected.digest, corrected.id, str(cell))


def branch_for(
    workspace: Workspace, plan: ResetPlan, notebook: Path | None, name: str | None, output: Path | None
) -> Run:
    if plan.reset is None:
        raise UsageError(f"Run {plan.run.name} is not reset: {plan.problem}", hint="Mend that first.")
    if plan.reset.former is not None:
        return plan.reset.former
    return begin_reset(
        workspace,
        plan.reset,
        plan.digest,
        path=str(notebook.absolute()) if notebook else None,
        notebook_id=plan.notebook_id,
        name=name,
        output=str(output.absolute()) if output else None,
    )
