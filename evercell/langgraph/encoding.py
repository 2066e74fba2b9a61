"""Checkpoints and writes of a graph as rows, and back: signed, with their values as content of the store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hmac import compare_digest
from typing import Any

import ormsgpack
import zstandard

from evercell.core.chunks import Blob, ChunkReader
from evercell.core.errors import EvercellError, RowDamaged, Tampered
from evercell.core.threads import ThreadCheckpoint, ThreadContent, ThreadWrites
from evercell.langgraph.contents import (
    DICT,
    LIST,
    Header,
    Reading,
    Serializer,
    Writing,
    elements_of,
    has_elements,
)
from evercell.langgraph.kept import Kept
from evercell.langgraph.vectors import Vector
from evercell.state import Signer

_LARGE_HEADER = 200
_LARGEST_HEADER = 64 << 20
_RAW, _ZSTD = b"\0", b"\1"

Signed = ThreadCheckpoint | ThreadWrites


@dataclass
class StoredChannel:
    """A channel as a checkpoint has it."""

    version: Any
    header: Header
    blobs: Sequence[Blob]
    kept: Kept | None = None
    """Its elements, where they are content of their own."""


@dataclass
class StoredHead:
    """The newest checkpoint of a thread that was written or read here, by which the next one is smaller."""

    checkpoint_id: str
    channels: Mapping[str, StoredChannel] = field(default_factory=dict)

    def digests(self) -> Iterator[bytes]:
        """Those of the content of its elements."""
        for channel in self.channels.values():
            for own in channel.kept.digests if channel.kept is not None else ():
                yield from own


def write_checkpoint(
    checkpoint: Mapping[str, Any],
    metadata: Any,
    writing: Writing,
    head: StoredHead | None,
    changed: Iterable[str],
) -> tuple[bytes, StoredHead]:
    """A checkpoint's content, and what of it the next one may share.

    ``head``: its parent, where that is known here; a channel that is not among the ``changed`` ones is as it was there.
    """
    new, versions = set(changed), checkpoint["channel_versions"]
    channels: dict[str, StoredChannel] = {}
    for name, value in checkpoint["channel_values"].items():
        before = head.channels.get(name) if head is not None else None
        version = versions.get(name)
        if before is not None and name not in new and before.version == version:
            channels[name] = before
        else:
            channels[name] = _write_channel(value, version, writing, before)
    rest = {key: value for key, value in checkpoint.items() if key not in ("channel_values", "id")}
    kind, content = writing.serde.dumps_typed([rest, metadata])
    header = [kind, bytes(content), [[name, channel.header] for name, channel in channels.items()]]
    blobs = [blob for channel in channels.values() for blob in channel.blobs]
    packed = ThreadContent(_pack(header), blobs).to_bytes()
    return packed, StoredHead(str(checkpoint["id"]), channels)


def _write_channel(value: Any, version: Any, writing: Writing, before: StoredChannel | None) -> StoredChannel:
    start = len(writing.blobs)
    kept = None
    former = before.kept if before is not None and before.kept is not None else Kept(LIST)
    grew = former.has_grown_to(value)
    if grew or has_elements(value):
        kept, header = former.written(value, writing, grew=grew)
    else:
        header = writing.piece(value)
    return StoredChannel(version, header, writing.blobs[start:], kept)


def read_checkpoint(
    made: ThreadCheckpoint, serde: Serializer, reader: ChunkReader
) -> tuple[dict[str, Any], Any, StoredHead]:
    """A checkpoint, its metadata, and what of it the next one may share. Its signature was verified."""
    content = _content(made)
    kind, rest, headers = _unpack(content.header, made)
    checkpoint, metadata = serde.loads_typed((kind, rest))
    blobs, at = list(content.blobs), 0
    values: dict[str, Any] = {}
    channels: dict[str, StoredChannel] = {}
    for name, header in headers:
        count = _count_blobs(header)
        own, at = blobs[at : at + count], at + count
        value, digests = Reading(serde, reader, iter(own)).value(header)
        kept = Kept.stored(value, digests) if digests is not None else None
        values[name] = value
        channels[name] = StoredChannel(checkpoint["channel_versions"].get(name), header, own, kept)
    return {**checkpoint, "id": made.id, "channel_values": values}, metadata, StoredHead(made.id, channels)


def _count_blobs(header: Header) -> int:
    inline = header[0] == 0 and type(header[2]) is bytes
    return 0 if inline else int(header[-1])


# -- writes --------------------------------------------------------------------------------------


Write = tuple[int, str, Any]
"""The index of a write of its task, its channel and its value."""

_Written = tuple[int, str, Header, Sequence[Blob]]


def write_writes(writes: Iterable[Write], writing: Writing, former: ThreadWrites | None = None) -> bytes:
    """The content of what a task wrote. Of what it wrote before an ordinary write stays, and a special one goes."""
    merged: dict[int, _Written] = {}
    if former is not None:
        merged = {index: one for one in _read_headers(former) if (index := one[0]) is not None}
    for index, channel, value in writes:
        if index >= 0 and index in merged:
            continue
        start = len(writing.blobs)
        merged[index] = (index, channel, _write_value(value, writing), writing.blobs[start:])
    ordered = [merged[index] for index in sorted(merged)]
    blobs = [blob for *_, own in ordered for blob in own]
    header = [[index, channel, value] for index, channel, value, _ in ordered]
    return ThreadContent(_pack(header), blobs).to_bytes()


def _write_value(value: Any, writing: Writing) -> Header:
    if not has_elements(value):
        return writing.piece(value)
    vector = Vector()
    for key, element in elements_of(value):
        vector.extend(writing.element(element, key), writing.name)
    return writing.sequence(DICT if type(value) is dict else LIST, vector)


def _read_headers(made: ThreadWrites) -> list[_Written]:
    content = _content(made)
    blobs, at = list(content.blobs), 0
    found: list[_Written] = []
    for index, channel, header in _unpack(content.header, made):
        count = _count_blobs(header)
        found.append((index, channel, header, blobs[at : at + count]))
        at += count
    return found


def read_writes(made: ThreadWrites, serde: Serializer, reader: ChunkReader) -> list[Write]:
    """What a task wrote. Its signature was verified."""
    return [
        (index, channel, Reading(serde, reader, iter(own)).value(header)[0])
        for index, channel, header, own in _read_headers(made)
    ]


# -- headers and signatures ----------------------------------------------------------------------


def signed(made: Any, signer: Signer) -> Any:
    """A checkpoint or writes with their signature."""
    return replace(made, mac=signer.sign(made.signed_part))


def require_signed(made: Signed, signer: Signer) -> None:
    """Raise `Tampered` unless this key signed it."""
    if not compare_digest(signer.sign(made.signed_part), made.mac):
        raise Tampered(
            f"{in_words(made)} is not what was signed with your key; nothing of it was loaded.",
            hint="If a team shares the store, set EVERCELL_KEY to the team's key. Otherwise do not trust it: go on "
            "from another checkpoint of the thread.",
        )


def in_words(made: Signed) -> str:
    """What it is, for messages."""
    if isinstance(made, ThreadWrites):
        return f"What task {made.task} of thread {made.thread.thread_id!r} wrote"
    return f"Checkpoint {made.id} of thread {made.thread.thread_id!r}"


def _pack(header: Any) -> bytes:
    packed: bytes = ormsgpack.packb(header)
    if len(packed) < _LARGE_HEADER:
        return _RAW + packed
    compressed: bytes = zstandard.ZstdCompressor(level=3).compress(packed)
    return _ZSTD + compressed


def _content(made: Signed) -> ThreadContent:
    try:
        return ThreadContent.from_bytes(made.content)
    except ValueError as error:
        raise _unreadable(made, error) from error


def _unpack(header: bytes, made: Signed) -> Any:
    try:
        packed = header[1:]
        if header[:1] == _ZSTD:
            packed = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_LARGEST_HEADER)
        return ormsgpack.unpackb(packed)
    except (ValueError, zstandard.ZstdError) as error:
        raise _unreadable(made, error) from error


def _unreadable(made: Signed, error: Exception) -> EvercellError:
    return RowDamaged(
        f"{in_words(made)} cannot be read: {error}.",
        hint="Go on from another checkpoint of the thread. `evercell verify` says what else is damaged.",
    )
