"""A file by which a kernel, and whoever comes next, see whether the process that drives the kernel lives.

It lies beside the kernel's connection file and is locked by the runner: the system frees the lock when that dies,
however it dies. What is written in it is how far the runner was.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from evercell.core.locked_file import lock_exclusively

_TRIES = 4
_INSTANT = 0.01

_ROOM = 256
"""Bytes that are written each time, in one call."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a runner was in its notebook."""

    cell: int
    """Index of the cell that it had the kernel execute last."""
    seen: int
    """Number of the last event of the run's journal before that cell."""


class RunnerMark:
    """The mark of a runner that lives: this process, until it is removed or let go."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path, *, is_new: bool = False) -> RunnerMark | None:
        """Ours, unless another runner lives, or (where it is not new) there is none; then None."""
        try:
            descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if is_new else 0), 0o600)
        except OSError:
            return None
        for again in range(_TRIES):
            if lock_exclusively(descriptor) and path.exists():
                return cls(path, descriptor)
            time.sleep(_INSTANT if again else 0)  # its kernel holds it while it looks
        os.close(descriptor)
        return None

    @property
    def place(self) -> Place | None:
        """Where the runner was, as it wrote it down last."""
        if self._descriptor is None:
            return None
        try:
            found = json.loads(os.pread(self._descriptor, _ROOM, 0))
            return Place(int(found["cell"]), int(found["seen"]))
        except (OSError, ValueError, TypeError, LookupError):
            return None

    def note(self, place: Place) -> None:
        """Write down where we are. (For whoever comes after us: without it they begin with a new kernel.)"""
        if self._descriptor is not None:
            with suppress(OSError):
                os.pwrite(self._descriptor, json.dumps(asdict(place)).ljust(_ROOM).encode(), 0)

    def forget(self) -> None:
        """Say of no cell that we are there: whoever comes after us begins with a new kernel."""
        if self._descriptor is not None:
            with suppress(OSError):
                os.pwrite(self._descriptor, b"".ljust(_ROOM), 0)

    def remove(self) -> None:
        """The kernel has ended, or ends."""
        self.path.unlink(missing_ok=True)
        self.let_go()

    def let_go(self) -> None:
        """Be its runner no more; the kernel goes on, and ends by itself when nobody comes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
