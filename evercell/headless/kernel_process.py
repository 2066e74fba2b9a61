"""The process of a kernel as a headless runner starts it: it outlives its runner, should that be killed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_core.utils import run_sync

from evercell.headless.kernels import mark_of, reach_through_sockets
from evercell.headless.runner_mark import RunnerMark, clear_dead

_LAST_WORDS = 2000
"""Characters of what a kernel's process wrote at its end, past all cells."""

_NO_HISTORY = "--HistoryManager.hist_file=:memory:"
"""What nbclient starts kernels with."""


@dataclass(slots=True)
class KernelProcess:
    """A kernel that is ours from its first instant: its manager, our mark beside it, and what it writes."""

    manager: Any
    mark: RunnerMark | None
    """None where it must end with us."""
    said: IO[bytes] = field(default_factory=tempfile.TemporaryFile)
    """What its process writes past all cells, in a file of its own: a pipe of ours would end with us."""

    @classmethod
    def prepare(cls, manager: Any) -> KernelProcess:
        """What is to be there before the kernel is started. What others left that were killed is cleared."""
        path = mark_of(manager)
        if path is None:
            return cls(manager, None)
        clear_dead(path.parent)
        mark = RunnerMark.take(path, is_new=True)
        if mark is not None:
            mark.note_process(os.getpid())  # should we die before there is a kernel
        return cls(manager, mark)

    def has_started(self) -> None:
        """Its process is there."""
        pid = getattr(self.manager.provisioner, "pid", None)
        if self.mark is not None and pid is not None:
            self.mark.note_process(pid)

    @property
    def arguments(self) -> list[str]:
        """What its command says beside what it always says."""
        is_watching = self.mark is not None and self.manager.ipykernel
        return ["--ext=evercell.kernel_ext.runner_watch"] if is_watching else []

    @property
    def options(self) -> Mapping[str, Any]:
        """How a kernel manager is to start it. Of which run it is, it is told when it joins that."""
        environ = {name: value for name, value in os.environ.items() if name != "JPY_PARENT_PID"}
        environ["EVERCELL_RUNNER"] = ""
        own: dict[str, Any] = {"stdout": self.said, "stderr": self.said, "env": environ}
        if self.mark is not None:
            environ["EVERCELL_RUNNER_MARK"] = str(self.mark.path)
            own["independent"] = True
        return own

    def last_words(self) -> str:
        """What a process that died wrote of it, if it did."""
        if self.said.closed:
            return ""
        size = self.said.seek(0, os.SEEK_END)
        self.said.seek(max(0, size - _LAST_WORDS))
        lines = [line.strip() for line in self.said.read().decode(errors="replace").splitlines()]
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        return (fatal or [""])[0]

    def has_ended(self) -> None:
        """Nobody needs to know of it any more."""
        if self.mark is not None:
            self.mark.remove()
        self.said.close()

    def kill(self) -> None:
        """It is not needed: nothing of anybody's is in it. (One that has ended may be killed.)"""
        if self.said.closed:
            return
        if self.manager.has_kernel:
            with suppress(RuntimeError, OSError):
                run_sync(self.manager.shutdown_kernel)(now=True)
        self.has_ended()


def start_ahead(kernel_name: str) -> KernelProcess | None:
    """A kernel that comes up while its runner imports what drives it: that takes about as long.

    None where it would have to end with us, or cannot be started: whoever tries again says why.
    """
    process = None
    try:
        manager = reach_through_sockets(AsyncKernelManager(kernel_name=kernel_name))
        if mark_of(manager) is None:
            return None
        process = KernelProcess.prepare(manager)
        history = [_NO_HISTORY] if manager.ipykernel else []
        run_sync(manager.start_kernel)(extra_arguments=[*process.arguments, *history], **process.options)
        process.has_started()
    except Exception:  # noqa: BLE001  whatever is wrong with it, it is said where it is needed
        if process is not None:
            process.kill()
        return None
    return process
