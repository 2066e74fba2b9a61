"""Bytes into content-addressed chunks and back, every chunk checked against its name."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import zstandard
from blake3 import blake3

from evercell.core.chunks import Blob, Chunk, ChunkReader, Codec
from evercell.core.errors import Tampered

CHUNK_SIZE = 1 << 20
"""Bytes in a chunk, the last one of a blob excepted."""

_SMALL = 256
"""Not worth compressing."""
_SAMPLE = 16 * 1024
_LEVEL = 1
_WORTH = 0.9


def view_of(content: Any) -> memoryview:
    """A contiguous buffer as flat bytes."""
    view = memoryview(content)
    return view.cast("B") if view.nbytes else memoryview(b"")


def name_chunks(view: memoryview) -> Blob:
    """The blob that `split` would make, without making its chunks."""
    parts = (view[start : start + CHUNK_SIZE] for start in range(0, len(view), CHUNK_SIZE))
    return Blob(len(view), tuple(_name(part) for part in parts))


def encode(view: memoryview, blob: Blob, wanted: Container[bytes]) -> list[Chunk]:
    """Those chunks of a named blob that are wanted."""
    return [
        _chunk(view[number * CHUNK_SIZE : (number + 1) * CHUNK_SIZE], digest)
        for number, digest in enumerate(blob.digests)
        if digest in wanted
    ]


def split(content: Any) -> tuple[Blob, list[Chunk]]:
    """Cut a contiguous buffer into chunks, compressed where a sample of them shrinks."""
    view = view_of(content)
    blob = name_chunks(view)
    return blob, encode(view, blob, blob.digests)


def _name(part: memoryview) -> bytes:
    return blake3(part).digest()


def _chunk(part: memoryview, digest: bytes) -> Chunk:
    data: bytes | memoryview = part
    codec = Codec.RAW
    if len(part) >= _SMALL and _shrinks(part):
        packed = zstandard.ZstdCompressor(level=_LEVEL).compress(part)
        if len(packed) < _WORTH * len(part):
            data, codec = packed, Codec.ZSTD
    return Chunk(digest, len(part), codec, data)


def _shrinks(part: memoryview) -> bool:
    if len(part) <= 2 * _SAMPLE:
        return True
    middle = len(part) // 2
    sample = part[middle : middle + _SAMPLE]
    return len(zstandard.ZstdCompressor(level=_LEVEL).compress(sample)) < _WORTH * len(sample)


def join(blob: Blob, reader: ChunkReader) -> bytearray:
    """The content of a blob, writable. Raises `Tampered` where a chunk is not what its name says."""
    stored = reader.read_chunks(blob.digests)
    content = bytearray(blob.size)
    position = 0
    for digest in blob.digests:
        part = _decode(stored[digest], digest)
        content[position : position + len(part)] = part
        position += len(part)
    if position != blob.size:
        raise _tampered(blob.digests[-1] if blob.digests else b"")
    return content


def _decode(chunk: Chunk, digest: bytes) -> bytes | memoryview:
    try:
        if chunk.codec is Codec.ZSTD:
            part: Any = zstandard.ZstdDecompressor().decompress(chunk.data, max_output_size=chunk.size)
        else:
            part = memoryview(chunk.data)
    except zstandard.ZstdError as error:
        raise _tampered(digest) from error
    if len(part) != chunk.size or blake3(part).digest() != digest:
        raise _tampered(digest)
    return part  # type: ignore[no-any-return]


def _tampered(digest: bytes) -> Tampered:
    return Tampered(
        f"A part of the saved state (chunk {digest.hex()[:16]}) is not what was saved; nothing of it was loaded.",
        hint="Put the store's files back from a backup, or go on from an earlier step: %checkout RUN@STEP.",
    )
