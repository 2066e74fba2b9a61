"""Bytes into content-addressed chunks: at fixed places for buffers, where the content says for streams.

A large array changes in place, so fixed chunks find what is the same. A pickle stream shifts with every
insertion: its chunks begin where the bytes before have a certain hash, and so shift with it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from threading import local
from typing import Any, TypeVar

import xxhash
import zstandard
from blake3 import blake3

from evercell.core.chunks import Absent, Blob, Chunk, ChunkReader, Codec, StoredChunk, Supply
from evercell.core.errors import ContentChanged

T = TypeVar("T")
R = TypeVar("R")

CHUNK_SIZE = 1 << 20
"""Bytes in a chunk of a buffer, the last one excepted."""

STREAM_CHUNK = 2048
"""Bytes in a chunk of a stream, on average: one field of a large state costs about so much."""

_ONE_CHUNK = 16 * 1024
"""Streams up to so many bytes are one chunk."""
_LARGE_STREAM = 8 << 20
"""Larger streams have larger chunks, so that their number stays bounded."""
_INDEX_CHUNK = 512
"""Bytes in a chunk of an index, on average: sixteen digests."""
_INDEX_FROM = 64
"""Digests from which on a stream's blob has an index instead of a list in the manifest."""

_SMALL = 256
"""Not worth compressing."""
_SAMPLE = 16 * 1024
_LEVEL = 1
_WORTH = 0.9

WORKERS = min(4, os.cpu_count() or 1)
_WORTH_THREADS = 8 << 20
_WORTH_HANDING_OVER = 64 * 1024
"""Bytes of an item, on average."""
_ASK_FIRST = 16 * 1024
"""Bytes from which on it pays to ask the store what it has already."""


def view_of(content: Any) -> memoryview:
    """A contiguous buffer as flat bytes."""
    view = memoryview(content)
    return view.cast("B") if view.nbytes else memoryview(b"")


def cut(view: memoryview) -> list[memoryview]:
    """A buffer's chunks."""
    return [view[start : start + CHUNK_SIZE] for start in range(0, len(view), CHUNK_SIZE)]


