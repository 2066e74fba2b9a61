"""One cell at two moments: two versions of its step, or the last one and the notebook's cell as it is now."""

from __future__ import annotations

from dataclasses import dataclass

from evercell.core.errors import StepNotFound
from evercell.core.records import Checkpoint
from evercell.engine.comparison.code import diff_of, source_of
from evercell.engine.comparison.present_cells import Foresee, present_source
from evercell.engine.moving import locate
from evercell.engine.places import Place, find_place
from evercell.engine.plain_cells import step_before
from evercell.engine.session import Session
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class CellDiff:
    """What differs between two sources of a cell."""

    left: str
    right: str
    """What each is called."""
    diff: str
    """Unified; empty where they are the same."""

    @property
    def title(self) -> str:
        """In one line."""
        return (
            f"{self.left} → {self.right}"
            if self.diff
            else f"{self.left} and {self.right} have the same code."
        )

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {"left": self.left, "right": self.right, "diff": self.diff}


def diff_cells(session: Session, left: str, right: str | None, foresee: Foresee) -> CellDiff:
    """How the code of ``left`` (``STEP``, ``STEP@1``, ``RUN@STEP``) became that of ``right``; None: its cell now."""
    here = step_checkpoint(session, left)
    if right is None:
        now = present_source(session, here.step, foresee)
        return _diff(left, source_of(here), "the cell now", now)
    return _diff(left, source_of(here), right, source_of(step_checkpoint(session, right)))


def diff_versions(workspace: Workspace, left: str, right: str) -> CellDiff:
    """The same of two versions (``RUN@STEP@1``), without a notebook."""
    sources = []
    for ref in (left, right):
        place = find_place(workspace, ref)
        sources.append(source_of(step_at(workspace, place)))
    return _diff(left, sources[0], right, sources[1])


def step_checkpoint(session: Session, ref: str) -> Checkpoint:
    """What ``STEP``, ``STEP@1`` or ``RUN@STEP`` committed."""
    run, checkpoint = locate(session, ref)
    return step_at(session.workspace, Place(run, checkpoint.id, ref))


def step_at(workspace: Workspace, place: Place) -> Checkpoint:
    """The step that a place stands behind. Raises `StepNotFound` where only plain cells ran before it."""
    found = step_before(workspace.store, place.checkpoint)
    if found is None:
        raise StepNotFound(
            f"No step of run {place.run.name} completed yet.", hint="Run a cell under %%step in it first."
        )
    return found


def _diff(left: str, left_source: str, right: str, right_source: str) -> CellDiff:
    return CellDiff(left, right, diff_of(left_source, right_source, left, right))
