"""One notebook, several runs: what its cells say by now, and what they said in the run that a kernel goes to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evercell.core.errors import CodeOfOtherRun
from evercell.core.records import Run
from evercell.engine.notebook_cells import NotebookCell, read_notebook_file
from evercell.engine.plain_cells import PLAIN_CELLS
from evercell.engine.session import Session
from evercell.engine.spec import StepSpec
from evercell.engine.step_names import declared_name
from evercell.state import CellPlan, source_digest


def steps_of_other_code(session: Session, checkpoint_id: str) -> list[str]:
    """Steps that a checkpoint stands behind, and whose cells have other code in the notebook by now.

    Cells with magics, and those that are not in the notebook any more, are left out: nobody can tell.
    """
    cells = cells_now(session)
    if not cells:
        return []
    run = session.require_run()
    cell_ids = {
        step.name: step.cell_id
        for run_id, _ in reversed(session.store.runs.lineage(run.id).cuts)
        for step in session.store.steps.of_run(run_id)
    }
    by_name = {name: cell for cell in cells if (name := declared_name(cell.source)) is not None}
    by_id = {cell.id: cell for cell in cells if cell.id is not None}
    differing = []
    for step, source_hash in _sources_behind(session, run, checkpoint_id):
        cell = by_name.get(step) or by_id.get(cell_ids.get(step) or "")
        digest = source_digest(cell.executed) if cell is not None else None
        if digest is not None and digest != source_hash:
            differing.append(step)
    return differing


def cells_now(session: Session) -> tuple[NotebookCell, ...]:
    """What the page said last, and where no page speaks what the file has."""
    notebook = session.notebook
    if notebook.is_told or notebook.path is None:
        return notebook.identity.cells or ()
    content = read_notebook_file(Path(notebook.path))
    return content.cells if content is not None else ()


def _sources_behind(session: Session, run: Run, checkpoint_id: str) -> Iterator[tuple[str, bytes]]:
    """The steps on the way to a checkpoint, each with the digest of the code that it has there."""
    store = session.store
    way = set(store.checkpoints.ancestors(checkpoint_id))
    newest: dict[str, bytes] = {}
    for checkpoint in store.checkpoints.visible(store.runs.lineage(run.id)):
        if checkpoint.id in way and checkpoint.step != PLAIN_CELLS:
            newest.pop(checkpoint.step, None)
            newest[checkpoint.step] = checkpoint.source_hash
    yield from newest.items()


def require_own_code(session: Session, spec: StepSpec, plan: CellPlan) -> None:
    """Raise `CodeOfOtherRun` where a step is about to get a new version that another branch has already.

    Who went from branch to branch has the code of the last one in the notebook. Headless nobody did.
    """
    if spec.rerun or session.workspace.settings.wait_grace is not None:
        return
    run = session.require_run()
    others = {other.id: other for other in _same_tree(session, run) if other.id != run.id}
    holder = session.store.checkpoints.run_with_code(list(others), spec.replay_slot, plan.source_hash)
    if holder is None:
        return
    other = others[holder].name
    raise CodeOfOtherRun(
        f"This is the code of step {spec.name} in run {other}, and this kernel is on run {run.name}, where it has "
        "other code. It was not executed.",
        hint=f"%checkout {other} goes there; %source {spec.name} shows the code of this run. To give run {run.name} "
        f"this code as a new version: %%step {spec.name} --rerun",
    )


def _same_tree(session: Session, run: Run) -> list[Run]:
    """The runs that branched off from where this one did, and from one another."""
    notebook, runs = session.notebook, session.store.runs
    found = {
        other.id: other
        for other in (run, *runs.known_by(path=notebook.path, notebook_id=notebook.id, limit=500))
    }

    def root(one: Run) -> str:
        while one.parent is not None and one.parent in found:
            one = found[one.parent]
        return one.id

    return [other for other in found.values() if root(other) == root(run)]
