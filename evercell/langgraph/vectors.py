"""A sequence of digests that grows at its end, and shares all that is full with what it was before.

Digests stand in blocks of `FANOUT`; digests of full blocks stand in blocks of the next level, and so on. Only what does
not fill a block yet is written with each checkpoint: a few digests, however long the sequence is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

FANOUT = 4
"""Digests in a block. More of them: fewer blocks to read, and more to write again with each checkpoint."""

Name = Callable[[bytes], bytes]
"""Stores a block, and gives its digest."""


@dataclass
class Vector:
    """Digests, and by level what fills no block yet: the first level has digests of the content itself."""

    levels: list[list[bytes]] = field(default_factory=list)

    def extend(self, digests: Iterable[bytes], name: Name) -> None:
        """Put digests at the end; ``name`` is called for each block that is full."""
        for digest in digests:
            self._add(digest, 0, name)

    def _add(self, digest: bytes, level: int, name: Name) -> None:
        while True:
            if level == len(self.levels):
                self.levels.append([])
            part = self.levels[level]
            part.append(digest)
            if len(part) < FANOUT:
                return
            digest, level = name(b"".join(part)), level + 1
            part.clear()

    def parts(self) -> list[tuple[int, tuple[bytes, ...]]]:
        """What makes it again: levels from the highest, each with its digests."""
        return [(n, tuple(part)) for n, part in reversed([*enumerate(self.levels)]) if part]
