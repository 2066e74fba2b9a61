"""The tree of runs as a picture needs it: where each branch leaves its parent, and how far each run came."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from evercell.core.found import Found
from evercell.core.records import Run
from evercell.engine.listing import RunRow, run_tree
from evercell.engine.plain_cells import PLAIN_CELLS, step_before
from evercell.engine.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Track:
    """A run as a line from where its history leaves its parent's to its head. Lengths are in steps that completed."""

    row: RunRow
    begin: int
    end: int
    above: int | None
    """Number of the track that it leaves; None where that is not shown."""
    branch_step: str
    """The step after which it leaves its parent; empty for a run of its own."""

    @property
    def own(self) -> int:
        """How many steps of its own it completed, every version of one counted."""
        return self.end - self.begin


def family(rows: Found[RunRow], run: Run) -> list[RunRow]:
    """The runs that share a history with one: those it came from, and all that branched off these."""
    parents = {row.run.id: row.run.parent for row in rows}
    return [row for row in rows if _origin(row.run.id, parents) == _origin(run.id, parents)]


def _origin(run_id: str, parents: Mapping[str, str | None]) -> str:
    """The first of the runs that a run came from; in a circle, which no evercell wrote, any of them."""
    passed: list[str] = []
    while run_id not in passed and (parent := parents.get(run_id)):
        passed.append(run_id)
        run_id = parent
    return min(passed) if run_id in passed else run_id


def run_graph(workspace: Workspace, rows: Found[RunRow]) -> Found[Track]:
    """The tracks of runs, each branch below the run that it came from."""
    ordered = run_tree(rows)
    made = workspace.store.checkpoints.counts([row.run.id for row in ordered])
    points = [row.run.branch_point for row in ordered if row.run.branch_point]
    places = workspace.store.checkpoints.steps_of(points)
    tracks: list[Track] = []
    numbers: dict[str, int] = {}
    for row in ordered:
        run = row.run
        above = numbers.get(run.parent) if run.parent else None
        step, _ = places.get(run.branch_point or "", ("", 0))
        if step == PLAIN_CELLS and (before := step_before(workspace.store, run.branch_point)):
            step = before.step
        begin = 0
        if above is not None and run.parent is not None:
            parent = tracks[above]
            begin = min(parent.end, parent.begin + bisect_right(made.get(run.parent, []), run.branch_seq))
        numbers[run.id] = len(tracks)
        tracks.append(Track(row, begin, begin + len(made.get(run.id, [])), above, step))
    return Found([*tracks, *ordered.damaged])
