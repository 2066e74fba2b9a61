"""How an entry of the queue stands: to be started, and what keeps it from that; executed; or over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import TYPE_CHECKING

from evercell.core.statuses import CANCEL, ENDED, PAUSE, RunStatus
from evercell.core.text import as_word
from evercell.engine.admission import LimitUse, obstacle
from evercell.engine.holder import is_gone, is_here

if TYPE_CHECKING:
    from evercell.core.queueing import Queued, QueuePicture, ServerRow

SERVER_GONE = timedelta(seconds=30)
"""A server that gave no sign of life for so long is gone, for all that anybody on another machine can tell."""

MOST_STARTS = 20
"""So many starts in a row may come to nothing, without a step completed, before the run has failed."""

_LONGEST_PAUSE = 60.0


class Fate(Enum):
    """What is to be done about an entry that was admitted, or that ends without being started."""

    KEEP = auto()
    """Somebody executes it, or is about to."""
    ENDED = auto()
    """Its run has come to its end."""
    CANCEL = auto()
    """Somebody cancelled it, and nobody is on it."""
    WAITS = auto()
    """It waits without a kernel, or is paused: it is not executed now, and that is as it should be."""
    AGAIN = auto()
    """Whoever executed it is gone."""


def fate(entry: Queued, *, runner_lives: bool | None, is_held: bool) -> Fate:
    """What is to be done about an entry. ``runner_lives``: None where nobody here can tell.

    ``is_held``: whether a living session is on the run.
    """
    if runner_lives or (is_held and (entry.admitted_at is None or entry.status in ENDED)):
        return Fate.KEEP
    if entry.status in ENDED:
        return Fate.ENDED
    if entry.admitted_at is None:
        return Fate.CANCEL if entry.asked == CANCEL else Fate.KEEP
    if runner_lives is None:
        return Fate.KEEP
    if is_held:  # its kernel lives, and is taken over
        return Fate.AGAIN
    if entry.asked == CANCEL:
        return Fate.CANCEL
    return Fate.WAITS if entry.status is RunStatus.WAITING or entry.asked == PAUSE else Fate.AGAIN


def pause_before(starts: int) -> float:
    """Seconds before a run is started again, after so many starts in a row that came to nothing."""
    return 0.0 if starts <= 1 else float(min(_LONGEST_PAUSE, 2.0 ** (starts - 2)))


def is_alive(server: ServerRow, now: datetime) -> bool:
    """Whether a server may be there still."""
    if is_here(server.process):
        return not is_gone(server.process)
    return server.seen_at + SERVER_GONE > now


@dataclass(frozen=True, slots=True)
class Obstacles:
    """What keeps entries of the queue from being started, as of one picture of it."""

    picture: QueuePicture
    held: Collection[str]
    """The runs that a living session is on."""
    uses: Mapping[str, LimitUse]

    def of(self, entry: Queued) -> str:
        """Why an entry is not started now, in words; empty: nothing keeps it but the number of jobs."""
        return self.of_itself(entry) or obstacle(entry, self.uses, self.picture.now)

    def of_itself(self, entry: Queued) -> str:
        """The same without its limits."""
        if entry.asked == PAUSE:
            return f"paused; to go on: evercell unpause {as_word(entry.name)}"
        if entry.asked == CANCEL:
            return "cancelled"
        if entry.run_id in self.held and entry.runner is None:
            return "executed by somebody else"
        if not entry.is_due:
            return "waits for an answer, a signal or its time"
        if entry.status in ENDED:
            return str(entry.status)
        if not is_ready(entry, self.picture.now):
            left = round((entry.ready_at - self.picture.now).total_seconds()) if entry.ready_at else 0
            return f"not before {max(1, left)} s from now"
        return ""

    def is_to_come(self, entry: Queued, server_id: str) -> bool:
        """Whether a server will have something to do with an entry that may not be started now: it executes it, nobody
        is left who did, or its next start is a moment away.
        """
        if entry.admitted_at is not None:
            now, servers = self.picture.now, self.picture.servers
            others = {one.id for one in servers if one.id != server_id and is_alive(one, now)}
            return entry.admitted_by not in others
        return not is_ready(entry, self.picture.now) and not self._is_stopped(entry)

    def _is_stopped(self, entry: Queued) -> bool:
        return entry.asked is not None or not entry.is_due or entry.status in ENDED

    def candidates(self) -> list[Queued]:
        """Those that may be started, as far as they themselves are concerned."""
        return [e for e in self.picture.entries if e.admitted_at is None and not self.of_itself(e)]


def is_ready(entry: Queued, now: datetime) -> bool:
    """Whether its time has come. A clock that was set back keeps nothing for longer than a pause lasts."""
    at = entry.ready_at
    if at is None or at <= entry.enqueued_at or at <= now:
        return True
    return entry.starts > 0 and at > now + timedelta(seconds=2 * _LONGEST_PAUSE)
