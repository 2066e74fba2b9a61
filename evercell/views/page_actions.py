"""What may be done from a step or a run on a page, in the words of the magics. A page shows the list, and asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evercell.core.text import one_line
from evercell.engine.watching import StepState

if TYPE_CHECKING:
    from evercell.engine.former_sources import FormerSource
    from evercell.engine.places import Place


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before something is done. ``{step_name}`` and ``{run_name}`` stand for what was chosen."""

    title: str
    text: str
    yes: str
    field: str = ""
    """The name of the value that is typed; empty: nothing is, it is confirmed."""

    def as_json(self) -> dict[str, Any]:
        return {"title": self.title, "text": self.text, "yes": self.yes, "field": self.field}


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of a menu."""

    name: str
    """Of the request that is sent."""
    label: str
    caption: str
    ask: Question | None = None

    def as_json(self) -> dict[str, Any]:
        """For a page."""
        return {
            "name": self.name,
            "label": self.label,
            "caption": self.caption,
            "ask": self.ask.as_json() if self.ask else None,
        }


_NAME = "Name of the new run (empty: one is made up)"

_INSPECT = Action(
    "inspect", "Inspect", "Its variables: size, what they share, who changed them last (%inspect)"
)
_SOURCE = Action("source", "Show Its Source", "Its code as it was executed (%source)")
_CHECKOUT = Action(
    "checkout", "Check Out", "Put this state into the kernel, and go on from there in this run (%checkout)"
)
_BRANCH = Action(
    "branch",
    "Branch from Here…",
    "Begin another run with this state; nothing is copied (%branch --from)",
    Question("Branch from {step_name} of {run_name}", _NAME, "Branch", "label"),
)
_BRANCH_RUN = Action(
    "branch",
    "Branch from Here…",
    "Begin another run where this one stands; nothing is copied (%branch --from)",
    Question("Branch from {run_name}", _NAME, "Branch", "label"),
)
_COMPARE = Action(
    "compare", "Compare with This Notebook's Run", "Code, variables, outputs, metrics side by side (%compare)"
)
_COMPARE_ALL = Action(
    "compare", "Compare All Branches", "Figures and metrics of all that share a history (%compare)"
)
_RESET = Action(
    "reset",
    "Reset to Before It…",
    "Go on from before this step in a new run, with corrected code; this run stays what it was (evercell reset)",
    Question("Go on from before {step_name} of {run_name}, in a new run", _NAME, "Reset", "label"),
)
_SOURCES = Action(
    "sources",
    "Put Back the Sources That Differ",
    "Write into the cells what this run executed; it can be undone",
)
_ITS_SOURCE = Action(
    "sources", "Put Back Its Source", "Write into the cell what this run executed; it can be undone"
)
_RESUME = Action("resume", "Resume", "Put back what it had in memory after its last step (%resume)")
_PAUSE = Action("pause", "Pause", "Let it begin no further step (%pause)")
_UNPAUSE = Action("unpause", "Let It Go On", "Let it begin steps again (%unpause)")
_CANCEL = Action(
    "cancel",
    "Cancel…",
    "Give it up; a cell that runs is interrupted (%abandon)",
    Question(
        "Cancel {run_name}?",
        "Nobody goes on with it afterwards. What its steps saved stays.",
        "Cancel the Run",
    ),
)

MOVES = frozenset(action.name for action in (_RESUME, _CHECKOUT, _BRANCH, _RESET))
"""What puts the kernel elsewhere in its history: between cells only."""

COMPLETED, TRIED, OWN, OTHER = "completed", "tried", "own", "other"
"""Kinds of what is chosen: a step that completed, one that was only tried; the notebook's run, another one."""

_MENUS: Mapping[str, Sequence[Action]] = {
    COMPLETED: (_INSPECT, _SOURCE, _CHECKOUT, _BRANCH, _COMPARE, _RESET, _ITS_SOURCE),
    TRIED: (_RESET,),
    OWN: (_INSPECT, _RESUME, _BRANCH_RUN, _COMPARE_ALL, _SOURCES, _PAUSE, _UNPAUSE, _CANCEL),
    OTHER: (_INSPECT, _CHECKOUT, _BRANCH_RUN, _COMPARE),
}

_KINDS = {
    str(StepState.COMPLETED): COMPLETED,
    str(StepState.REPLAYED): COMPLETED,
    "stale": COMPLETED,
    str(StepState.FAILED): TRIED,
    str(StepState.INTERRUPTED): TRIED,
}


def menus_json() -> dict[str, Any]:
    """Kind → the entries of its menu."""
    return {kind: [action.as_json() for action in actions] for kind, actions in _MENUS.items()}


def kind_of_step(state: str) -> str:
    """Which menu a step has that stands so; empty: none, as long as it goes on."""
    return _KINDS.get(state, "")


def put_back_action(steps: Sequence[str]) -> Action:
    """What is offered after a checkout that found cells with other code."""
    return Action(
        "sources", f"Put Back the Source{_s(steps)} of {len(steps)} Cell{_s(steps)}", _SOURCES.caption
    )


def sources_json(found: Sequence[FormerSource], place: Place, step: str | None) -> dict[str, Any]:
    """What a page is to write into its cells, and what it says when that is done."""
    run = one_line(place.run.name)
    if not found:
        whose = f"The cell of step {one_line(step)} is" if step else "The cells are"
        return {"text": f"{whose} as in run {run} already, or not in this notebook.", "cells": {}}
    names = ", ".join(one_line(one.step) for one in found)
    text = (
        f"{len(found)} cell{_s(found)} say{'' if len(found) > 1 else 's'} again what run {run} executed: {names}\n"
        "What it said before is in the cell's own history: click into it, and undo (Ctrl+Z)."
    )
    return {"text": text, "cells": {one.cell: one.source for one in found}}


def _s(items: Sequence[object]) -> str:
    return "s" if len(items) != 1 else ""
