"""``evercell serve``: the process that makes due things happen. It holds nothing that is not in the store.

Several may serve one store: each looks, and what it decides is one transaction in which the store has the last word.
One that is killed loses nothing. What it had started goes on, and another one looks after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime, timedelta

from evercell.core.errors import EvercellError, RunNotFound, StoreError
from evercell.core.ids import new_id
from evercell.core.queueing import Queued, QueuePicture
from evercell.core.text import one_line
from evercell.engine.admission import choose, limits_in_use
from evercell.engine.holder import this_holder
from evercell.engine.patience import may_come_back
from evercell.engine.queue_states import Obstacles
from evercell.engine.workspace import Workspace
from evercell.headless.starting import Starter
from evercell.headless.tending import Tending

LOOK = 0.4
"""Seconds between two looks at the store."""

_SIGN_OF_LIFE = 5.0
"""Seconds between two signs of life."""

_LONGEST_PAUSE = 5.0
"""Seconds between two looks at a store that is away."""

FireDue = Callable[[Workspace, datetime], datetime | None]
"""Fires the schedules that are due; returns when the next one is."""


class Server:
    """Serves a store until it is told to stop."""

    def __init__(
        self, workspace: Workspace, starter: Starter, *, jobs: int, runs_on: str | None = None,
        say: Callable[[str], None] = lambda _: None, fire_due: FireDue = lambda *_: None,
    ) -> None:  # fmt: skip
        self.id = new_id()
        self._workspace = workspace
        self._store = workspace.store
        self._starter = starter
        self._jobs = jobs
        self._runs_on = runs_on
        self._say = say
        self._fire_due = fire_due
        self._tending = Tending(workspace, starter, server_id=self.id, say=say)
        self._noted_at = float("-inf")
        self._away_since: float | None = None
        self._is_idle = False
        self._said: set[str] = set()
        self._started: dict[str, str] = {}
        """Names of the runs that this server started and has not seen end, by id."""

    def serve(self, stop: threading.Event, *, until_idle: bool = False) -> int:
        """Look again and again; returns how many runs go on without this server. A store that goes away is waited
        for; that is said once. ``until_idle``: only while something is executed, or could be.
        """
        with self._store.outages.nobody_waits():
            while not stop.is_set():
                pause = self._look()
                if until_idle and self._is_idle:
                    break
                stop.wait(pause)
            return self._leave()

    def _look(self) -> float:
        """One look; returns the seconds until the next one."""
        try:
            pause = self.tick()
        except StoreError as error:
            if not may_come_back(error):
                raise
            return self._is_away(error)
        if self._away_since is not None:
            self._say(f"the store is back after {time.monotonic() - self._away_since:.0f} s")
            self._away_since = None
        return pause

    def _is_away(self, error: StoreError) -> float:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            self._say(f"the store is away; what runs goes on, and this server waits for it: {error.what}")
        return min(_LONGEST_PAUSE, max(LOOK, (now - self._away_since) / 4))

    def _leave(self) -> int:
        """Others see that this process is gone. Its row tells them whose the runs were that it had just started."""
        try:
            left = sum(entry.admitted_by == self.id for entry in self._store.queue.look().entries)
            if not left:
                self._store.servers.remove(self.id)
        except StoreError:
            return len(self._starter.alive())
        return left

    def tick(self) -> float:
        """Do what is due now; returns the seconds until it is time to look again."""
        self._give_sign_of_life()
        self._tending.begin_look()
        next_firing = self._fire_schedules()
        self._close_overdue()
        self._take_in_strays()
        picture = self._store.queue.look()
        held = self._tending.held(picture)
        if self._tending.settle(picture, held):
            picture = self._store.queue.look()
            held = self._tending.held(picture)
        self._note_ends({entry.run_id for entry in picture.entries if entry.admitted_by == self.id})
        candidates = self._pick(picture, held)
        if candidates:
            self._start(self._store.queue.admit(self.id, lambda now: self._pick(now, held)))
        obstacles = Obstacles(picture, held, {})
        self._is_idle = not candidates and not any(
            obstacles.is_to_come(entry, self.id) for entry in picture.entries
        )
        if next_firing is None:
            return LOOK
        return min(LOOK, max(0.0, (next_firing - self._workspace.clock()).total_seconds()))

    def _fire_schedules(self) -> datetime | None:
        try:
            return self._fire_due(self._workspace, self._workspace.clock())
        except StoreError:
            raise
        except EvercellError as error:
            self._say_once(f"schedules: {one_line(str(error))}")
            return None

    def _close_overdue(self) -> None:
        """Close the missions whose time is over."""
        for run_id in self._store.missions.overdue(self._workspace.clock()):
            with suppress(RunNotFound):
                name = one_line(self._store.runs.find(run_id).name)
                if self._store.missions.expire(run_id):
                    self._say(f"run {name}: the time of its mission is over")

    def _take_in_strays(self) -> None:
        strays = self._store.queue.strays()
        dead = [run_id for run_id in strays.dead if self._tending.is_dead(run_id)]
        if found := [*strays.due, *dead]:
            self._store.queue.take_in(found)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _give_sign_of_life(self) -> None:
        if time.monotonic() - self._noted_at < _SIGN_OF_LIFE:
            return
        self._store.servers.note(self.id, this_holder(), jobs=self._jobs, runs_on=self._runs_on)
        self._noted_at = time.monotonic()

    # -- starting --------------------------------------------------------------------------------

    def _pick(self, picture: QueuePicture, held: Collection[str]) -> list[Queued]:
        """Those to be started now."""
        admitted = [entry for entry in picture.entries if entry.admitted_at is not None]
        room = self._jobs - sum(entry.admitted_by == self.id for entry in admitted)
        if room <= 0:
            return []
        uses = limits_in_use(picture.limits, picture.slots)
        candidates = Obstacles(picture, held, uses).candidates()
        return choose(
            candidates, under_way=[entry.place.share for entry in admitted], turns=picture.turns,
            turn=picture.turn, uses=uses, room=room, now=picture.now,
        )  # fmt: skip

    def _start(self, admitted: list[Queued]) -> None:
        for entry in admitted:
            try:
                self._starter.start(entry.run_id)
            except (EvercellError, OSError) as error:
                why = error.what if isinstance(error, EvercellError) else str(error)
                self._say_once(f"run {one_line(entry.name)} cannot be started now: {one_line(why)}")
                self._not_started(entry, one_line(why))
                continue
            self._started[entry.run_id] = entry.name
            self._say(f"run {one_line(entry.name)} started")

    def _not_started(self, entry: Queued, why: str) -> None:
        """Whoever executes runs is away: that is no start."""
        current = self._store.queue.find(entry.run_id)
        if current is not None and current.admitted_by == self.id:
            again = self._store.leases.now() + timedelta(seconds=_LONGEST_PAUSE)
            self._store.queue.give_back(current, ready_at=again, starts=current.starts, problem=why)

    def _note_ends(self, admitted: Collection[str]) -> None:
        for run_id in [run_id for run_id in self._started if run_id not in admitted]:
            name = one_line(self._started.pop(run_id))
            with suppress(RunNotFound):
                self._say(f"run {name} {self._store.runs.find(run_id).status}")
