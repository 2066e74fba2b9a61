"""Groups of very many small objects as they were loaded: what they are is known from the bytes that they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from evercell.core.chunks import ChunkReader
from evercell.state.content.chunk_reader import Memory, fetch
from evercell.state.content.manifest import Group
from evercell.state.pickling.pickled import is_large

_MOST = 64 << 20
"""Bytes of a stream up to which its objects may be in memory twice for a moment."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A group that was loaded, and can be loaded once more without effects."""

    fingerprint: bytes
    """Of its stream: that of a dump of the values, most likely."""
    _group: Group
    _reader: ChunkReader
    _loads: Callable[[Memory, Sequence[Any]], Any]

    def values(self) -> dict[str, Any]:
        """Equal values, by their nodes. Raises `StoreError`, `Tampered`, `ChunkMissing`."""
        (stream,) = fetch([self._group.stream], self._reader)
        content, nodes = self._loads(stream, ()), self._group.nodes
        return {nodes[0]: content} if len(nodes) == 1 else dict(content)


def is_repeatable(group: Group) -> bool:
    """Whether a group is worth that, and holds nothing but Python's own plain objects."""
    is_plain = not (
        group.buffers or group.refs or group.reads or group.missing or group.rebuilt or group.held
    )
    is_pythons = all(one.startswith("python ") for one in group.made_with)
    return is_plain and is_pythons and is_large(group.stream.size) and group.stream.size <= _MOST
