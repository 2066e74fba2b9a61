"""Who is started next: limits first, then priority, then whoever had less. A rule over records; the store applies it.

- No limit is exceeded: a run whose limit has no place is passed over, and holds up none behind it.
- Within a share, higher priority goes first, then who came first.
- Between shares, higher priority goes first; among equals the share with fewer runs under way, then the one whose last
  start is longer ago. So whoever has a thousand runs in the queue and whoever has one take turns.
- Whoever is passed over rises: by one level of priority after each `RISE` starts that went to others. So each run is
  started at last. Starts are counted, not seconds: no clock is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from evercell.core.queueing import Limit, Queued, Slot


RISE = 10
"""So many starts that went to others are worth one level of priority."""


@dataclass(slots=True)
class LimitUse:
    """A limit, and what is used of it: changed as slots are given out."""

    limit: Limit
    held: int = 0
    begun: list[datetime] = field(default_factory=list)
    """When slots were taken that still count for the rate, the oldest first."""

    def full(self, now: datetime, *, borrowed: bool = False) -> str:
        """Why there is no slot now, in words; empty where there is one. ``borrowed``: one counts already."""
        limit = self.limit
        if limit.at_once is not None and not borrowed and self.held >= limit.at_once:
            return f"limit {limit.key}: {self.held} of {limit.at_once} in use"
        if (free_at := self.next_begin(now)) is not None:
            left = max(1, round((free_at - now).total_seconds()))
            return f"limit {limit.key}: {rate_in_words(limit)}, next in {left} s"
        return ""

    def next_begin(self, now: datetime) -> datetime | None:
        """When the rate allows another one; None: now."""
        rate, period = self.limit.rate, self.limit.period
        if rate is None or period is None:
            return None
        return None if self.begun_lately(now) < rate else self.begun[-rate] + timedelta(seconds=period)

    def begun_lately(self, now: datetime) -> int:
        """How many were taken within the last period."""
        since = now - timedelta(seconds=self.limit.period or 0.0)
        return sum(at > since for at in self.begun)

    def take(self, now: datetime, *, borrowed: bool = False) -> None:
        """Count another one."""
        self.held += not borrowed
        self.begun.append(now)


def rate_in_words(limit: Limit) -> str:
    """``10/min``."""
    units = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}
    period = limit.period or 0.0
    return f"{limit.rate}/{units.get(period, f'{period:g}s')}"


def limits_in_use(limits: Mapping[str, Limit], slots: Iterable[Slot]) -> dict[str, LimitUse]:
    """What is used of each limit."""
    uses = {key: LimitUse(limit) for key, limit in limits.items()}
    for slot in slots:
        use = uses.get(slot.limit_key)
        if use is None or slot.taken_at is None:
            continue
        use.held += slot.is_held
        use.begun.append(slot.taken_at)
    for use in uses.values():
        use.begun.sort()
    return uses


def obstacle(entry: Queued, uses: Mapping[str, LimitUse], now: datetime) -> str:
    """Which of its limits has no place for a run now, in words; empty: none."""
    return next((why for key in entry.place.limits if key in uses and (why := uses[key].full(now))), "")


def choose(
    candidates: Sequence[Queued], *, under_way: Iterable[str], turns: Mapping[str, int], turn: int,
    uses: Mapping[str, LimitUse], room: int, now: datetime,
) -> list[Queued]:  # fmt: skip
    """Those to be started now, in this order; at most ``room``.

    ``under_way``: the share of each run that is executed now. ``turns``: by share, the number of its last start of
    ``turn`` so far. ``uses`` counts what is given out here.
    """
    line = _Line(candidates, under_way, turns, turn)
    chosen: list[Queued] = []
    while len(chosen) < room:
        entry = line.next(uses, now)
        if entry is None:
            break
        chosen.append(entry)
        for key in entry.place.limits:
            if key in uses:
                uses[key].take(now)
    return chosen


class _Line:
    """Those who wait, share by share."""

    def __init__(
        self, candidates: Sequence[Queued], under_way: Iterable[str], turns: Mapping[str, int], turn: int
    ) -> None:
        self._turns, self._turn = dict(turns), turn
        self._running: dict[str, int] = {}
        for share in under_way:
            self._running[share] = self._running.get(share, 0) + 1
        self._by_share: dict[str, list[Queued]] = {}
        for entry in sorted(candidates, key=self._within_share):
            self._by_share.setdefault(entry.place.share, []).append(entry)

    def _came(self, entry: Queued) -> int:
        return self._turn if entry.turn is None else min(entry.turn, self._turn)

    def _within_share(self, entry: Queued) -> tuple[int, datetime, str]:
        level = entry.place.priority + (self._turn - self._came(entry)) // RISE
        return -level, entry.enqueued_at, entry.run_id

    def _between_shares(self, entry: Queued) -> tuple[int, int, int, datetime, str]:
        share = entry.place.share
        last = self._turns.get(share, 0)
        level = entry.place.priority + (self._turn - max(self._came(entry), last)) // RISE
        return -level, self._running.get(share, 0), last, entry.enqueued_at, entry.run_id

    def next(self, uses: Mapping[str, LimitUse], now: datetime) -> Queued | None:
        """Take out whoever is first of those whose limits have a place."""
        heads = [
            entry
            for waiting in self._by_share.values()
            if (entry := next((e for e in waiting if not obstacle(e, uses, now)), None)) is not None
        ]
        if not heads:
            return None
        entry = min(heads, key=self._between_shares)
        share = entry.place.share
        self._by_share[share].remove(entry)
        self._turn += 1
        self._turns[share] = self._turn
        self._running[share] = self._running.get(share, 0) + 1
        return entry


@dataclass(frozen=True, slots=True)
class Grant:
    """Whether somebody gets the slot that they wait for."""

    why_not: str = ""
    """What keeps them from it; empty: nothing does."""
    borrows: bool = False
    """They use the slot of whatever is around them, which counts already."""


def grant(limit: Limit, slots: Sequence[Slot], mine: Slot, now: datetime) -> Grant:
    """Whether a wanted slot of a limit is given now. ``slots``: those wanted, held, and taken lately.

    Of free slots each goes to the share that holds fewest, and there to who came first. What is inside of something
    that holds a slot uses that one, one at a time: so nobody waits for themselves.
    """
    use = limits_in_use({limit.key: limit}, slots)[limit.key]
    if mine.lent_by is not None and _is_lendable(mine.lent_by, slots):
        return Grant(use.full(now, borrowed=True), borrows=True)
    if why := use.full(now):
        return Grant(why)
    waiting = [slot for slot in slots if slot.is_wanted]
    room = min(
        len(waiting),
        len(waiting) if limit.at_once is None else limit.at_once - use.held,
        len(waiting) if limit.rate is None else limit.rate - use.begun_lately(now),
    )
    held = Counter(slot.share for slot in slots if slot.is_held)
    for _ in range(room):
        first = min(waiting, key=lambda slot: (held[slot.share], slot.wanted_at, slot.id))
        if first.id == mine.id:
            return Grant()
        waiting.remove(first)
        held[first.share] += 1
    return Grant(f"limit {limit.key}: others are first")


def _is_lendable(lender: str, slots: Sequence[Slot]) -> bool:
    """Whether a slot is held, and nobody inside of its holder uses it."""
    there = any(
        slot.id == lender and slot.is_live and slot.taken_at and not slot.given_back_at for slot in slots
    )
    used = any(
        slot.lent_by == lender and slot.is_live and slot.taken_at and not slot.given_back_at for slot in slots
    )
    return there and not used
