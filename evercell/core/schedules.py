"""Schedules as frozen records: when a notebook is to run, and what becomes of a firing that comes at a bad time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from evercell.core.records import Json, NewRun
from evercell.core.statuses import RunStatus

RUN_NAME = "{run}"
"""Stands for the run's name in the path of an output."""


class CatchUp(StrEnum):
    """Which of the firings that nobody was there for are made up for."""

    ALL = "all"
    LAST = "last"
    """Only the newest one."""
    NONE = "none"


class Overlap(StrEnum):
    """What becomes of a firing while a run of an earlier one has not ended."""

    SKIP = "skip"
    QUEUE = "queue"
    """It waits until that one has ended."""
    CANCEL = "cancel"
    """That one is cancelled, and then it begins."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A notebook that runs again and again."""

    name: str
    cron: str
    timezone: str
    notebook: str
    """Absolute path."""
    output: str | None
    """Absolute path, with `RUN_NAME` in it or without; None: beside the notebook, named after it and the run."""
    params: Json
    kernel: str | None
    catch_up: CatchUp
    overlap: Overlap
    priority: int
    limits: tuple[str, ...]
    next_at: datetime | None
    """The firing that is due next, None where none ever will be."""
    last_at: datetime | None
    """The newest firing that was looked at, whatever came of it."""
    paused_at: datetime | None
    created_at: datetime
    created_by: str
    last_run: str | None = None
    """Id of the newest run that it made."""
    unfinished: tuple[str, ...] = ()
    """Ids of its runs that had not ended when it was last looked at, in the order of their firings."""
    left_out: int = 0
    """How many firings became no run."""
    remark: str = ""
    """What there is to say about the last of these."""
    remark_at: datetime | None = None
    mission: Json | None = None
    """What each run is launched as: a definition, as it was when the schedule was added …"""
    mission_mac: bytes | None = None
    """… and by whose key."""


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run of a schedule that has not ended."""

    id: str
    name: str
    status: RunStatus
    is_held: bool
    """It waits until those before it have ended, and is in no queue yet."""
    is_attended: bool
    """A session is on it, or a server starts one: that has to end it."""
    is_asked_to_end: bool


@dataclass(frozen=True, slots=True)
class Firing:
    """A run to be made."""

    due_at: datetime
    run: NewRun
    """Where its name is taken, it gets a number; in its output `RUN_NAME` (the last one) stands for its name."""
    failure: str = ""
    """Why it cannot even begin; empty: it can."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be committed for a schedule of which firings are due."""

    next_at: datetime | None
    firings: tuple[Firing, ...] = ()
    """In order: each waits until the one before has ended."""
    cancels: tuple[str, ...] = ()
    """Ids of runs that are to end first."""
    left_out: int = 0
    remark: str = ""
    last_at: datetime | None = None


def firing_key(schedule: str, due_at: datetime) -> str:
    """The run key of a firing: of one moment there is one run, whoever makes it and how often."""
    at = due_at.astimezone(UTC)
    text = f"{at:%Y-%m-%dT%H:%M:%S}" + (f".{at:%f}" if at.microsecond else "")
    return f"schedule:{schedule}@{text}Z"
