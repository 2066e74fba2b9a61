"""Looking after runs that were admitted: whether somebody executes them, and what becomes of them where nobody does."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from evercell.core.errors import IllegalTransition
from evercell.core.queueing import Queued, QueuePicture, ServerRow
from evercell.core.records import Lease
from evercell.core.statuses import RunStatus
from evercell.core.text import one_line
from evercell.engine.holder import is_gone, is_here
from evercell.engine.queue_states import Fate, fate, is_alive
from evercell.engine.workspace import Workspace
from evercell.headless.admitted import came_to_nothing
from evercell.headless.starting import Starter, has_process

_START_SECONDS = 60.0
"""How long a process that nobody here can see has to claim its run."""


@dataclass(slots=True)
class _Suspect:
    """Something that looks dead, and since when: clocks may jump, and this one does not."""

    what: object
    since: float = field(default_factory=time.monotonic)


class Tending:
    """What one server knows of the runs that were admitted, by itself and by others."""

    def __init__(
        self, workspace: Workspace, starter: Starter, *, server_id: str, say: Callable[[str], None]
    ) -> None:
        self._workspace = workspace
        self._store = workspace.store
        self._starter = starter
        self._id = server_id
        self._say = say
        self._suspects: dict[str, _Suspect] = {}
        self._looked_at: set[str] = set()

    def begin_look(self) -> None:
        """Another look begins: what the last one did not suspect any more is forgotten."""
        self._suspects = {key: one for key, one in self._suspects.items() if key in self._looked_at}
        self._looked_at.clear()

    def settle(self, picture: QueuePicture, held: Collection[str]) -> bool:
        """Commit what became of runs that were admitted; says whether anything changed."""
        alive = set(self._starter.alive()) - self._left(picture, held)
        others = {server.id: server for server in picture.servers if server.id != self._id}
        gone = {id_ for id_, server in others.items() if not is_alive(server, picture.now)}
        changed = False
        for entry in picture.entries:
            is_held = entry.run_id in held
            lives = self._runner_lives(entry, alive, others, gone, is_held=is_held)
            with suppress(IllegalTransition):  # it is in another status by now
                changed |= self._settle_one(entry, lives, others.keys() - gone, is_held=is_held)
        for server_id in gone:
            if not any(entry.admitted_by == server_id for entry in picture.entries):
                self._store.servers.remove(server_id)
        return changed

    def _settle_one(
        self, entry: Queued, runner_lives: bool | None, others: Collection[str], *, is_held: bool
    ) -> bool:
        match fate(entry, runner_lives=runner_lives, is_held=is_held):
            case Fate.ENDED:
                return self._store.queue.drop(entry)
            case Fate.CANCEL:
                return self._store.queue.drop(entry, status=RunStatus.CANCELLED, reason="cancelled")
            case Fate.WAITS:
                return self._store.queue.give_back(entry)
            case Fate.AGAIN:
                return self._start_again(entry)
        if entry.admitted_at is None or not runner_lives or entry.admitted_by in {self._id, *others}:
            return False
        return self._store.queue.adopt(entry, self._id)

    def _start_again(self, entry: Queued) -> bool:
        if came_to_nothing(self._workspace, entry, "its process is gone"):
            self._say(f"run {one_line(entry.name)}: its process is gone; it is started again")
        else:
            self._say(
                f"run {one_line(entry.name)} failed: it was started too often without completing a step"
            )
        return True

    def _runner_lives(
        self, entry: Queued, alive: Collection[str], others: Mapping[str, ServerRow], gone: Collection[str], *,
        is_held: bool,
    ) -> bool | None:  # fmt: skip
        """Whether whoever executes an entry lives; None where nobody here can tell."""
        if entry.admitted_at is None:
            return None
        if entry.run_id in alive:
            return True
        if entry.runner is not None and is_here(entry.runner):
            return not is_gone(entry.runner)
        server = others.get(entry.admitted_by or "")
        if server is not None and server.id not in gone:
            return True  # its own server looks after it
        if is_held:
            return None
        if entry.admitted_by == self._id:
            return False
        if server is not None and server.runs_on is None and is_here(server.process) and entry.runner is None:
            return has_process(entry.run_id)
        is_new = self._is_new(f"start {entry.run_id}", entry.admitted_at, _START_SECONDS)
        return None if is_new else False

    # -- leases ----------------------------------------------------------------------------------

    def held(self, picture: QueuePicture) -> set[str]:
        """The runs that a living session is on."""
        held = set()
        for entry in picture.entries:
            lease = entry.lease
            if lease is None or is_gone(lease.holder):
                continue
            if lease.expires_at > picture.now or is_here(lease.holder) or self._may_be_renewed(lease):
                held.add(entry.run_id)
        return held

    def _left(self, picture: QueuePicture, held: Collection[str]) -> set[str]:
        """The runs whose lease on another machine has ended: it is gone, whatever a cluster still believes of it.

        (Not those that were handed out anew since, and have not begun there: the lease is still that of the former.)
        """
        return {
            entry.run_id
            for entry in picture.entries
            if entry.lease is not None and entry.runner is not None
            and entry.run_id not in held and not is_here(entry.lease.holder)
        }  # fmt: skip

    def is_dead(self, run_id: str) -> bool:
        """Whether nobody is on a run whose lease has ended."""
        lease = self._store.leases.get(run_id)
        if lease is None or is_gone(lease.holder):
            return True
        return not is_here(lease.holder) and not self._may_be_renewed(lease)

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
