"""A durable call under way: its time limits, its heartbeats, and the progress that it reported."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from evercell.core.errors import StepTimeout
from evercell.engine.calls.logged_metrics import LoggedMetrics
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.scope import CallScope

_BETWEEN_WRITES = 1.0
"""Seconds: a call may give signs of life more often than the store wants to hear of them."""


@dataclass
class RunningCall:
    """A durable call under way."""

    scope: CallScope
    identity: CallIdentity
    timeout: float | None = None
    """Seconds of one try."""
    heartbeat_timeout: float | None = None
    """Seconds without a sign of life after which a try counts as hung."""
    metrics: LoggedMetrics = field(default_factory=LoggedMetrics)
    slots: Mapping[str, str] = field(default_factory=dict)
    """By the key of a limit, the slot that this call, or one around it, holds."""
    _began: float = field(default_factory=time.monotonic)
    _last: float = field(default_factory=time.monotonic)
    _written: float = 0.0
    _details: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    # -- the time limit of a try (see `TimeLimit`) -----------------------------------------------

    @property
    def is_limited(self) -> bool:
        return self.timeout is not None or self.heartbeat_timeout is not None

    def begin_try(self) -> None:
        self._began = self._last = time.monotonic()

    def seconds_left(self) -> float:
        return min(_left(self.timeout, self._began), _left(self.heartbeat_timeout, self._last))

    def error(self) -> StepTimeout:
        name = self.identity.name
        if _left(self.timeout, self._began) <= 0:
            return StepTimeout(
                f"{name}() took longer than its timeout of {self.timeout:g} s.",
                hint="Give it more time (timeout=...), or more tries (retries=...).",
            )
        return StepTimeout(
            f"{name}() gave no sign of life for {self.heartbeat_timeout:g} s.",
            hint="Call evercell.heartbeat() more often in it, or give it more time (heartbeat_timeout=...).",
        )

    # -- signs of life ---------------------------------------------------------------------------

    def record_heartbeat(self, details: Any) -> None:
        """Commit a sign of life, unless the last one is less than a second old."""
        with self._lock:
            now = self._last = time.monotonic()
            self._details = details
            if now - self._written < _BETWEEN_WRITES:
                return
            self._written = now
        step = self.scope.step
        with step.deferred_interrupts():
            step.workspace.store.calls.record_heartbeat(
                step.lease(), step.name, step.key, self.identity.key, details
            )

    def last_details(self) -> Any:
        """What an earlier try, in this kernel or a killed one, reported last."""
        if self._details is not None:
            return self._details
        step = self.scope.step
        return step.workspace.store.calls.last_heartbeat(step.run_id, step.name, step.key, self.identity.key)


def _left(limit: float | None, since: float) -> float:
    return float("inf") if limit is None else limit - (time.monotonic() - since)
