"""Moments as places on a line: time in which nothing happened is folded, as long as it may have been."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

Span = tuple[datetime, datetime]

_LONGEST_GAP = 0.08
"""Of all the time in which something happened: a longer gap is folded."""
_FOLD = 0.02
_ALL_FOLDS = 0.2
"""Widths of one fold, and of all together at most, as shares of the line."""


@dataclass(frozen=True, slots=True)
class Fold:
    """A gap that takes less of the line than its time would."""

    place: float
    width: float
    seconds: float


class TimeScale:
    """Where each moment of some spans lies on a line from 0 to 1."""

    def __init__(self, spans: Iterable[Span]) -> None:
        busy = _merged(spans)
        active = sum((end - begin).total_seconds() for begin, end in busy)
        gaps = [(b[0] - a[1]).total_seconds() for a, b in pairwise(busy)]
        longest = max(active * _LONGEST_GAP, 0.05)
        folded = [gap > longest for gap in gaps]
        fold = min(_FOLD, _ALL_FOLDS / max(1, sum(folded)))
        seconds = active + sum(gap for gap, is_folded in zip(gaps, folded, strict=True) if not is_folded)
        unit = (1 - fold * sum(folded)) / seconds if seconds else 0.0
        self.seconds = active
        self.folds: list[Fold] = []
        self._begins: list[datetime] = []
        self._pieces: list[tuple[datetime, float, float]] = []
        place = 0.0
        for index, (begin, end) in enumerate(busy):
            self._add(begin, place, unit)
            place += (end - begin).total_seconds() * unit
            if index < len(gaps):
                gap = gaps[index]
                width = fold if folded[index] else gap * unit
                self._add(end, place, width / gap if gap else 0.0)
                if folded[index]:
                    self.folds.append(Fold(place, width, gap))
                place += width

    def _add(self, begin: datetime, place: float, unit: float) -> None:
        self._begins.append(begin)
        self._pieces.append((begin, place, unit))

    def place(self, moment: datetime) -> float:
        """From 0 to 1."""
        index = bisect_right(self._begins, moment) - 1
        if index < 0:
            return 0.0
        begin, place, unit = self._pieces[index]
        return min(1.0, place + (moment - begin).total_seconds() * unit)


def _merged(spans: Iterable[Span]) -> list[Span]:
    merged: list[Span] = []
    for begin, end in sorted((begin, max(begin, end)) for begin, end in spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((begin, end))
    return merged


@dataclass(frozen=True, slots=True)
class Block:
    """One or more things that lie where the eye cannot part them."""

    left: float
    width: float
    numbers: tuple[int, ...]
    """Which of the things."""


def blocks(spans: Sequence[tuple[float, float]], *, finest: float) -> list[Block]:
    """Things from ``left`` to ``right``, those that begin within ``finest`` of each other as one.

    So a line has no more of them than can be seen on it, however many there are.
    """
    made: list[Block] = []
    members: list[int] = []
    left = right = 0.0
    for number in sorted(range(len(spans)), key=spans.__getitem__):
        begin, end = spans[number]
        if members and begin >= left + finest:
            made.append(Block(left, max(finest, right - left), tuple(members)))
            members = []
        if not members:
            left = right = begin
        members.append(number)
        right = max(right, end)
    if members:
        made.append(Block(left, max(finest, right - left), tuple(members)))
    return made


def lanes(spans: Sequence[tuple[float, float]], *, most: int) -> list[list[int]]:
    """The numbers of things, sorted to lanes in which one comes after the other; what is too much is in the last."""
    made: list[list[int]] = []
    ends: list[float] = []
    for number in sorted(range(len(spans)), key=spans.__getitem__):
        begin, end = spans[number]
        free = next((lane for lane, until in enumerate(ends) if until <= begin), len(ends))
        if free == most:
            free = most - 1
        if free == len(ends):
            made.append([])
            ends.append(0.0)
        made[free].append(number)
        ends[free] = max(ends[free], end)
    return made
