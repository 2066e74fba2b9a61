"""Values of a graph's channels as content of the store, and back.

The elements of a list (and the entries of a dict) are content of their own, so that a list which grows by one message
stores one message, and a message that a task wrote is stored once more nowhere. What is large within an element that
has no id yet stands apart from the rest of it, so that it stays the same when the element is given one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Protocol

import ormsgpack

from evercell.core.chunks import Blob, Chunk, ChunkReader, Supply
from evercell.langgraph.vectors import Vector
from evercell.state import join, read_content, split, split_stream

_APART = 512
"""Bytes of text from which on it stands apart from the element that it is in."""

_INLINE = 96
"""Bytes up to which a value stands in the checkpoint itself."""

_SCALARS = frozenset({int, float, bool, type(None), complex})
_SHORT = 64
"""Characters: a list of texts that are this short on average is one value, not one for each."""

_ONE_CHUNK = 16 * 1024
"""Bytes from which on a value is cut, so that one that grew a little shares the rest with what it was."""

_DEEPEST = 4
"""Levels of lists and dicts in an element in which large texts are looked for."""

_DIGEST = 32

PIECE, LIST, DICT = 0, 1, 2

Header = list[Any]
"""A value without its content: ``[PIECE, type, bytes or number of blobs]``, or ``[LIST | DICT, number of blobs]``."""


class Serializer(Protocol):
    """What LangGraph's serialisers have."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]: ...

    def loads_typed(self, data: tuple[str, bytes]) -> Any: ...


@dataclass
class Writing:
    """What is about to be stored: blobs that the headers speak of, in order, and chunks that may be new."""

    serde: Serializer
    blobs: list[Blob] = field(default_factory=list)
    chunks: dict[bytes, Chunk] = field(default_factory=dict)
    has: set[bytes] = field(default_factory=set)
    """Digests of chunks that are surely in the store."""

    def store(self, content: bytes | memoryview) -> Blob:
        """Content as chunks."""
        blob, supply = split(content) if len(content) <= _ONE_CHUNK else split_stream(content)
        self._add(supply)
        return blob

    def name(self, content: bytes) -> bytes:
        """The digest of content that is one chunk."""
        blob, supply = split(content)
        self._add(supply)
        return blob.digests[0]

    def _add(self, supply: Supply) -> None:
        self.chunks.update((chunk.digest, chunk) for chunk in supply if chunk.digest not in self.has)

    def supply(self) -> Supply:
        """All that is to be stored."""
        return Supply.of(self.chunks.values())

    def piece(self, value: Any) -> Header:
        """A value as a whole."""
        kind, content = self.serde.dumps_typed(value)
        if len(content) <= _INLINE:
            return [PIECE, kind, bytes(content)]
        self.blobs.append(self.store(content))
        return [PIECE, kind, 1]

    def element(self, value: Any, key: str | None = None) -> tuple[bytes, ...]:
        """The digests of an element: of what makes it again, and of its parts that stand apart."""
        kind, content = self.serde.dumps_typed(value)
        parts: list[Any] = []
        digests: list[bytes] = []
        for part, is_apart in _parts(self._texts_apart(value, len(content)), bytes(content)):
            if is_apart or len(part) > _ONE_CHUNK:
                blob, supply = split(part)
                self._add(supply)
                parts.append(len(blob.digests))
                digests += blob.digests
            else:
                parts.append(part)
        return self.name(ormsgpack.packb([key, kind, parts])), *digests

    def _texts_apart(self, value: Any, size: int) -> list[bytes]:
        """What of an element stands apart: it may be given an id yet, or was stored before it had one."""
        texts = _large_texts(value) if size >= _APART else []
        if texts and _has_id(value):
            return [text for text in texts if split(text)[0].digests[0] in self.has]
        return texts

    def sequence(self, kind: int, vector: Vector) -> Header:
        """A list or dict whose elements are stored."""
        parts = vector.parts()
        self.blobs += [Blob(0, digests, level) for level, digests in parts]
        return [kind, len(parts)]


def has_elements(value: Any) -> bool:
    """Whether the elements of a value are content of their own: it is a list or dict, and not of numbers or words."""
    if type(value) is dict:
        if not all(type(key) is str for key in value):
            return False
        elements: Any = value.values()
    elif type(value) is list:
        elements = value
    else:
        return False
    kinds = set(map(type, elements))
    if not kinds or kinds <= _SCALARS:
        return False
    if kinds <= _SCALARS | {str}:
        texts = [element for element in elements if type(element) is str]
        return sum(map(len, texts)) > _SHORT * len(elements)
    return True


