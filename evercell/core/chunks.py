"""Content-addressed bytes: what `state` makes, `store` keeps and neither interprets for the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol


class Codec(IntEnum):
    """How a chunk's stored bytes encode its content."""

    RAW = 0
    ZSTD = 1


@dataclass(frozen=True, slots=True)
class Chunk:
    """One piece of content in its stored form.

    ``digest`` is the 32-byte blake3 of the content before encoding, ``size`` the content's
    length in bytes, ``data`` the encoded bytes.
    """

    digest: bytes
    size: int
    codec: Codec
    data: bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Blob:
    """A byte string cut into chunks: total ``size`` in bytes, digests in order."""

    size: int
    digests: tuple[bytes, ...] = ()


class ChunkReader(Protocol):
    """What `state` needs from whoever keeps chunks."""

    def read_chunks(self, digests: Iterable[bytes]) -> Mapping[bytes, Chunk]:
        """The stored chunks by digest; raises `ChunkMissing` for one that is not there."""

    def absent_chunks(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of ``digests`` that are not stored yet."""
