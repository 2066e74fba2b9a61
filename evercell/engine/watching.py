"""How far a step is, told to whoever shows it: marks at cells, a line of progress, a page."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class StepState(StrEnum):
    """How a step stands while its cell is looked at."""

    RUNNING = "running"
    WAITING = "waiting"
    """For a person, a time or a signal."""
    SAVING = "saving"
    COMPLETED = "completed"
    REPLAYED = "replayed"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A step at one moment. Times in seconds since the epoch."""

    step: str
    cell_id: str | None
    state: StepState
    began_at: float
    why: str = ""
    """Why it executes again."""
    attempt: int = 1
    executed: int = 0
    """Calls that ended in this attempt, whether they returned or raised."""
    replayed: int = 0
    """Calls that earlier attempts had made."""
    failed: int = 0
    """Of the executed ones, those that raised."""
    recorded: int = 0
    """Calls that were recorded before this attempt."""
    expected: int | None = None
    """How many calls there will be, where somebody knows (a map)."""
    calls: tuple[str, ...] = ()
    """Names of the calls under way, the one that began last at the end."""
    waits_for: str = ""
    """Whom or what it waits for."""
    tokens: int = 0
    """Of the calls executed, in and out."""
    cost: float = 0.0
    saved_seconds: float | None = None
    """What the body took when it was executed, of a step that was replayed."""


Watcher = Callable[[Snapshot], None]
"""Told of each change, in the thread in which it happens: to be quick, and to raise nothing."""


class Watchers:
    """Those who are told how steps stand."""

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """Tell it from now on; returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def tell(self, snapshot: Snapshot) -> None:
        """Tell all of them."""
        for watcher in tuple(self._watchers):
            watcher(snapshot)

    def __bool__(self) -> bool:
        return bool(self._watchers)


class StepProgress:
    """How far one step is: counted as its calls begin and end, in whatever thread."""

    def __init__(
        self, step: str, *, cell_id: str | None = None, why: str = "", watchers: Watchers | None = None
    ) -> None:
        self._step = step
        self._cell_id = cell_id
        self._why = why
        self._watchers = watchers if watchers is not None else Watchers()
        self._lock = threading.Lock()
        self._state = StepState.RUNNING
        self._saved_seconds: float | None = None
        self.begin_attempt(1)

    def begin_attempt(self, number: int) -> None:
        """From the first call again."""
        self._attempt = number
        self._began_at = time.time()
        self._executed = self._replayed = self._failed = self._recorded = self._tokens = 0
        self._cost = 0.0
        self._expected: int | None = None
        self._calls: Counter[str] = Counter()
        self._waits_for = ""
        self.enter(StepState.RUNNING)

    def snapshot(self) -> Snapshot:
        """How it stands now."""
        return Snapshot(
            self._step, self._cell_id, self._state, self._began_at, self._why, self._attempt, self._executed,
            self._replayed, self._failed, self._recorded, self._expected, tuple(self._calls), self._waits_for,
            self._tokens, self._cost, self._saved_seconds,
        )  # fmt: skip

    def enter(self, state: StepState, *, saved_seconds: float | None = None) -> None:
        """It stands otherwise from now on."""
        self._state, self._saved_seconds = state, saved_seconds
        self._tell()

    @contextmanager
    def waiting(self, for_what: str) -> Iterator[None]:
        """While inside, it waits."""
        self._waits_for = for_what
        self.enter(StepState.WAITING)
        try:
            yield
        finally:
            self._waits_for = ""
            self.enter(StepState.RUNNING)

    # -- its calls -------------------------------------------------------------------------------

    def recorded(self, count: int) -> None:
        """So many calls were recorded before this attempt."""
        self._recorded = count

    def expect(self, count: int) -> None:
        """So many calls more are going to be made, beside those made already."""
        with self._lock:
            self._expected = (self._expected or self._executed + self._replayed) + count

    def call_began(self, name: str) -> None:
        """A call is executed."""
        with self._lock:
            self._calls[name] += 1
        self._tell()

    def call_left(self, name: str) -> None:
        """It is not under way any more."""
        with self._lock:
            self._calls[name] -= 1
            if not self._calls[name]:
                del self._calls[name]

    def call_executed(self, *, ok: bool, tries: Iterable[Mapping[str, Any]]) -> None:
        """It was recorded."""
        with self._lock:
            self._executed += 1
            self._failed += not ok
            for tried in tries:
                self._tokens += tried.get("tokens_in", 0) + tried.get("tokens_out", 0)
                self._cost += tried.get("cost", 0.0)
        self._tell()

    def call_replayed(self) -> None:
        """What an earlier attempt had recorded was taken."""
        with self._lock:
            self._replayed += 1
        self._tell()

    def _tell(self) -> None:
        if self._watchers:
            self._watchers.tell(self.snapshot())
