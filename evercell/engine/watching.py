"""How far a step is, told to whoever shows it: marks at cells, a line of progress, a page."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Protocol

from evercell.core.forks import tell_child

_BETWEEN = 0.2
"""Seconds between two tellings of calls that come and go."""

_BEAT = 1.0
"""Seconds: so often a step under way is told of though nothing changed."""

_IDLE = 1.0
"""Seconds without a step under way after which nobody keeps time any more."""


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

    @property
    def is_under_way(self) -> bool:
        """Whether more is to come of it."""
        return self in (StepState.RUNNING, StepState.WAITING, StepState.SAVING)


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
    written: int = 0
    """Bytes of its state that were written so far, while it is saved."""
    to_write: int = 0
    """All of them, as soon as that is known."""

    @property
    def done(self) -> int:
        """Calls that need not be made any more."""
        return self.executed + self.replayed

    def as_json(self) -> dict[str, Any]:
        """For a message to another process: what is not as it is by itself."""
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        }


def snapshot_from_json(data: Mapping[str, Any]) -> Snapshot | None:
    """The snapshot that `Snapshot.as_json` made JSON of; None for anything else."""
    known = {field.name for field in fields(Snapshot)}
    try:
        given = {name: value for name, value in data.items() if name in known}
        calls = tuple(map(str, given.get("calls", ())))
        return Snapshot(**{**given, "state": StepState(given["state"]), "calls": calls})
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


Watcher = Callable[[Snapshot], None]
"""Told in the thread in which something changes, or in one that keeps time: to be quick, and to raise nothing."""


class Timed(Protocol):
    """Something under way that is to be told of now and then."""

    def beat(self) -> None:
        """Some time passed. Called in a thread of its own, some times a second."""


class Watchers:
    """Those who are told how steps stand.

    A change of state is told at once. Of calls that come and go a thread of ours tells a few times a second, and of a
    step under way once a second though nothing changed: neither takes the calls' time, nor waits for theirs.
    """

    def __init__(self) -> None:
        self._watchers: list[Watcher] = []
        self._under_way: list[Timed] = []
        self._timekeeper: threading.Thread | None = None
        self._lock = threading.Lock()
        tell_child(self)

    def in_child(self) -> None:
        """Nobody is told by a forked child: the page is its parent's, and so is the thread that keeps time."""
        self._lock, self._timekeeper = threading.Lock(), None
        self._watchers, self._under_way = [], []

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """Tell it from now on; returns what ends that."""
        self._watchers.append(watcher)
        return lambda: self._remove(watcher)

    def _remove(self, watcher: Watcher) -> None:
        if watcher in self._watchers:
            self._watchers.remove(watcher)

    def tell(self, snapshot: Snapshot) -> None:
        """Tell all of them. One that fails is told no more: no step ends for want of a picture."""
        for watcher in tuple(self._watchers):
            try:
                watcher(snapshot)
            except Exception:  # noqa: BLE001
                self._remove(watcher)

    def __bool__(self) -> bool:
        return bool(self._watchers)

    def follow(self, timed: Timed) -> None:
        """Keep time for it until it ends."""
        with self._lock:
            self._under_way.append(timed)
            if self._timekeeper is None or not self._timekeeper.is_alive():
                self._timekeeper = threading.Thread(
                    target=self._keep_time, name="evercell-progress", daemon=True
                )
                self._timekeeper.start()

    def leave(self, timed: Timed) -> None:
        """It ended."""
        with self._lock:
            if timed in self._under_way:
                self._under_way.remove(timed)

    def _keep_time(self) -> None:
        idle_since = time.monotonic()
        while True:
            time.sleep(_BETWEEN)
            with self._lock:
                under_way = list(self._under_way)
                if under_way:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since > _IDLE:
                    self._timekeeper = None
                    return
            for timed in under_way:
                timed.beat()


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
        self._told_at = time.monotonic()
        self._has_news = False
        self._waits: list[str] = []
        self._waited = ""
        """What it waited for last: that of a step whose wait ended its kernel."""
        self.begin_attempt(1)

    def begin_attempt(self, number: int) -> None:
        """From the first call again."""
        self._attempt = number
        self._began_at = time.time()
        self._executed = self._replayed = self._failed = self._recorded = self._tokens = 0
        self._cost = 0.0
        self._expected: int | None = None
        self._calls: Counter[str] = Counter()
        self._written = self._to_write = 0
        self.enter(StepState.RUNNING)

    @property
    def is_watched(self) -> bool:
        """Whether somebody shows it."""
        return bool(self._watchers)

    def snapshot(self) -> Snapshot:
        """How it stands now."""
        with self._lock:
            return Snapshot(
                self._step, self._cell_id, self._state, self._began_at, self._why, self._attempt, self._executed,
                self._replayed, self._failed, self._recorded, self._expected, tuple(self._calls),
                self._waiting_for(), self._tokens, self._cost, self._saved_seconds,
                self._written, self._to_write,
            )  # fmt: skip

    def _waiting_for(self) -> str:
        if self._waits:
            return self._waits[-1]
        return self._waited if self._state is StepState.WAITING else ""

    def enter(self, state: StepState, *, saved_seconds: float | None = None) -> None:
        """It stands otherwise from now on."""
        self._state, self._saved_seconds = state, saved_seconds
        if self._watchers:
            self._told_at, self._has_news = time.monotonic(), state.is_under_way
            self._watchers.tell(self.snapshot())

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """While inside, whoever shows it is told now and then. What raises out of it ends it."""
        if not self._watchers:
            yield
            return
        self._watchers.follow(self)
        try:
            yield
        except BaseException:
            if self._state.is_under_way:
                self.enter(StepState.FAILED)
            raise
        finally:
            self._watchers.leave(self)

    @contextmanager
    def waiting(self, for_what: str) -> Iterator[None]:
        """While inside, it waits; other calls may wait, too."""
        with self._lock:
            self._waits.append(for_what)
            self._waited = for_what
        self.enter(StepState.WAITING)
        try:
            yield
        finally:
            with self._lock:
                self._waits.remove(for_what)
                goes_on = not self._waits and self._state is StepState.WAITING
            if goes_on:
                self.enter(StepState.RUNNING)

    # -- its calls -------------------------------------------------------------------------------

    def recorded(self, count: int) -> None:
        """So many calls were recorded before this attempt."""
        self._recorded = count

    def expect(self, count: int) -> None:
        """So many calls more are going to be made, beside those made already."""
        with self._lock:
            self._expected = max(self._expected or 0, self._executed + self._replayed) + count

    def call_began(self, name: str) -> None:
        """A call is executed."""
        with self._lock:
            self._calls[name] += 1
        self._has_news = True

    def call_left(self, name: str) -> None:
        """It is not under way any more."""
        with self._lock:
            self._calls[name] -= 1
            if self._calls[name] <= 0:  # one of an earlier attempt may end late
                del self._calls[name]
        self._has_news = True

    def call_executed(self, *, ok: bool, tries: Iterable[Mapping[str, Any]], nested: bool = False) -> None:
        """It was recorded. One that is ``nested`` in another is none of those that are expected."""
        with self._lock:
            if not nested or self._expected is None:
                self._executed += 1
                self._failed += not ok
            for tried in tries:
                self._tokens += tried.get("tokens_in", 0) + tried.get("tokens_out", 0)
                self._cost += tried.get("cost", 0.0)
        self._has_news = True

    def call_replayed(self, *, nested: bool = False) -> None:
        """What an earlier attempt had recorded was taken."""
        with self._lock:
            self._replayed += not nested or self._expected is None
        self._has_news = True

    # -- its state -------------------------------------------------------------------------------

    def save_began(self, size: int) -> None:
        """So many bytes are to be written."""
        self._written, self._to_write = 0, size

    def wrote(self, size: int) -> None:
        """So many bytes more are written."""
        self._written += size
        self._has_news = True

    # -- telling ---------------------------------------------------------------------------------

    def beat(self) -> None:
        """Tell what was not told yet; once a second, tell again."""
        now = time.monotonic()
        if self._state.is_under_way and (self._has_news or now - self._told_at >= _BEAT):
            self._told_at, self._has_news = now, False
            self._watchers.tell(self.snapshot())
