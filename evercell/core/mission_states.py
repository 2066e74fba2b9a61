"""The states of missions, and which may follow which."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

from evercell.core.errors import MissionClosed
from evercell.core.text import as_word

ASKED_AS = "%mission"
"""What the approval of a mission has in the place of a step."""


class MissionState(StrEnum):
    """Where a mission stands: in each of these once, one after the other."""

    CREATED = "CREATED"
    PLANNING = "PLANNING"
    WAITING_APPROVAL = "WAITING_APPROVAL"
    APPROVED = "APPROVED"
    PENDING_EXECUTION = "PENDING_EXECUTION"
    """What it may do is frozen; a kernel is to take it."""
    IN_PROGRESS = "IN_PROGRESS"
    EXECUTED = "EXECUTED"
    CLOSED = "CLOSED"
    """It has its outcome. Nothing is executed or committed in its run any more."""


class MissionOutcome(StrEnum):
    """What came of a mission, written once."""

    EXECUTED = "executed"
    REJECTED = "rejected"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


_ORDER = tuple(MissionState)

CHAIN = tuple(pairwise(_ORDER))
"""From a state to the one after it."""

EARLY_CLOSINGS = tuple((state, MissionState.CLOSED) for state in _ORDER[:-2])
"""Ends before all was executed. A strict mission has none of them."""

EDGES = frozenset(
    [(is_strict, *edge) for is_strict in (False, True) for edge in CHAIN]
    + [(False, *edge) for edge in EARLY_CLOSINGS]
)
"""All that may ever happen: whether the mission is strict, the state before, the state after."""


def mission_closed(run: str, outcome: str = "closed") -> MissionClosed:
    """The error for whatever comes after a mission's end."""
    return MissionClosed(
        f"The mission of run {run} is {outcome}: nothing more is executed in it.",
        hint=f"`evercell mission {as_word(run)}` shows what came of it. To go on, with an approval of its own: "
        f"evercell branch {as_word(run)} --from STEP. Otherwise start a new run (%evercell new).",
    )
