"""Statuses of runs and attempts, and which may follow which."""

from __future__ import annotations

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands."""

    QUEUED = "queued"
    """Made, not started: a branch that nobody has executed yet, or a run that another one asked for."""
    RUNNING = "running"
    """A session is on it, or was when it died."""
    WAITING = "waiting"
    """A durable wait holds it; no kernel is needed until the answer comes."""
    PAUSED = "paused"
    """Its kernel was shut down, or somebody paused it; resume goes on."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptStatus(StrEnum):
    """How one try to execute a step stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its kernel went away, or the user interrupted it: nobody knows how far it came."""


CANCEL = "cancel"
"""What somebody outside may ask of a run that a living session is on: to end now, …"""

PAUSE = "pause"
"""… or to begin no further step."""

ENDED = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED})
"""Whoever waits for a run waits no longer."""

_ALIVE = frozenset(
    {RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED}
    | {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
)

RUN_TRANSITIONS: dict[RunStatus, frozenset[RunStatus]] = {
    RunStatus.QUEUED: frozenset({RunStatus.RUNNING, RunStatus.PAUSED, RunStatus.FAILED, RunStatus.CANCELLED}),
    RunStatus.RUNNING: _ALIVE - {RunStatus.RUNNING},
    RunStatus.WAITING: _ALIVE - {RunStatus.WAITING, RunStatus.COMPLETED},
    RunStatus.PAUSED: _ALIVE - {RunStatus.PAUSED, RunStatus.COMPLETED},
    RunStatus.COMPLETED: frozenset({RunStatus.RUNNING}),
    RunStatus.FAILED: frozenset({RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLED}),
    RunStatus.CANCELLED: frozenset(),
}
"""From a status to those that may follow it. A finished run is reopened by executing in it again."""
