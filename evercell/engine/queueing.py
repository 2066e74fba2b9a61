"""Putting runs into the queue, and what ``evercell queue`` shows of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from evercell.core.errors import UsageError
from evercell.core.queueing import LONGEST_KEY, Limit, Place, Queued, QueuePicture, ServerRow
from evercell.core.statuses import ENDED
from evercell.engine.admission import LimitUse, choose, limits_in_use, rate_in_words
from evercell.engine.holder import is_gone, this_user
from evercell.engine.queue_states import Obstacles, is_alive
from evercell.engine.spec import parse_duration
from evercell.engine.workspace import Workspace

_RATE = re.compile(r"(\d+)\s*/\s*(.+)")
_PERIODS = {
    "s": 1.0,
    "sec": 1.0,
    "m": 60.0,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
}
_NUMBERS = (-100, 100)


def place_of(*, priority: int = 0, limits: Sequence[str] = (), share: str | None = None) -> Place:
    """A place in the queue; raises `UsageError` for a priority or a key that cannot be one."""
    if not _NUMBERS[0] <= priority <= _NUMBERS[1]:
        raise UsageError(
            f"Priority {priority} is no priority.", hint=f"It goes from {_NUMBERS[0]} to {_NUMBERS[1]}."
        )
    for key in limits:
        check_key(key)
    return Place((share or this_user())[:LONGEST_KEY], priority, tuple(dict.fromkeys(limits)))


def check_key(key: str) -> None:
    """Raise `UsageError` for what cannot be the key of a limit."""
    if not key or len(key) > LONGEST_KEY or key != key.strip() or not key.isprintable() or "=" in key:
        raise UsageError(
            f"{key[:40]!r} cannot be the key of a limit.",
            hint=f"Use up to {LONGEST_KEY} characters without '=', such as openai or gpu-1.",
        )


def parse_limit(text: str) -> Limit:
    """A limit as one types it: ``openai=4`` at the same time, ``openai=10/min``, or both: ``openai=4,10/min``."""
    key, _, rest = text.partition("=")
    check_key(key)
    at_once: int | None = None
    rate: tuple[int, float] | None = None
    for part in rest.split(","):
        if part.strip().isdigit() and int(part) > 0:
            at_once = int(part)
        else:
            rate = parse_rate(part)
    return Limit(key, at_once, *(rate or (None, None)))


def parse_rate(text: str) -> tuple[int, float]:
    """How many in how many seconds: ``10/min``, ``500/h``, ``3/10s``; raises `UsageError`."""
    found = _RATE.fullmatch(text.strip())
    if found is not None and 0 < int(found[1]) < 10**6:
        unit = found[2].strip()
        period = _PERIODS.get(unit) or parse_duration(unit)
        if period >= 0.001:
            return int(found[1]), period
    raise UsageError(f"{text!r} is no rate.", hint="Write a number and a period: 10/min, 500/h, 3/10s.")


# -- the queue as people see it ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A run in the queue, and why it is not started."""

    position: int | None
    """Its place in the line; None for one that is executed, or waits for something else than its turn."""
    run: str
    run_id: str
    notebook: str | None
    state: str
    """``running``, ``starting``, ``next``, ``limited``, ``waiting`` …"""
    why: str
    share: str
    priority: int
    limits: tuple[str, ...]
    enqueued_at: datetime
    server: str

    def as_json(self) -> dict[str, Any]:
        return {
            "position": self.position, "run": self.run, "id": self.run_id, "notebook": self.notebook,
            "state": self.state, "why": self.why or None, "share": self.share, "priority": self.priority,
            "limits": list(self.limits), "enqueued_at": self.enqueued_at.isoformat(), "server": self.server or None,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit, and what is used of it."""

    limit: Limit
    held: int
    wanted: int
    begun: int
    """Begun within its period."""

    @property
    def rate(self) -> str:
        return rate_in_words(self.limit) if self.limit.rate is not None else ""

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.limit.key, "at_once": self.limit.at_once, "rate": self.rate or None, "held": self.held,
            "wanted": self.wanted, "begun": self.begun,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class QueueListing:
    """The queue, who serves it, and its limits."""

    rows: list[QueueRow]
    servers: list[ServerRow]
    limits: list[LimitRow]

    def as_json(self) -> dict[str, Any]:
        return {
            "runs": [row.as_json() for row in self.rows],
            "servers": [
                {
                    "id": server.id, "host": server.process.host, "pid": server.process.pid, "jobs": server.jobs,
                    "on": server.runs_on, "started_at": server.started_at.isoformat(),
                }
                for server in self.servers
            ],
            "limits": [row.as_json() for row in self.limits],
        }  # fmt: skip


def is_served(workspace: Workspace) -> bool:
    """Whether somebody starts what is put into the queue."""
    now = workspace.store.leases.now()
    return any(is_alive(server, now) for server in workspace.store.servers.all())


def list_queue(workspace: Workspace) -> QueueListing:
    """The queue as it stands: those executed first, then in the order in which they are going to be started."""
    picture = workspace.store.queue.look()
    servers = [server for server in picture.servers if is_alive(server, picture.now)]
    uses = limits_in_use(picture.limits, picture.slots)
    held = {entry.run_id for entry in picture.entries if _is_held(entry, picture.now)}
    # a server removes those that have ended, and there may be none
    picture = replace(
        picture, entries=[e for e in picture.entries if e.status not in ENDED or e.run_id in held]
    )
    obstacles = Obstacles(picture, held, uses)
    admitted = sorted(
        (e for e in picture.entries if e.admitted_at is not None), key=lambda e: (e.admitted_at, e.run_id)
    )
    in_line = _in_line(picture, obstacles, admitted)
    others = [e for e in picture.entries if e.admitted_at is None and e not in in_line]
    hosts = {server.id: f"{server.process.host}:{server.process.pid}" for server in servers}
    wanting = {
        slot.run_id: f"{slot.holder} waits for limit {slot.limit_key}"
        for slot in picture.slots
        if slot.is_wanted
    }
    rows = [
        _row(e, None, "running" if e.run_id in held else "starting", wanting.get(e.run_id, ""), hosts)
        for e in admitted
    ]
    for number, entry in enumerate(in_line, 1):
        why = obstacles.of(entry)
        state = "limited" if why else "next"
        if not why:
            why = "" if servers else "nobody serves the store"
        rows.append(_row(entry, number, state, why or _jobs_busy(servers, admitted), hosts))
    rows += [_row(e, None, str(e.status), obstacles.of(e), hosts) for e in others]
    return QueueListing(rows, servers, [_limit_row(use, picture) for use in uses.values()])


def _is_held(entry: Queued, now: datetime) -> bool:
    lease = entry.lease
    return lease is not None and not is_gone(lease.holder) and lease.expires_at > now


def _jobs_busy(servers: Sequence[ServerRow], admitted: Sequence[Queued]) -> str:
    ids = {server.id for server in servers}
    jobs, busy = sum(server.jobs for server in servers), sum(entry.admitted_by in ids for entry in admitted)
    return f"{busy} of {jobs} jobs busy" if servers and busy >= jobs else ""


def _in_line(picture: QueuePicture, obstacles: Obstacles, admitted: Sequence[Queued]) -> list[Queued]:
    candidates = obstacles.candidates()
    return choose(
        candidates, under_way=[entry.place.share for entry in admitted], turns=picture.turns, turn=picture.turn,
        uses={}, room=len(candidates), now=picture.now,
    )  # fmt: skip


def _row(entry: Queued, position: int | None, state: str, why: str, hosts: dict[str, str]) -> QueueRow:
    problem = f"{why}; before: {entry.problem}" if why and entry.problem else why or entry.problem or ""
    return QueueRow(
        position, entry.name, entry.run_id, entry.notebook, state, problem, entry.place.share, entry.place.priority,
        entry.place.limits, entry.enqueued_at, hosts.get(entry.admitted_by or "", ""),
    )  # fmt: skip


def _limit_row(use: LimitUse, picture: QueuePicture) -> LimitRow:
    of_key = [slot for slot in picture.slots if slot.limit_key == use.limit.key]
    return LimitRow(
        use.limit, use.held, sum(slot.is_wanted for slot in of_key), use.begun_lately(picture.now)
    )


def list_limits(workspace: Workspace) -> list[LimitRow]:
    """The limits of a store, and what is used of each."""
    picture = workspace.store.queue.look()
    uses = limits_in_use(picture.limits, picture.slots)
    return [_limit_row(uses[key], picture) for key in sorted(uses)]
