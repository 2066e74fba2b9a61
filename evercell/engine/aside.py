"""Completed steps that the store could not take: kept in a file of their own until it does.

A step is put aside as soon as its commit failed, so a kill while the store is away loses nothing that completed. The
next commit of the run takes it up: of this session, or of the next one on this machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime
from hmac import compare_digest
from pathlib import Path
from typing import Any

from blake3 import blake3

from evercell.core.chunks import Blob, Chunk, Codec, StoredChunk, Supply, blob_from_json, blob_to_json
from evercell.core.errors import ChunkMissing, Tampered
from evercell.core.faults import reach
from evercell.core.ids import new_id
from evercell.core.records import Attempt, Checkpoint, CheckpointDraft
from evercell.core.statuses import AttemptStatus
from evercell.state import Signer

_MAGIC = b"evercell aside 1\n"
_MAC_SIZE = 32
_LENGTH_SIZE = 8
_LARGEST_HEADER = 1 << 30
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600


@dataclass(frozen=True, slots=True)
class Aside:
    """A completed step on its way into the store."""

    run_id: str
    attempt: Attempt | None
    draft: CheckpointDraft
    calls: Mapping[str, Any]
    """What its journal entry says of its durable calls."""
    completed_at: datetime
    path: Path | None = None
    """Where it is kept meanwhile; None: in memory only."""

    def checkpoint(self) -> Checkpoint:
        """What the store will have, but for its place in the journal."""
        draft = self.draft
        values = {
            f.name: getattr(draft, f.name) for f in fields(draft) if f.name not in ("chunks", "late", "base")
        }
        return Checkpoint(
            **values,
            run_id=self.run_id,
            seq=0,
            attempt_id=self.attempt.id if self.attempt else None,
            created_at=self.completed_at,
        )


class NothingStored:
    """The chunks of a store that cannot be asked: whatever is needed goes into the file."""

    def find(self, digests: Iterable[bytes]) -> Mapping[bytes, StoredChunk]:
        """Nothing can be read."""
        raise ChunkMissing(f"{len(list(digests))} chunks are in a store that is away.", hint="Wait for it.")

    def absent(self, digests: Iterable[bytes]) -> set[bytes]:
        """All of them."""
        return set(digests)


# -- writing -------------------------------------------------------------------------------------


def write_aside(aside: Aside, folder: Path, signer: Signer) -> Path:
    """Keep a step in a file of its own, whole and on disk when this returns. Raises `OSError`."""
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    path = folder / f"{aside.run_id}-{aside.draft.id}"
    draft = folder / f".{path.name}.{new_id()}"
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "wb") as file:
            digest = blake3()
            for part in _parts(aside):
                digest.update(part)
                file.write(part)
            file.write(signer.sign(_MAGIC + digest.digest()))
            file.flush()
            os.fsync(file.fileno())
        draft.rename(path)
        _sync(folder)
    except BaseException:
        with suppress(OSError):
            draft.unlink()
        raise
    reach("after_setting_aside")
    return path


def _parts(aside: Aside) -> Iterator[bytes | bytearray | memoryview]:
    """The file without its mac: what the step is, and then each chunk with its own few words."""
    header = {
        "run_id": aside.run_id,
        "attempt": _to_json(aside.attempt) if aside.attempt else None,
        "draft": _to_json(aside.draft),
        "calls": dict(aside.calls),
        "completed_at": aside.completed_at.isoformat(),
    }
    yield _MAGIC
    yield from _framed(json.dumps(header).encode())
    for chunk in aside.draft.chunks:
        words = [chunk.digest.hex(), chunk.size, int(chunk.codec)]
        yield from _framed(json.dumps(words).encode())
        yield from _framed(memoryview(chunk.data).cast("B"))


def _framed(content: bytes | memoryview) -> Iterator[bytes | memoryview]:
    yield len(content).to_bytes(_LENGTH_SIZE, "big")
    yield content


def _to_json(record: Any) -> dict[str, Any]:
    return {f.name: _plain(getattr(record, f.name)) for f in fields(record) if f.name != "chunks"}


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return {"bytes": value.hex()}
        case Blob():
            return {"blob": blob_to_json(value)}
        case datetime():
            return {"moment": value.isoformat()}
        case Mapping():
            return {"mapping": dict(value)}
    return value


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# -- reading -------------------------------------------------------------------------------------


def asides_of(run_id: str, folders: Iterable[Path]) -> list[Path]:
    """The files of a run's steps that wait, the earliest first."""
    waiting: list[Path] = []
    for folder in folders:
        with suppress(OSError):
            waiting += [path for path in folder.glob(f"{run_id}-*") if not path.suffix]
    return sorted(waiting, key=lambda path: path.stat().st_mtime_ns)


def read_aside(path: Path, signer: Signer) -> Aside:
    """What a file keeps; its chunks are read when they are needed. Raises `Tampered`."""
    try:
        _verify(path, signer)
        with path.open("rb") as file:
            file.seek(len(_MAGIC))
            header = json.loads(_frame(file, _LARGEST_HEADER))
            start = file.tell()
        size = sum(chunk.size for chunk in _Chunks(path, start))
    except (OSError, ValueError) as error:
        raise _tampered(path) from error
    attempt, draft = header["attempt"], _from_json(header["draft"])
    return Aside(
        header["run_id"],
        _attempt(attempt) if attempt else None,
        CheckpointDraft(**draft, chunks=Supply(size, (_Chunks(path, start),))),
        header["calls"],
        datetime.fromisoformat(header["completed_at"]),
        path,
    )


def _verify(path: Path, signer: Signer) -> None:
    """Raise `Tampered` unless the file is whole and was signed with this key."""
    digest, left = blake3(), path.stat().st_size - _MAC_SIZE
    with path.open("rb") as file:
        while left > 0:
            part = file.read(min(left, 1 << 20))
            digest.update(part)
            left -= len(part) or left
        if not compare_digest(file.read(), signer.sign(_MAGIC + digest.digest())):
            raise _tampered(path)


def _tampered(path: Path) -> Tampered:
    return Tampered(
        f"{path}, where a completed step waits for the store, is not what was signed.",
        hint="It is left as it is and not used. Remove it, and run the step again.",
    )


@dataclass(frozen=True, slots=True)
class _Chunks:
    """The chunks in a file that was verified."""

    path: Path
    start: int

    def __iter__(self) -> Iterator[Chunk]:
        end = self.path.stat().st_size - _MAC_SIZE
        with self.path.open("rb") as file:
            file.seek(self.start)
            while file.tell() < end:
                digest, size, codec = json.loads(_frame(file, end))
                yield Chunk(bytes.fromhex(digest), size, Codec(codec), _frame(file, end))


def _frame(file: Any, longest: int) -> bytes:
    length = int.from_bytes(file.read(_LENGTH_SIZE), "big")
    if length > longest:
        raise ValueError("a part is longer than the file")
    content: bytes = file.read(length)
    return content


def _from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in stored.items()}


def _value(stored: Any) -> Any:
    match stored:
        case {"bytes": text}:
            return bytes.fromhex(text)
        case {"blob": blob}:
            return blob_from_json(blob)
        case {"moment": text}:
            return datetime.fromisoformat(text)
        case {"mapping": mapping}:
            return mapping
    return stored


def _attempt(stored: Mapping[str, Any]) -> Attempt:
    values = _from_json(stored)
    return Attempt(**{**values, "status": AttemptStatus(values["status"]), "error": None})
