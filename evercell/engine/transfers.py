"""How much of a state is written or read so far, counted as its chunks pass by."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from evercell.core.chunks import Chunk, ChunkReader, StoredChunk, Supply
from evercell.engine.watching import StepProgress, Watchers


@dataclass(frozen=True, slots=True)
class _Counted:
    """Chunks that are told of as they are taken; each time they are taken from the first one."""

    chunks: Supply
    progress: StepProgress

    def __iter__(self) -> Iterator[Chunk]:
        self.progress.save_began(self.chunks.size)
        for chunk in self.chunks:
            yield chunk
            self.progress.wrote(chunk.size)


def counted(chunks: Supply, progress: StepProgress) -> Supply:
    """The same chunks; ``progress`` is told of each that is written."""
    return replace(chunks, parts=(_Counted(chunks, progress),)) if chunks.size else chunks


@dataclass(frozen=True, slots=True)
class Reading:
    """How much of a state was read at one moment, in bytes. Times in seconds since the epoch."""

    began_at: float
    read: int = 0
    to_read: int = 0
    is_over: bool = False


class Readings:
    """Tells how far the reading of a state is, while somebody waits for it."""

    def __init__(self, watchers: Watchers) -> None:
        self._watchers = watchers
        self._lock = threading.Lock()
        self._read = self._to_read = 0
        self.show: Callable[[Reading], None] | None = None
        """Told now and then while somebody waits, from whatever thread; to be quick."""
        self._began_at: float | None = None

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """While inside, somebody waits for what is read."""
        if self._began_at is not None or self.show is None:
            yield
            return
        self._began_at = time.time()
        self._watchers.follow(self)
        try:
            yield
        finally:
            self._watchers.leave(self)
            self._tell(is_over=True)
            self._began_at = None

    def counting(self, reader: ChunkReader) -> ChunkReader:
        """The same reader; what it reads is counted."""
        return _CountingReader(reader, self)

    def will_read(self, size: int) -> None:
        """So many bytes more."""
        with self._lock:
            if self._read >= self._to_read:  # the former ones are all there
                self._read = self._to_read = 0
            self._to_read += size

    def did_read(self, size: int) -> None:
        """So many of them are there."""
        with self._lock:
            self._read += size

    def beat(self) -> None:
        """Tell how far it is."""
        self._tell()

    def _tell(self, *, is_over: bool = False) -> None:
        began_at = self._began_at
        if began_at is not None and self.show is not None:
            self.show(Reading(began_at, self._read, self._to_read, is_over))


class _CountingReader:
    """A reader of chunks whose bytes are counted."""

    def __init__(self, reader: ChunkReader, readings: Readings) -> None:
        self._reader = reader
        self._readings = readings

    def find(self, digests: Iterable[bytes]) -> Mapping[bytes, StoredChunk]:
        found = self._reader.find(digests)
        self._readings.will_read(sum(chunk.length for chunk in found.values()))
        return {digest: self._counted(chunk) for digest, chunk in found.items()}

    def absent(self, digests: Iterable[bytes]) -> set[bytes]:
        return self._reader.absent(digests)

    def _counted(self, chunk: StoredChunk) -> StoredChunk:
        def read_into(buffer: memoryview) -> None:
            chunk.read_into(buffer)
            self._readings.did_read(chunk.length)

        return replace(chunk, read_into=read_into)
