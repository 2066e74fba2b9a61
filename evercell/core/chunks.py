"""Content-addressed bytes: what `state` makes, `store` keeps and neither interprets for the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import Any, Protocol


class Codec(IntEnum):
    """How a chunk's stored bytes encode its content."""

    RAW = 0
    ZSTD = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of content, encoded and ready to be stored.

    ``digest`` is the 32-byte blake3 of the content before encoding, ``size`` the content's
    length in bytes, ``data`` the encoded bytes.
    """

    digest: bytes
    size: int
    codec: Codec
    data: bytes | bytearray | memoryview


_NO_MARK = "another"
"""What no collection leaves: whoever relied on a store at two times looks again in any case."""


@dataclass(frozen=True, slots=True)
class Supply:
    """Chunks about to be stored. They are encoded while one iterates, so that not all are in memory at once."""

    size: int = 0
    """Bytes before encoding."""
    parts: tuple[Iterable[Chunk], ...] = ()
    relied_on: tuple[bytes, ...] = ()
    """Digests of chunks that are not among them, since the store had them …"""
    as_of: str | None = None
    """… when its last collection had left this mark (`Absent`); None: nothing is relied on."""

    @classmethod
    def of(cls, chunks: Iterable[Chunk]) -> Supply:
        """Of chunks that are encoded already."""
        ready = tuple(chunks)
        return cls(sum(chunk.size for chunk in ready), (ready,))

    def __iter__(self) -> Iterator[Chunk]:
        return chain.from_iterable(self.parts)

    def __add__(self, other: Supply) -> Supply:
        marks = {of for of in (self.as_of, other.as_of) if of is not None}
        as_of = _NO_MARK if len(marks) > 1 else next(iter(marks), None)
        return Supply(
            self.size + other.size, self.parts + other.parts, self.relied_on + other.relied_on, as_of
        )


@dataclass(frozen=True, slots=True)
class StoredChunk:
    """A chunk in the store, of ``length`` encoded bytes."""

    digest: bytes
    size: int
    codec: Codec
    length: int
    read_into: Callable[[memoryview], None]
    """Fill a buffer of ``length`` bytes, from any thread. Raises `ChunkMissing` where what was stored is gone
    or cut short."""

    def read(self) -> bytearray:
        """The encoded bytes."""
        data = bytearray(self.length)
        self.read_into(memoryview(data))
        return data


@dataclass(frozen=True, slots=True)
class Blob:
    """A byte string cut into chunks.

    ``size`` is in bytes. With ``levels`` > 0 the chunks are not those of the content but of an index of
    it: their content is the digests of the next level, 32 bytes each.
    """

    size: int
    digests: tuple[bytes, ...] = ()
    levels: int = 0


_DEEPEST = 16
"""Levels of an index: one more multiplies the content by what a chunk of it names."""


def blob_to_json(blob: Blob) -> list[Any]:
    """A blob as JSON."""
    return [blob.size, blob.levels, *(digest.hex() for digest in blob.digests)]


def blob_from_json(stored: Any) -> Blob:
    """The blob that `blob_to_json` made JSON of, or an evercell whose columns had another form.

    Raises `ValueError`, `TypeError` or `LookupError` for anything else.
    """
    if isinstance(stored, Mapping):
        size, levels, digests = stored["size"], 0, stored["digests"]
    else:
        size, levels, *digests = stored
    are_numbers = type(size) is int and type(levels) is int and size >= 0
    if not are_numbers or not 0 <= levels <= (_DEEPEST if digests else 0):
        raise ValueError(f"{size!r} bytes with {levels!r} levels are no blob")
    return Blob(size, tuple(map(bytes.fromhex, digests)), levels)


class Absent(set[bytes]):
    """Digests that a store does not have."""

    as_of: str | None = None
    """The mark that its last collection had left when it said so: what it has may be gone after the next one."""


class ChunkReader(Protocol):
    """What `state` needs from whoever keeps chunks."""

    def find(self, digests: Iterable[bytes]) -> Mapping[bytes, StoredChunk]:
        """Where the chunks are, by digest; raises `ChunkMissing` for one that is not there."""

    def absent(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of ``digests`` that are not stored yet."""