def elements_of(value: Any, *, skip: int = 0) -> Iterator[tuple[str | None, Any]]:
    """The elements of a list, without keys, or of a dict; the first few of them left out."""
    if type(value) is dict:
        yield from islice(value.items(), skip, None)
    else:
        for element in value[skip:]:
            yield None, element


def _has_id(value: Any) -> bool:
    return (value.get("id") if isinstance(value, dict) else getattr(value, "id", None)) is not None


def _parts(texts: list[bytes], content: bytes) -> Iterator[tuple[bytes, bool]]:
    """The parts of an element's bytes, each with whether it stands apart. Together they are the bytes again."""
    at = 0
    for text in texts:
        start = content.find(text, at)
        if start < 0:
            continue
        yield content[at:start], False
        yield text, True
        at = start + len(text)
    yield content[at:], False


def _large_texts(value: Any) -> list[bytes]:
    """Texts and bytes of a value's fields that are large enough to stand apart, in their order."""
    found: list[bytes] = []
    _collect_texts(getattr(value, "__dict__", value), found, _DEEPEST)
    return found


def _collect_texts(value: Any, found: list[bytes], depth: int) -> None:
    kind = type(value)
    if kind is str and len(value) >= _APART:
        with suppress(UnicodeEncodeError):  # halves of characters: then it stands where it is
            found.append(value.encode())
    elif kind is bytes and len(value) >= _APART:
        found.append(value)
    elif kind in (dict, list) and depth:
        for inner in value.values() if kind is dict else value:
            _collect_texts(inner, found, depth - 1)


# -- back ----------------------------------------------------------------------------------------


@dataclass
class Reading:
    """Values from their headers and blobs."""

    serde: Serializer
    reader: ChunkReader
    blobs: Iterator[Blob]

    def value(self, header: Header) -> tuple[Any, Sequence[tuple[bytes, ...]] | None]:
        """The next value, and the digests of its elements where they are content of their own."""
        if header[0] == PIECE:
            _, kind, content = header
            if type(content) is not bytes:
                content = bytes(join(next(self.blobs), self.reader))
            return self.serde.loads_typed((kind, content)), None
        flat = self._flat([next(self.blobs) for _ in range(header[1])])
        contents = _contents(flat, self.reader)
        keys: list[str | None] = []
        values: list[Any] = []
        digests: list[tuple[bytes, ...]] = []
        at = 0
        while at < len(flat):
            key, value, used = self._element(flat, at, contents)
            keys.append(key)
            values.append(value)
            digests.append(tuple(flat[at : at + used]))
            at += used
        if header[0] == DICT:
            return dict(zip(keys, values, strict=True)), digests
        return values, digests

    def _element(
        self, flat: Sequence[bytes], at: int, contents: Mapping[bytes, bytes]
    ) -> tuple[str | None, Any, int]:
        """An element's key and value, and how many digests are its own."""
        key, kind, parts = ormsgpack.unpackb(contents[flat[at]])
        used, content = 1, bytearray()
        for part in parts:
            if type(part) is int:
                for digest in flat[at + used : at + used + part]:
                    content += contents[digest]
                used += part
            else:
                content += part
        return key, self.serde.loads_typed((kind, bytes(content))), used

    def _flat(self, parts: Sequence[Blob]) -> list[bytes]:
        """The digests of a sequence: parts from the highest level on, each read together with those of its level."""
        if not parts:
            return []
        pending: list[bytes] = []
        by_level = {blob.levels: blob.digests for blob in parts}
        for level in range(max(by_level), 0, -1):
            blocks = [*pending, *by_level.get(level, ())]
            found = _contents(blocks, self.reader)
            pending = [
                digest
                for block in blocks
                for digest in (found[block][i : i + _DIGEST] for i in range(0, len(found[block]), _DIGEST))
            ]
        return [*pending, *by_level.get(0, ())]


def _contents(digests: Sequence[bytes], reader: ChunkReader) -> dict[bytes, bytes]:
    """The content of chunks, each checked against its name."""
    wanted = set(digests)
    return (
        {digest: bytes(read_content(chunk)) for digest, chunk in reader.find(wanted).items()}
        if wanted
        else {}
    )
