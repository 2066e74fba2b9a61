"""Which run is a notebook's: found by its kernel, its id or its path, and proved by its cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from evercell.core.ids import new_id
from evercell.core.records import NewRun, Run
from evercell.engine.holder import this_user
from evercell.engine.notebook_cells import NotebookCell, read_notebook_file
from evercell.engine.workspace import Workspace
from evercell.state import source_digest

_MOST = 0.5
"""A notebook at another path is the run's where so large a part of the run's steps is in it."""

_LATEST = 50
"""So many runs are looked through where neither the notebook nor its cells have ids."""


@dataclass(frozen=True, slots=True)
class NotebookIdentity:
    """What is known of the notebook that a kernel runs."""

    path: str | None = None
    """Absolute. A hint: a notebook is renamed, and another one takes its place."""
    id: str | None = None
    """From its metadata."""
    kernel_id: str | None = None
    """Of the Jupyter kernel, which keeps it when it is restarted, and runs one notebook."""
    cells: tuple[NotebookCell, ...] | None = None
    """Its code cells; None where nobody can tell."""


class Match(StrEnum):
    """How a run that was found belongs to the notebook."""

    SAME = "same"
    OTHER_CELLS = "other cells"
    """It was made at this path, when other cells were there."""
    COPY = "copy"
    """The notebook is a copy of the run's, which is still there."""
    OTHER_PERSON = "other person"
    """It is somebody else's."""
    NONE = "none"


@dataclass(frozen=True, slots=True)
class NearMiss:
    """A run that looked like the notebook's, and was not attached."""

    run: Run
    match: Match

    def __str__(self) -> str:
        name = self.run.name
        if self.match is Match.COPY:
            return (
                f"this is a copy of {Path(self.run.notebook or '').name}, and run {name} stays with that one; "
                f"%branch --from {name}@ goes on from there in a run of its own"
            )
        whose = (
            f"is {self.run.created_by}'s"
            if self.match is Match.OTHER_PERSON
            else "was made at this place by other cells"
        )
        return (
            f"run {name} {whose}, so it is left alone; %evercell attach {name} goes on with it all the same"
        )


@dataclass(frozen=True, slots=True)
class Recognition:
    """The notebook's run, None where it has none, and the runs that were found and passed over."""

    run: Run | None = None
    near_misses: tuple[NearMiss, ...] = ()

    def notebook_id(self, identity: NotebookIdentity) -> str:
        """The id that the notebook is to have: a new one where its own is another notebook's."""
        if self.run is not None:
            return self.run.notebook_id or identity.id or new_id()
        taken = {miss.run.notebook_id for miss in self.near_misses}
        return new_id() if identity.id is None or identity.id in taken else identity.id


def recognise(workspace: Workspace, identity: NotebookIdentity) -> Recognition:
    """Find the notebook's run: of those that its cells agree with, the one that was written to last."""
    runs = workspace.store.runs
    known = runs.known_by(path=identity.path, notebook_id=identity.id, kernel_id=identity.kernel_id)
    found = _first_same(workspace, identity, known)
    if found.run is not None or not identity.cells:
        return found
    seen = {run.id for run in known}
    ids = [cell.id for cell in identity.cells if cell.id is not None]
    others = runs.known_by(cell_ids=ids) if ids else _runs_without_notebook(workspace)
    moved = _first_same(workspace, identity, [run for run in others if run.id not in seen])
    return replace(moved, near_misses=(*moved.near_misses, *found.near_misses))


def _runs_without_notebook(workspace: Workspace) -> list[Run]:
    """The latest runs whose notebooks are not where they were: each was renamed, or removed."""
    latest = workspace.store.runs.all(limit=_LATEST)
    return [run for run in latest if run.notebook is not None and not Path(run.notebook).exists()]


def _first_same(workspace: Workspace, identity: NotebookIdentity, runs: Sequence[Run]) -> Recognition:
    """The first of some runs that is the notebook's, and of each kind of others the first before it."""
    passed: dict[Match, NearMiss] = {}
    for run in runs:
        match = _match(workspace, identity, run)
        if match is Match.SAME:
            return Recognition(run, tuple(passed.values()))
        if match is not Match.NONE:
            passed.setdefault(match, NearMiss(run, match))
    return Recognition(None, tuple(passed.values()))