def cut_by_content(view: memoryview, average: int | None = None) -> list[memoryview]:
    """A stream's chunks."""
    if len(view) <= _ONE_CHUNK:
        return [view] if len(view) else []
    from pyfastcdc import FastCDC  # not before a stream is large: most never are

    if average is None:
        average = STREAM_CHUNK << max(0, (len(view) // _LARGE_STREAM).bit_length())
    cutter = FastCDC(avg_size=average, min_size=average // 4, max_size=average * 8)
    return [view[c.offset : c.offset + c.length] for c in cutter.cut_buf(view)]


def mark_of(part: memoryview) -> bytes:
    """A fast fingerprint of a chunk, 16 bytes."""
    return xxhash.xxh3_128_digest(part)


@dataclass(slots=True)
class _Part:
    """A chunk of memory that others may write to: a thread, a library, another process."""

    view: memoryview
    mark: bytes | None
    """`mark_of` it when it was looked at; None: it is nobody else's."""

    def content(self) -> memoryview:
        """What the mark is of, where nobody can change it. Raises `ContentChanged` where it is that no more."""
        if self.mark is None or type(self.view.obj) is bytes:
            return self.view
        copy = memoryview(bytes(self.view))
        if mark_of(copy) != self.mark:
            raise ContentChanged(
                "What is being saved was changed by something beside the cell (a thread, another process) while it was "
                "written; nothing was committed.",
                hint="Run the cell again once that has ended.",
            )
        return copy


@dataclass(slots=True)
class _Named:
    digest: bytes
    part: _Part


class Packer:
    """Names the chunks of blobs and gathers those that the store does not have."""

    def __init__(self, reader: ChunkReader, names: dict[bytes, bytes] | None = None) -> None:
        """``names`` maps the marks of chunks (see `add_buffer`) to digests, to be filled and used again."""
        self._reader = reader
        self._names = names if names is not None else {}
        self._wanted: dict[bytes, _Part] = {}

    def add_buffer(self, view: memoryview, marks: Sequence[bytes]) -> Blob:
        """A buffer, with the `mark_of` each of its chunks: one met before is not named again.

        Raises `ContentChanged` where one is not what its mark is of.
        """
        parts = list(map(_Part, cut(view), marks))
        unnamed = {mark: part for mark, part in zip(marks, parts, strict=True) if mark not in self._names}
        size = sum(len(part.view) for part in unnamed.values())
        digests = in_threads(_name_still, list(unnamed.values()), size)
        self._names.update(zip(unnamed, digests, strict=True))
        named = [self._names[mark] for mark in marks]
        self._want(map(_Named, named, parts))
        return Blob(len(view), tuple(named))

    def add_stream(self, view: memoryview) -> Blob:
        """A stream, and an index of its chunks where they are many."""
        parts = cut_by_content(view)
        digests = self._name_all(parts)
        levels = 0
        while len(digests) > _INDEX_FROM:
            index = memoryview(b"".join(digests))
            digests, levels = self._name_all(cut_by_content(index, _INDEX_CHUNK)), levels + 1
        return Blob(len(view), tuple(digests), levels)

    def _name_all(self, parts: list[memoryview]) -> list[bytes]:
        digests = [name(part) for part in parts]
        self._want(_Named(digest, _Part(part, None)) for digest, part in zip(digests, parts, strict=True))
        return digests

    def _want(self, chunks: Iterable[_Named]) -> None:
        self._wanted.update((c.digest, c.part) for c in chunks)

    def supply(self) -> Supply:
        """All that is to be stored."""
        absent = set(self._wanted)
        relied_on: tuple[bytes, ...] = ()
        as_of = None
        if sum(len(wanted.view) for wanted in self._wanted.values()) >= _ASK_FIRST:
            absent = self._reader.absent(absent)
            relied_on = tuple(digest for digest in self._wanted if digest not in absent)
            as_of = absent.as_of if relied_on and isinstance(absent, Absent) else None
        wanted = [_Named(digest, part) for digest, part in self._wanted.items() if digest in absent]
        size = sum(len(named.part.view) for named in wanted)
        parts = (_Encoding(wanted, size),) if wanted else ()
        return Supply(size, parts, relied_on, as_of)


@dataclass(frozen=True, slots=True)
class _Encoding:
    """Chunks that are encoded a few ahead of whoever takes them."""

    wanted: list[_Named]
    size: int

    def __iter__(self) -> Iterator[Chunk]:
        return in_threads(_encode, self.wanted, self.size)


def split(content: Any) -> tuple[Blob, Supply]:
    """Cut a contiguous buffer into chunks, compressed where a sample of them shrinks."""
    view = view_of(content)
    parts = cut(view)
    chunks = [_encoded(name(part), part) for part in parts]
    return Blob(len(view), tuple(chunk.digest for chunk in chunks)), Supply.of(chunks)


def split_stream(content: Any) -> tuple[Blob, Supply]:
    """Cut a contiguous buffer where its content says, so that one which grew or changed a little shares the rest."""
    packer = Packer(_NothingStored())
    return packer.add_stream(view_of(content)), packer.supply()


class _NothingStored:
    def find(self, digests: Iterable[bytes]) -> dict[bytes, StoredChunk]:  # noqa: ARG002
        return {}

    def absent(self, digests: Iterable[bytes]) -> set[bytes]:
        return set(digests)


def name(part: memoryview | bytes | bytearray) -> bytes:
    """A chunk's digest."""
    return blake3(part).digest()


def _name_still(part: _Part) -> bytes:
    return name(part.content())


def _encode(named: _Named) -> Chunk:
    return _encoded(named.digest, named.part.content())


def _encoded(digest: bytes, part: memoryview) -> Chunk:
    data: bytes | memoryview = part
    codec = Codec.RAW
    if len(part) >= _SMALL and _shrinks(part):
        packed = compress(part)
        if len(packed) < _WORTH * len(part):
            data, codec = packed, Codec.ZSTD
    return Chunk(digest, len(part), codec, data)


def _shrinks(part: memoryview) -> bool:
    if len(part) <= 2 * _SAMPLE:
        return True
    middle = len(part) // 2
    sample = part[middle : middle + _SAMPLE]
    return len(compress(sample)) < _WORTH * len(sample)


_of_this_thread = local()
"""What compresses is made once, and used by one thread at a time: making it takes longer than a small chunk."""


def compress(part: memoryview) -> bytes:
    """A chunk, smaller."""
    if not hasattr(_of_this_thread, "compressor"):
        _of_this_thread.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    made: bytes = _of_this_thread.compressor.compress(part)
    return made


def decompress(data: bytes | bytearray, size: int) -> bytes:
    """What was compressed; raises `zstandard.ZstdError`, before it makes room for more than ``size`` bytes."""
    if zstandard.frame_content_size(data) != size:
        raise zstandard.ZstdError("the frame says that it has another size")
    if not hasattr(_of_this_thread, "decompressor"):
        _of_this_thread.decompressor = zstandard.ZstdDecompressor()
    made: bytes = _of_this_thread.decompressor.decompress(data, max_output_size=size)
    return made


def in_threads(function: Callable[[T], R], items: Sequence[T], size: int) -> Iterator[R]:
    """Map in order, a few items ahead in threads where the bytes behind them (``size``) are worth it.

    (Hashing, compressing and reading let other threads run; handing over a small item takes longer than these.)
    """
    if size < max(_WORTH_THREADS, _WORTH_HANDING_OVER * len(items)) or WORKERS == 1:
        yield from map(function, items)
        return
    waiting = iter(items)
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="evercell-chunks") as pool:
        ahead = deque(pool.submit(function, item) for item in islice(waiting, 4 * WORKERS))
        while ahead:
            done = ahead.popleft().result()
            ahead.extend(pool.submit(function, item) for item in islice(waiting, 1))
            yield done
