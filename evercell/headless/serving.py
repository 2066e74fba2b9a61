"""``evercell serve``: the process that makes due things happen. It holds nothing that is not in the store.

Several may serve one store: each looks, and what it decides is one transaction in which the store has the last word.
One that is killed loses nothing. What it had started goes on, and another one looks after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from evercell.core.errors import EvercellError, IllegalTransition, RunNotFound, StoreError
from evercell.core.ids import new_id
from evercell.core.queueing import Queued, QueuePicture, ServerRow
from evercell.core.records import Lease
from evercell.core.statuses import RunStatus
from evercell.core.text import one_line
from evercell.engine.admission import choose, limits_in_use
from evercell.engine.holder import is_gone, is_here, this_holder
from evercell.engine.patience import may_come_back
from evercell.engine.queue_states import Fate, Obstacles, fate, is_alive
from evercell.engine.workspace import Workspace
from evercell.headless.admitted import came_to_nothing
from evercell.headless.starting import Starter, has_process

LOOK = 0.4
"""Seconds between two looks at the store."""

_SIGN_OF_LIFE = 5.0
"""Seconds between two signs of life."""

_START_SECONDS = 60.0
"""How long a process that nobody here can see has to claim its run."""

_LONGEST_PAUSE = 5.0
"""Seconds between two looks at a store that is away."""

FireDue = Callable[[Workspace, datetime], datetime | None]
"""Fires the schedules that are due; returns when the next one is."""


@dataclass(slots=True)
class _Suspect:
    """Something that looks dead, and since when: clocks may jump, and this one does not."""

    what: object
    since: float = field(default_factory=time.monotonic)


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
        self._noted_at = float("-inf")
        self._away_since: float | None = None
        self._is_idle = False
        self._suspects: dict[str, _Suspect] = {}
        self._looked_at: set[str] = set()
        self._said: set[str] = set()
        self._started: dict[str, str] = {}
        """Names of the runs that this server started and has not seen end, by id."""

    def serve(self, stop: threading.Event, *, until_idle: bool = False) -> int:
        """Look again and again; returns how many runs go on without this server. A store that goes away is waited
        for; that is said once. ``until_idle``: only while something is executed, or could be.
        """
        with self._store.outages.nobody_waits():
            try:
                while not stop.is_set():
                    pause = self._look()
                    if until_idle and self._is_idle:
                        break
                    stop.wait(pause)
            finally:
                self._leave()
        return len(self._starter.alive())

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

    def _leave(self) -> None:
        """Others see that this process is gone. Its row tells them whose the runs were that it had just started."""
        with suppress(StoreError):
            if not any(entry.admitted_by == self.id for entry in self._store.queue.look().entries):
                self._store.servers.remove(self.id)

    def tick(self) -> float:
        """Do what is due now; returns the seconds until it is time to look again."""
        self._give_sign_of_life()
        self._looked_at.clear()
        next_firing = self._fire_schedules()
        self._take_in_strays()
        picture = self._store.queue.look()
        held = self._held(picture)
        if self._settle(picture, held):
            picture = self._store.queue.look()
            held = self._held(picture)
        candidates = self._pick(picture, held)
        if candidates:
            self._start(self._store.queue.admit(self.id, lambda now: self._pick(now, held)))
        self._is_idle = not candidates and not any(entry.admitted_by == self.id for entry in picture.entries)
        self._suspects = {key: one for key, one in self._suspects.items() if key in self._looked_at}
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

    def _take_in_strays(self) -> None:
        strays = self._store.queue.strays()
        dead = [run_id for run_id in strays.dead if self._is_dead(run_id)]
        if found := [*strays.due, *dead]:
            self._store.queue.take_in(found)

    def _is_dead(self, run_id: str) -> bool:
        """Whether nobody is on a run whose lease has ended."""
        lease = self._store.leases.get(run_id)
        if lease is None or is_gone(lease.holder):
            return True
        return not is_here(lease.holder) and not self._may_be_renewed(lease)

    def _say_once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def _give_sign_of_life(self) -> None:
        if time.monotonic() - self._noted_at < _SIGN_OF_LIFE:
            return
        self._store.servers.note(self.id, this_holder(), jobs=self._jobs, runs_on=self._runs_on)
        self._noted_at = time.monotonic()

    # -- what became of the admitted -------------------------------------------------------------

    def _settle(self, picture: QueuePicture, held: Collection[str]) -> bool:
        """Commit what became of runs that were admitted; says whether anything changed."""
        alive = self._starter.alive()
        others = {server.id: server for server in picture.servers if server.id != self.id}
        gone = {id_ for id_, server in others.items() if not is_alive(server, picture.now)}
        changed = [
            self._settle_one(entry, self._runner_lives(entry, alive, others, gone), picture, held)
            for entry in picture.entries
        ]
        for server_id in gone:
            if not any(entry.admitted_by == server_id for entry in picture.entries):
                self._store.servers.remove(server_id)
        self._note_ends({entry.run_id for entry in picture.entries if entry.admitted_by == self.id})
        return any(changed)

    def _settle_one(
        self, entry: Queued, runner_lives: bool | None, picture: QueuePicture, held: Collection[str]
    ) -> bool:
        with suppress(IllegalTransition):  # it is in another status by now
            return self._settled(entry, runner_lives, picture, is_held=entry.run_id in held)
        return False

    def _settled(
        self, entry: Queued, runner_lives: bool | None, picture: QueuePicture, *, is_held: bool
    ) -> bool:
        if entry.admitted_at is not None and runner_lives is None and not is_held:
            runner_lives = (
                None if self._is_new(f"start {entry.run_id}", entry.admitted_at, _START_SECONDS) else False
            )
        match fate(entry, runner_lives=runner_lives, is_held=is_held):
            case Fate.ENDED:
                return self._store.queue.drop(entry)
            case Fate.CANCEL:
                return self._store.queue.drop(entry, status=RunStatus.CANCELLED, reason="cancelled")
            case Fate.WAITS:
                return self._store.queue.give_back(entry)
            case Fate.AGAIN:
                return self._start_again(entry)
        if entry.admitted_at is None or entry.admitted_by == self.id or not runner_lives:
            return False
        known = {server.id for server in picture.servers if is_alive(server, picture.now)}
        return entry.admitted_by not in known and self._store.queue.adopt(entry, self.id)

    def _start_again(self, entry: Queued) -> bool:
        if came_to_nothing(self._workspace, entry, "its process is gone"):
            self._say(f"run {one_line(entry.name)}: its process is gone; it is started again")
        else:
            self._say(
                f"run {one_line(entry.name)} failed: it was started too often without completing a step"
            )
        self._started.pop(entry.run_id, None)
        return True

    def _runner_lives(
        self, entry: Queued, alive: Collection[str], others: dict[str, ServerRow], gone: Collection[str]
    ) -> bool | None:
        """Whether whoever executes an entry lives; None where nobody here can tell."""
        if entry.admitted_at is None:
            return None
        if entry.run_id in alive:
            return True
        if entry.runner is not None and is_here(entry.runner):
            return not is_gone(entry.runner)
        if entry.admitted_by == self.id:
            return False
        server = others.get(entry.admitted_by or "")
        if server is not None and server.id not in gone:
            return True  # its own server looks after it
        if server is not None and server.runs_on is None and is_here(server.process) and entry.runner is None:
            return has_process(entry.run_id)
        return None

    def _held(self, picture: QueuePicture) -> set[str]:
        """The runs that a living session is on."""
        held = set()
        for entry in picture.entries:
            lease = entry.lease
            if lease is None or is_gone(lease.holder):
                continue
            is_expired = lease.expires_at <= picture.now
            if not is_expired or is_here(lease.holder) or self._may_be_renewed(lease):
                held.add(entry.run_id)
        return held

    def _may_be_renewed(self, lease: Lease) -> bool:
        """Whether a lease that has ended is one whose clock jumped: its holder renews it within a third of it."""
        seen = (lease.token, lease.expires_at)
        return self._is_new(f"lease {lease.run_id}", seen, self._workspace.lease_ttl.total_seconds() / 3 + 1)

    def _is_new(self, key: str, what: object, seconds: float) -> bool:
        """Whether this looks so for less than so many seconds, by a clock that does not jump."""
        self._looked_at.add(key)
        suspect = self._suspects.get(key)
        if suspect is None or suspect.what != what:
            suspect = self._suspects[key] = _Suspect(what)
        return time.monotonic() - suspect.since < seconds

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
