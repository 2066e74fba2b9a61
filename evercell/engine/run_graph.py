"""The tree of runs as a picture needs it: where each branch leaves its parent, and how far each run came."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from evercell.core.found import Found
from evercell.engine.listing import RunRow, run_tree
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
        begin = 0
        if above is not None and run.parent is not None:
            parent = tracks[above]
            begin = min(parent.end, parent.begin + bisect_right(made.get(run.parent, []), run.branch_seq))
        numbers[run.id] = len(tracks)
        tracks.append(Track(row, begin, begin + len(made.get(run.id, [])), above, step))
    return Found([*tracks, *ordered.damaged])