def _match(workspace: Workspace, identity: NotebookIdentity, run: Run) -> Match:
    is_own = run.created_by == this_user()
    if is_own and identity.kernel_id is not None and run.kernel_id == identity.kernel_id:
        return Match.SAME
    is_here = identity.path is not None and identity.path in (run.notebook, run.output)
    part = _part_in(workspace, run, identity.cells)
    if part is not None and not _is_enough(
        part, is_known=is_here or run.notebook_id == identity.id is not None
    ):
        return Match.OTHER_CELLS if is_here and is_own else Match.NONE
    if not is_own:
        return Match.OTHER_PERSON
    if is_here:
        return Match.SAME
    if part is None:
        return Match.NONE
    return Match.COPY if _is_still_there(workspace, run, identity) else Match.SAME


def _is_enough(part: float, *, is_known: bool) -> bool:
    """Whether so large a part of a run's steps proves that they are the notebook's."""
    return part > 0 if is_known else part >= _MOST


def _is_still_there(workspace: Workspace, run: Run, identity: NotebookIdentity) -> bool:
    """Whether the run's own notebook is somewhere, and not this one under another path.

    What was renamed since is found where a later run of the same notebook has it.
    """
    known = workspace.store.runs.known_by(notebook_id=run.notebook_id) if run.notebook_id else ()
    places = dict.fromkeys(one.notebook for one in (run, *known) if one.notebook is not None)
    return any(_is_at(workspace, run, Path(place), identity) for place in places)


def _is_at(workspace: Workspace, run: Run, own: Path, identity: NotebookIdentity) -> bool:
    try:
        if identity.path is not None and own.samefile(identity.path):
            return False
    except OSError:  # it was renamed, or lies on another machine
        return False
    there = read_notebook_file(own)
    if there is None:
        return False
    part = _part_in(workspace, run, there.cells)
    return part is not None and _is_enough(part, is_known=True)


def _part_in(workspace: Workspace, run: Run, cells: tuple[NotebookCell, ...] | None) -> float | None:
    """How large a part of the run's steps is in a notebook; None where either side says nothing.

    A step is in it where its cell is, by its id, or a cell of the same code.
    """
    if cells is None:
        return None
    store = workspace.store
    lineage = store.runs.lineage(run.id)
    steps = {step.name: step.cell_id for run_id, _ in lineage.cuts for step in store.steps.of_run(run_id)}
    if not steps:
        return None
    ids = {cell.id for cell in cells if cell.id is not None}
    found = {name for name, cell_id in steps.items() if cell_id in ids}
    if len(found) < len(steps):
        digests = {source_digest(cell.executed) for cell in cells}
        found |= {c.step for c in store.checkpoints.visible(lineage) if c.source_hash in digests}
    return len(found & steps.keys()) / len(steps)


class KnownNotebook:
    """The notebook of a session, as far as it is known by now."""

    def __init__(self, identity: NotebookIdentity, *, every_cell: bool = False) -> None:
        """``every_cell``: a cell without a header is a step, too."""
        self.identity = identity
        self.every_cell = every_cell
        self.is_told = False
        """A page says what its cells are, as they are edited."""
        self.near_misses: tuple[NearMiss, ...] = ()
        """Runs that looked like its own when it was looked at last."""
        self.id = identity.id or new_id()
        """The one that its metadata is to have."""

    @property
    def path(self) -> str | None:
        return self.identity.path

    def find_run(self, workspace: Workspace) -> Run | None:
        """Its run, as it is known now; None where it has none."""
        found = recognise(workspace, self.identity)
        self.near_misses, self.id = found.near_misses, found.notebook_id(self.identity)
        return found.run

    def is_passed_over(self, run: Run) -> bool:
        """Whether the run is there, and not the notebook's."""
        return any(miss.run.id == run.id for miss in self.near_misses)

    def latest_run(self, workspace: Workspace) -> Run | None:
        """The run at its path that was written to last, but for those that are not its own."""
        runs = workspace.store.runs.known_by(path=self.path)
        return next((run for run in runs if not self.is_passed_over(run)), None)

    def new_run(self, created_by: str) -> NewRun:
        """What a run of it is made from."""
        return NewRun(
            notebook=self.path, created_by=created_by, notebook_id=self.id, kernel_id=self.identity.kernel_id
        )

    def changes_of(self, run: Run) -> dict[str, str | None]:
        """What a run that goes on here is found by from now on, as far as that is new."""
        now: dict[str, str | None] = {"kernel_id": self.identity.kernel_id}
        if self.path is not None and self.path != run.output:
            now |= {"notebook": self.path, "notebook_id": self.id}
        return {name: value for name, value in now.items() if value and value != getattr(run, name)}
