"""Reset: a run goes on from before a step, with corrected code, in a branch of its own. What it was stays."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from evercell.core.errors import StepNotFound, VersionCollected
from evercell.core.records import Attempt, Checkpoint, EventKind, Run
from evercell.core.statuses import RunStatus
from evercell.core.text import as_word
from evercell.engine.branching import branch_of, create_at
from evercell.engine.history import History
from evercell.engine.places import place_in
from evercell.engine.plain_cells import step_before
from evercell.engine.visible_checkpoints import require_content, visible_checkpoints
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Reset:
    """A run and the place that it is to go on from."""

    run: Run
    step: str
    point: str | None
    """Id of the checkpoint before the step; None: the step is the first."""
    after: str | None
    """The step that completed there."""
    version: Checkpoint | None
    """What the step had left; None where it never completed."""
    former: Run | None = None
    """The branch that an earlier reset made for the same: this step, this notebook."""

    @property
    def is_done(self) -> bool:
        """Whether that one completed."""
        return self.former is not None and self.former.status is RunStatus.COMPLETED


class FormerResets:
    """The branches of a store that resets made, by the run that they reset."""

    def __init__(self, workspace: Workspace, runs: Iterable[Run]) -> None:
        self._by_parent: dict[str, list[tuple[Run, Mapping[str, object]]]] = {}
        self.parents: dict[str, str] = {}
        """Id of such a branch → id of the run that it resets."""
        for run in runs:
            mark = _mark(workspace, run) if run.parent is not None else None
            if run.parent is not None and mark is not None:
                self._by_parent.setdefault(run.parent, []).append((run, mark))
                self.parents[run.id] = run.parent

    def of(self, reset: Reset, notebook: str) -> Run | None:
        """The newest one that goes on from the same place with the same notebook, and was not given up."""
        for run, mark in self._by_parent.get(reset.run.id, ()):
            same = (run.branch_point, mark.get("step"), mark.get("notebook")) == (
                reset.point, reset.step, notebook,
            )  # fmt: skip
            if same and run.status is not RunStatus.CANCELLED:
                return run
        return None

    def without_followers(self, runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
        """Those of some runs that are no resets of others among them, and those that are."""
        chosen = {run.id for run in runs}
        followers = [run for run in runs if chosen & set(self._origins(run.id))]
        return [run for run in runs if run not in followers], followers

    def _origins(self, run_id: str) -> list[str]:
        found: list[str] = []
        while (parent := self.parents.get(run_id)) is not None and parent not in found:
            found.append(parent)
            run_id = parent
        return found


def _mark(workspace: Workspace, run: Run) -> Mapping[str, object] | None:
    for event in workspace.store.journal.of_kinds(run.id, [EventKind.RUN_CREATED]):
        mark = event.data.get("reset")
        return mark if isinstance(mark, dict) else None
    return None


def plan_reset(workspace: Workspace, run: Run, step_ref: str) -> Reset:
    """Where a run would go on from: before its step (``STEP``, ``STEP@2``, a tag's), be it one that only failed.

    Raises `StepNotFound` for a step that the run neither completed nor tried, `VersionCollected` where `evercell gc`
    removed what there was before it.
    """
    store = workspace.store
    last = _last_attempt(workspace, run, step_ref)
    if last is not None and not _completed(workspace, run, step_ref):
        step, point, version = step_ref, _before_attempt(workspace, run, last), None
    else:
        found = step_before(store, place_in(workspace, run, step_ref))
        if found is None:
            raise StepNotFound(
                f"No step of run {run.name} completed at {step_ref}.", hint="Name the step to go back to."
            )
        version = _first_alike(workspace, run, found)
        step, point = version.step, version.parent
        if point is not None:
            _require_state_before(workspace, run, step, point)
    before = step_before(store, point)
    return Reset(run, step, point, before.step if before else None, version)


def _completed(workspace: Workspace, run: Run, step: str) -> bool:
    return History(workspace.store, run, workspace.known_signer).count(step) > 0


def _require_state_before(workspace: Workspace, run: Run, step: str, point: str) -> None:
    try:
        require_content(workspace.store, workspace.store.checkpoints.get(point))
    except VersionCollected as error:
        error.what = f"Run {run.name} cannot go on from before step {step}. {error.what}"
        error.hint = f"Reset it to another step, or to a newer version of it: {step}@N; "
        error.hint += f"`evercell history {as_word(run.name)}` lists what is there."
        raise


def _last_attempt(workspace: Workspace, run: Run, step: str) -> Attempt | None:
    found = workspace.store.steps.attempts(run.id, step=step)
    return found[-1] if found else None


def _before_attempt(workspace: Workspace, run: Run, attempt: Attempt) -> str | None:
    """The newest checkpoint that there was when an attempt began, which never completed."""
    earlier = [
        item
        for item in visible_checkpoints(workspace.store, run, workspace.known_signer)
        if isinstance(item, Checkpoint) and item.created_at <= attempt.started_at
    ]
    return earlier[-1].id if earlier else run.branch_point


def _first_alike(workspace: Workspace, run: Run, version: Checkpoint) -> Checkpoint:
    """The first execution that it repeats (``--rerun``): before it the step is not done, whatever came between."""
    alike = [
        item
        for item in visible_checkpoints(workspace.store, run, workspace.known_signer)
        if isinstance(item, Checkpoint)
        and item.is_execution
        and (item.slot, item.key) == (version.slot, version.key)
    ]
    return workspace.store.checkpoints.get(alike[0].id) if alike else version


def begin_reset(
    workspace: Workspace,
    reset: Reset,
    notebook: str,
    *,
    path: str | None = None,
    notebook_id: str | None = None,
    name: str | None = None,
    output: str | None = None,
) -> Run:
    """Commit the branch that a reset goes on in, marked with the digest of the notebook it is made for.

    ``path``: of the corrected notebook, where that is another file than the run's.
    """
    new = replace(
        branch_of(reset.run, reset.point),
        name=name,
        output=output,
        reset={"run": reset.run.name, "step": reset.step, "notebook": notebook},
    )
    if path is not None:
        new = replace(new, notebook=path, notebook_id=notebook_id or new.notebook_id)
    return create_at(workspace, new)


def require_steps(runs: Sequence[Run], step: str) -> None:
    """Raise `StepNotFound` where no run was chosen."""
    if not runs:
        raise StepNotFound(
            f"No run that fits has a step {step!r}.",
            hint="`evercell runs` lists runs, `evercell show RUN` the steps of one.",
        )
