"""The nouns of the queue as frozen records: what waits to be started, under which limits, and who starts it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from evercell.core.records import Holder, Lease
from evercell.core.statuses import RunStatus

LONGEST_KEY = 200
"""Characters of a limit's key, and of a share's name."""


@dataclass(frozen=True, slots=True)
class Place:
    """How a run is put into the queue."""

    share: str
    """Among shares, starts are shared out evenly; by default each user is one."""
    priority: int = 0
    """Within a share the highest is first; between shares it counts until others waited long enough."""
    limits: tuple[str, ...] = ()
    """Keys of the limits that it counts for while it holds a kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """A run in the queue: one that is to be started, or is executed now."""

    run_id: str
    name: str
    notebook: str | None
    status: RunStatus
    run_head: str | None
    asked: str | None
    """`PAUSE` or `CANCEL`, where somebody asked that of it."""
    place: Place
    enqueued_at: datetime
    turn: int | None
    """How many starts there had been when it came; None: that was a moment ago."""
    ready_at: datetime | None
    """Not before; None: at once."""
    starts: int
    """Starts in a row that came to nothing."""
    head: str | None
    """The run's head at the last of them."""
    problem: str | None
    """Why the last one came to nothing."""
    admitted_at: datetime | None
    admitted_by: str | None
    """Id of the server that starts it."""
    runner: Holder | None
    """The process that executes it, or did."""
    lease: Lease | None
    """Of the session on the run, expired or not."""
    is_due: bool
    """Whether what it waits for is there; of one that waits for nothing, true."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many may do something at the same time, and how many may begin within a period. None: any number."""

    key: str
    at_once: int | None = None
    rate: int | None = None
    period: float | None = None
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of a limit that somebody wants, holds, or held."""

    id: str
    limit_key: str
    run_id: str
    holder: str
    """A step or call; empty: the run itself."""
    share: str
    lent_by: str | None
    """The slot of whatever is around it, which it uses instead of one of its own."""
    wanted_at: datetime
    taken_at: datetime | None = None
    given_back_at: datetime | None = None
    is_live: bool = True
    """Whether its holder may be there still: a dead one's lease has ended."""

    @property
    def is_held(self) -> bool:
        """Whether it counts for the number at the same time."""
        return (
            self.is_live and self.taken_at is not None and self.given_back_at is None and self.lent_by is None
        )

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for it."""
        return self.is_live and self.taken_at is None


@dataclass(frozen=True, slots=True)
class ServerRow:
    """A process that serves the store."""

    id: str
    process: Holder
    jobs: int
    runs_on: str | None
    """The address of the cluster that it hands runs to; None: it executes them on its own machine."""
    started_at: datetime
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class QueuePicture:
    """The queue and all that admission looks at, as of one moment."""

    entries: list[Queued]
    limits: dict[str, Limit]
    slots: list[Slot]
    turns: dict[str, int]
    """By share, the number of its last start."""
    servers: list[ServerRow]
    now: datetime
    """By the clock that everybody shares."""
    turn: int = field(default=0)
    """How many starts there were so far."""
