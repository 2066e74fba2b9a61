"""A file by which a kernel, and whoever comes next, see whether the process that drives the kernel lives.

It lies beside the kernel's connection file and is locked by the runner: the system frees the lock when that dies,
however it dies. What is written in it is how far the runner was, and which process the kernel is: when both are gone,
the next runner clears what they left in Jupyter's runtime folder.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evercell.core.kernel_files import remove_files
from evercell.core.locked_file import lock_exclusively
from evercell.core.records import Holder
from evercell.engine.holder import holder_of, is_gone

_TRIES = 4
_INSTANT = 0.01

_ROOM = 512
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
        self._noted = self._read()

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
        try:
            return Place(int(self._noted["cell"]), int(self._noted["seen"]))
        except (ValueError, TypeError, LookupError):
            return None

    def note(self, place: Place) -> None:
        """Write down where we are. (For whoever comes after us: without it they begin with a new kernel.)"""
        self._write(asdict(place))

    def note_process(self, pid: int) -> None:
        """Write down which process is gone when the files beside this mark are of no use any more."""
        self._write({"process": asdict(holder_of(pid))})

    def _write(self, more: dict[str, Any]) -> None:
        self._noted |= more
        if self._descriptor is not None:
            with suppress(OSError):
                os.pwrite(self._descriptor, json.dumps(self._noted).ljust(_ROOM).encode(), 0)

    def _read(self) -> dict[str, Any]:
        return _noted_in(os.pread(self._descriptor, _ROOM, 0)) if self._descriptor is not None else {}

    def forget(self) -> None:
        """Say of no cell that we are there: whoever comes after us begins with a new kernel."""
        self._write({"cell": None, "seen": None})

    def remove(self) -> None:
        """The kernel has ended, or ends: its connection file and its sockets go, too, if it was killed."""
        remove_files(self.path)
        self.let_go()

    def let_go(self) -> None:
        """Be its runner no more; the kernel goes on, and ends by itself when nobody comes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def clear_dead(folder: Path) -> None:
    """Remove the connection files and sockets that kernels left which were killed, and their runners, too.

    Those of kernels that live, here or on another machine with the same folder, are not touched.
    """
    for path in folder.glob("kernel-*.runner"):
        with suppress(OSError):
            mark = RunnerMark.take(path) if _is_dead(path) else None
            if mark is not None:
                mark.remove()


def _is_dead(path: Path) -> bool:
    """Whether what is noted there of a process says that it is gone. (A mark is looked at before it is locked: its
    kernel takes whoever locks it for another runner.)
    """
    try:
        return is_gone(Holder(**_noted_in(path.read_bytes())["process"]))
    except (OSError, LookupError, TypeError):
        return False


def _noted_in(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
