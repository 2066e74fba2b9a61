"""Runs side by side: figures of any number of them, and of two what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evercell.core.errors import Damaged, KeyUnusable, StateError
from evercell.engine.comparison.code import CellDifference, compare_code
from evercell.engine.comparison.figures import Figures, read_figures, sort_figures
from evercell.engine.comparison.outputs import OutputDifference, compare_outputs
from evercell.engine.comparison.steps_behind import StepsAt, require_steps, steps_at
from evercell.engine.comparison.variables import VariablesComparison, compare_variables
from evercell.engine.listing import list_runs
from evercell.engine.places import Place
from evercell.engine.run_graph import family
from evercell.engine.session import Session
from evercell.engine.workspace import Workspace

MOST_RUNS = 500
"""Runs of one family that are listed."""


@dataclass(frozen=True, slots=True)
class Pair:
    """What differs between two places."""

    left: Place
    right: Place
    shared: tuple[str, ...]
    """Steps that both sides have."""
    code: tuple[CellDifference, ...]
    variables: VariablesComparison
    outputs: tuple[OutputDifference, ...]
    note: str = ""
    """That they are of different notebooks."""
    not_compared: str = ""
    """Why variables were not compared."""

    @property
    def sides(self) -> tuple[str, str]:
        """What the two are called."""
        return self.left.label, self.right.label

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "left": self.left.label,
            "right": self.right.label,
            "note": self.note,
            "shared_steps": list(self.shared),
            "code": [difference.as_json() for difference in self.code],
            "variables": [difference.as_json() for difference in self.variables.differing],
            "same_variables": list(self.variables.same),
            "surroundings": list(self.variables.surroundings),
            "not_compared": self.not_compared,
            "outputs": [difference.as_json() for difference in self.outputs],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several runs side by side; ``pair`` is there for two."""

    figures: tuple[Figures, ...]
    pair: Pair | None = None
    sorted_by: str = ""

    @property
    def damaged(self) -> list[Damaged]:
        """What could not be read, each once."""
        return list({str(error): error for row in self.figures for error in row.damaged}.values())

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "runs": [row.as_json() for row in self.figures],
            "pair": self.pair.as_json() if self.pair is not None else None,
            "damaged": [error.what for error in self.damaged],
        }


def compare_places(
    workspace: Workspace, places: Sequence[Place], *, sort: str | None = None, reverse: bool = False
) -> Comparison:
    """Compare runs. Of two, what differs, too: raises `StepNotFound` where one of them has no step yet."""
    rows = read_figures(workspace, places)
    if sort is not None:
        rows = sort_figures(rows, sort, reverse=reverse)
    elif reverse:
        rows.reverse()
    pair = _compare_two(workspace, *places) if len(places) == 2 else None
    return Comparison(tuple(rows), pair, sort or "")


def family_here(session: Session) -> list[Place]:
    """The runs that share a history with that of a session, its own among them."""
    own = session.require_run()
    rows = list_runs(session.workspace, limit=MOST_RUNS)
    return [Place(row.run, row.run.head, row.run.name) for row in reversed(family(rows, own))]


def _compare_two(workspace: Workspace, left: Place, right: Place) -> Pair:
    require_steps(left)
    require_steps(right)
    here, there = steps_at(workspace, left), steps_at(workspace, right)
    shared = tuple(step for step in here.newest if step in there.newest)
    variables, not_compared = VariablesComparison((), ()), ""
    try:
        if workspace.known_signer is None:
            raise KeyUnusable(
                "there is no signing key here that tells whether state is yours.",
                hint=f"Put the key back that it was saved with ({workspace.settings.key_path}), or set EVERCELL_KEY.",
            )
        variables = compare_variables(workspace, left, right)
    except (Damaged, StateError) as error:  # what they did can be compared without what they have
        not_compared = str(error)
    return Pair(
        left,
        right,
        shared,
        tuple(compare_code(workspace, here, there, (left.label, right.label))),
        variables,
        tuple(compare_outputs(workspace, here, there)),
        _note(left, right, here, there, shared),
        not_compared,
    )


def _note(left: Place, right: Place, here: StepsAt, there: StepsAt, shared: Sequence[str]) -> str:
    if left.run.notebook == right.run.notebook or _is_related(left, right):
        return ""
    notebooks = " and ".join(str(place.run.notebook or "no notebook") for place in (left, right))
    if not shared:
        return f"The runs are of different notebooks ({notebooks}) and have no step of one name: nothing is shared."
    only = len(here.newest) + len(there.newest) - 2 * len(shared)
    return (
        f"The runs are of different notebooks ({notebooks}): what both have is compared"
        f"{f'; {only} of their steps are in one of them only' if only else ''}."
    )


def _is_related(left: Place, right: Place) -> bool:
    return left.run.notebook_id is not None and left.run.notebook_id == right.run.notebook_id
