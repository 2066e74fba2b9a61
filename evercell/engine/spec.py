"""What a cell asks for: its name, its options, and where it stands."""

from __future__ import annotations

import re
from dataclasses import dataclass

from evercell.core.errors import UsageError
from evercell.engine.approvals.request import ApprovalRequest
from evercell.engine.calls.policy import OnChange

STEP_NAME = r"[^\W\d][\w.-]*"
"""A letter or underscore, then letters, digits, underscores, dots and dashes."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class StepSpec:
    """A step as its cell declares it. Durations in seconds."""

    name: str
    retries: int = 0
    """How many more attempts after a failure."""
    timeout: float | None = None
    """For one attempt."""
    backoff: float = 1.0
    """Before the second attempt; doubled before each further one."""
    rerun: bool = False
    once: bool = False
    """Never tried again by itself after an attempt that was interrupted."""
    on_change: OnChange = OnChange.FAIL
    """What happens where it goes on after a kill and calls otherwise than it did."""
    limit: str | None = None
    """Key of the limit of which each attempt holds a slot."""
    gate: str | None = None
    """What its calls have to come up to, as it is written."""
    approval: ApprovalRequest | None = None
    """What must be approved before the cell is executed."""
    slot: str = ""
    """What must match beside the key for a replay; the name where empty."""

    def __post_init__(self) -> None:
        check_step_name(self.name)
        if self.retries < 0:
            raise UsageError(
                f"Step {self.name}: --retries {self.retries} is negative.", hint="Use 0 or more."
            )

    @property
    def replay_slot(self) -> str:
        return self.slot or self.name

    @property
    def is_named(self) -> bool:
        """Whether its cell names it: the name of any other says where the cell stands now."""
        return not self.slot


@dataclass(frozen=True, slots=True)
class CellPlace:
    """Where a cell stands: the front end's id of it, and what a person calls it (``In [4]``)."""

    label: str
    cell_id: str | None = None


def check_step_name(name: str) -> None:
    """Raise `UsageError` for a name that could not be typed in ``RUN@STEP`` or on a command line."""
    if not re.fullmatch(STEP_NAME, name):
        raise UsageError(
            f"{name!r} cannot name a step.",
            hint="Begin with a letter; go on with letters, digits, '_', '-' or '.': %%step load-data",
        )


def parse_duration(text: str) -> float:
    """Seconds from ``90``, ``90s``, ``1.5m``, ``2h``, ``3d`` or ``200ms``; raises `UsageError`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise UsageError(
            f"{text!r} is not a duration.", hint="Write a number and a unit: 90s, 10m, 2h, 3d or 200ms."
        )
    return float(match[1]) * _SECONDS[match[2]]
