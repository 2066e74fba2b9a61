"""Threads of an agent's graph as they are stored: checkpoints of the graph, and what its tasks wrote beside them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256

from evercell.core.chunks import Blob
from evercell.core.errors import UsageError

_DIGEST = 32

LONGEST_NAME = 10_000
"""Bytes of a thread's id, and of its namespace."""

LONGEST_KEY = 500
"""Bytes of a checkpoint's and a task's id: they are keys of tables."""


@dataclass(frozen=True, slots=True)
class ThreadKey:
    """Which conversation: the thread's id, and the namespace of the (sub)graph that it belongs to."""

    thread_id: str
    ns: str = ""

    @property
    def digest(self) -> bytes:
        """By what it is found: texts of any length make one key of 16 bytes."""
        return sha256(f"{len(self.thread_id)}\0{self.thread_id}\0{self.ns}".encode()).digest()[:16]


@dataclass(frozen=True, slots=True)
class ThreadOrigin:
    """Who wrote it: an attempt at a step, or nobody that evercell knows."""

    run_id: str | None = None
    step: str | None = None
    attempt: str = ""
    """Empty: made outside of any step."""
    call: str = ""
    """Key of the durable call around it, empty without one."""


@dataclass(frozen=True, slots=True)
class ThreadCheckpoint:
    """The state of a graph after one of its supersteps."""

    thread: ThreadKey
    id: str
    parent: str | None
    origin: ThreadOrigin
    graph_run: str | None
    """The run id that LangGraph gave it in its metadata."""
    content: bytes
    mac: bytes
    made_at: datetime

    @property
    def signed_part(self) -> bytes:
        """What its signature is of."""
        o = self.origin
        parts = (
            self.thread.thread_id, self.thread.ns, self.id, self.parent or "", o.run_id or "", o.step or "",
            o.attempt, o.call, self.graph_run or "", str(_microseconds(self.made_at)),
        )  # fmt: skip
        return _signed("checkpoint", parts, self.content)


@dataclass(frozen=True, slots=True)
class ThreadWrites:
    """What one task of a graph wrote after a checkpoint."""

    thread: ThreadKey
    checkpoint_id: str
    task: str
    path: str
    origin: ThreadOrigin
    content: bytes
    mac: bytes
    made_at: datetime

    @property
    def signed_part(self) -> bytes:
        """What its signature is of."""
        o = self.origin
        parts = (
            self.thread.thread_id, self.thread.ns, self.checkpoint_id, self.task, self.path, o.run_id or "",
            o.step or "", o.attempt, o.call, str(_microseconds(self.made_at)),
        )  # fmt: skip
        return _signed("writes", parts, self.content)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _signed(what: str, parts: Iterable[str], content: bytes) -> bytes:
    texts = [part.encode() for part in parts]
    head = b"".join(len(text).to_bytes(4) + text for text in texts)
    return f"thread {what}\0".encode() + head + sha256(content).digest()


@dataclass(frozen=True, slots=True)
class ThreadContent:
    """A header that only its author understands, and the blobs that it speaks of, in their order."""

    header: bytes
    blobs: Sequence[Blob] = field(default=())

    def to_bytes(self) -> bytes:
        """As it is stored."""
        written = [_number(len(self.header)), self.header]
        for blob in self.blobs:
            written += [_number(blob.size), _number(blob.levels), _number(len(blob.digests)), *blob.digests]
        return b"".join(written)

    @classmethod
    def from_bytes(cls, content: bytes) -> ThreadContent:
        """What `to_bytes` wrote; raises `ValueError` for anything else."""
        length, at = _read_number(content, 0)
        header, at = content[at : at + length], at + length
        if len(header) != length:
            raise ValueError("its header is cut short")
        blobs = []
        while at < len(content):
            size, at = _read_number(content, at)
            levels, at = _read_number(content, at)
            count, at = _read_number(content, at)
            end = at + count * _DIGEST
            if end > len(content) or levels > _DEEPEST:
                raise ValueError("its list of chunks is cut short")
            blobs.append(Blob(size, tuple(content[i : i + _DIGEST] for i in range(at, end, _DIGEST)), levels))
            at = end
        return cls(header, blobs)


_DEEPEST = 40


def _number(value: int) -> bytes:
    """Seven bits a byte, the lowest first."""
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    written.append(value)
    return bytes(written)


def _read_number(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(content) or shift > 63:
            raise ValueError("a number in it is cut short")
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def require_text(value: object, what: str, *, longest: int) -> str:
    """A text that each database can keep; raises `UsageError`."""
    text = value if isinstance(value, str) else str(value)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        size = -1
    if "\0" in text or not 0 <= size <= longest:
        raise UsageError(
            f"{what} {text[:60]!r} cannot be stored.",
            hint=f"Use a text of at most {longest:,} bytes, without the character NUL and halves of characters.",
        )
    return text
