"""What serialising gave: a stream, its buffers, what came up, and which objects are in it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from pickle import PickleBuffer
from typing import Any

import xxhash

from evercell.state.content.chunking import cut, mark_of, view_of
from evercell.state.pickling.object_ids import met_ids, mutable_ids, shareable_ids
from evercell.state.proxies.placeholder import Missing
from evercell.state.typerules.lending import ties_of

_PARTS_AT_ONCE = 16
"""Chunks of a buffer that are hashed in a few milliseconds."""

LARGE = 1 << 20
"""Bytes of a stream from which on a look at every object in it is dear."""


def is_large(size: int) -> bool:
    """Whether a stream of so many bytes has very many objects in it."""
    return size >= LARGE


@dataclass(slots=True)
class Notes:
    """What came up while a value was taken apart."""

    refs: set[str] = field(default_factory=set)
    """Nodes of the definitions it refers to."""
    reads: set[str] = field(default_factory=set)
    """Globals that functions inside it can touch."""
    left_out: list[Missing] = field(default_factory=list)
    left_objects: list[tuple[Missing, Any]] = field(default_factory=list)
    """Of those of ``left_out`` that are one object: that object."""
    doubts: list[Missing] = field(default_factory=list)
    """What was otherwise when it was loaded for a trial. It is stored all the same."""
    rebuilt: set[str] = field(default_factory=set)
    """Types of what is made anew from a description."""
    has_caches: bool = False
    """Something in it remembers what it was asked."""
    libraries: set[str] = field(default_factory=set)
    """Packages whose objects are in it."""
    kinds: set[type] = field(default_factory=set)
    """Types of its objects, but for plain containers and texts and numbers, functions and classes."""
    defines: bool = False
    """A class is in it by value: to load it changes the living one."""
    inlined: set[int] = field(default_factory=set)
    """Ids of functions that are in it rather than beside it."""
    identities: set[int] = field(default_factory=set)
    """Ids of further objects by which it may be tied to others: what no pickler's memo tells."""


@dataclass
class Pickled:
    """A node or group in serialised form."""

    stream: bytes
    buffers: list[PickleBuffer] = field(default_factory=list)
    notes: Notes = field(default_factory=Notes)
    is_placeholder: bool = False
    """Nothing of it could be kept."""
    bare: bytes = b""
    """Its fingerprint without what its caches remember; empty where it has none."""
    root: int = 0
    """The id of what was pickled."""
    pickler: Any = None
    """Holds every object that was taken apart, so that no id is used again."""

    @property
    def is_large(self) -> bool:
        """Whether very many small objects are in it."""
        return is_large(len(self.stream))

    @property
    def size(self) -> int:
        """Bytes, those of the buffers included."""
        return len(self.stream) + sum(view.nbytes for view in self.views)

    @property
    def mutable(self) -> frozenset[int]:
        """Ids of the mutable objects in it."""
        if self.pickler is None:
            return frozenset()
        return mutable_ids(self.pickler, self.notes.inlined) | self._identities

    @property
    def shareable(self) -> frozenset[int]:
        """Ids of those that others may hold, too, as far as it is known."""
        return self._shareable | self._identities if self.pickler is not None else frozenset()

    @cached_property
    def _shareable(self) -> frozenset[int]:
        return shareable_ids(self.pickler, self.notes.inlined, self.root)

    @property
    def _identities(self) -> frozenset[int] | set[int]:
        """Ids of what no pickler's memo tells. (Who borrows memory of it may have been met since.)"""
        if self.pickler is None or not (ties := ties_of(self.pickler, self.notes.kinds)):
            return self.notes.identities
        return self.notes.identities | ties

    def copied(self) -> Pickled:
        """The same with buffers of its own, as they are at this moment, to which nobody else can write."""
        return replace(self, buffers=[PickleBuffer(bytes(view)) for view in self.views])

    def met(self, ids: Set[int]) -> Set[int]:
        """Which of these (ids of mutable objects) are in it."""
        if not ids or self.pickler is None:
            return set()
        return met_ids(self.pickler, ids) | (ids & self._identities)

    def forget_objects(self) -> None:
        """Hold them no longer: how they are tied to others is known."""
        self.pickler = None

    def hash_by_parts(self) -> Iterator[None]:
        """Find the `marks` a few milliseconds at a time."""
        marks: list[list[bytes]] = []
        for view in self.views:
            marks.append([])
            for number, part in enumerate(cut(view), 1):
                marks[-1].append(mark_of(part))
                if number % _PARTS_AT_ONCE == 0:
                    yield
        self.marks = marks

    @cached_property
    def marks(self) -> list[list[bytes]]:
        """Fast fingerprints of the chunks of each buffer, 16 bytes each."""
        return [[mark_of(part) for part in cut(view)] for view in self.views]

    @property
    def views(self) -> list[memoryview]:
        """The buffers as flat bytes."""
        return [view_of(buffer.raw()) for buffer in self.buffers]

    @cached_property
    def fingerprint(self) -> bytes:
        """16 bytes that change when the content does."""
        h = xxhash.xxh3_128(self.stream)
        for marks in self.marks:
            h.update(b"".join(marks))
        return h.digest()
