"""Blobs back from their chunks, every one checked against its name, in threads where it pays."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import zstandard

from evercell.core.chunks import Blob, ChunkReader, Codec, StoredChunk
from evercell.core.errors import Tampered
from evercell.state.content.chunking import decompress, in_threads, name

_DIGEST = 32
_LARGE = 4 << 20


Memory = bytearray | mmap.mmap
"""Writable bytes."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A chunk and where its content belongs."""

    chunk: StoredChunk
    content: Memory
    start: int


def _memory(size: int) -> Memory:
    """Writable memory. Much of it comes from the system as it is: filling it with zeros first takes as long
    as reading what belongs there.
    """
    if size < _LARGE or not hasattr(mmap, "MAP_PRIVATE"):
        return bytearray(size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def join(blob: Blob, reader: ChunkReader) -> Memory:
    """The content of a blob, writable. Raises `Tampered` where a chunk is not what its name says."""
    return fetch([blob], reader)[0]


def fetch(blobs: Iterable[Blob], reader: ChunkReader) -> list[Memory]:
    """The contents of blobs, with one question to the store for all of them."""
    wanted = list(blobs)
    lists = content_digests(wanted, reader)
    found = reader.find({digest for digests in lists for digest in digests})
    chunks = [[found[digest] for digest in digests] for digests in lists]
    for blob, own in zip(wanted, chunks, strict=True):
        if sum(chunk.size for chunk in own) != blob.size:
            raise _tampered(blob.digests[-1] if blob.digests else b"")
    contents = [_memory(blob.size) for blob in wanted]
    places = [place for own, content in zip(chunks, contents, strict=True) for place in _places(own, content)]
    for _ in in_threads(_fill, places, sum(map(len, contents))):
        pass
    return contents


def content_digests(blobs: list[Blob], reader: ChunkReader) -> list[list[bytes]]:
    """The digests of each blob's content, its index read level by level."""
    flat: list[list[bytes]] = []
    for blob in blobs:
        digests = list(blob.digests)
        for _ in range(blob.levels):
            digests = index_digests(digests, reader)
        flat.append(digests)
    return flat


def index_digests(digests: Sequence[bytes], reader: ChunkReader) -> list[bytes]:
    """The digests that are the content of chunks of an index."""
    found = reader.find(digests)
    index = b"".join(read_content(found[digest]) for digest in digests)
    if len(index) % _DIGEST:
        raise _tampered(digests[0])
    return [index[i : i + _DIGEST] for i in range(0, len(index), _DIGEST)]


def _places(chunks: list[StoredChunk], content: Memory) -> Iterator[_Place]:
    start = 0
    for chunk in chunks:
        yield _Place(chunk, content, start)
        start += chunk.size


def _fill(place: _Place) -> None:
    chunk = place.chunk
    view = memoryview(place.content)[place.start : place.start + chunk.size]
    if chunk.codec is Codec.RAW and chunk.length == chunk.size:
        chunk.read_into(view)  # where it belongs: large arrays are not copied on the way
        if name(view) != chunk.digest:
            raise _tampered(chunk.digest)
    else:
        view[:] = read_content(chunk)


def read_content(chunk: StoredChunk) -> bytes | bytearray:
    """The content of a chunk, checked against its name. Raises `Tampered`, `ChunkMissing`."""
    data: bytes | bytearray = chunk.read()
    try:
        if chunk.codec is Codec.ZSTD:
            data = decompress(data, chunk.size)
    except zstandard.ZstdError as error:
        raise _tampered(chunk.digest) from error
    if len(data) != chunk.size or name(data) != chunk.digest:
        raise _tampered(chunk.digest)
    return data


def _tampered(digest: bytes) -> Tampered:
    return Tampered(
        f"A part of the saved state (chunk {digest.hex()[:16]}) is not what was saved; nothing of it was loaded.",
        hint="Put the store's files back from a backup, or go on from an earlier step: %checkout RUN@STEP.",
    )
