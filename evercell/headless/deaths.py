"""Why a kernel died, as far as its host can tell."""

from __future__ import annotations

import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BY_SIGNAL = {
    "SIGKILL": "it was killed (SIGKILL): by somebody, or by the system where memory ran out",
    "SIGTERM": "it was told to end (SIGTERM)",
    "SIGSEGV": "it crashed (SIGSEGV): a library used memory that is not its own",
    "SIGBUS": "it crashed (SIGBUS): a file that it had mapped is gone, or a disk or shared memory is full",
    "SIGABRT": "it crashed (SIGABRT): a library gave up",
    "SIGFPE": "it crashed (SIGFPE): a library divided by zero",
    "SIGILL": "it crashed (SIGILL): a library is made for another processor",
}


@dataclass(frozen=True, slots=True)
class Death:
    """A kernel that died under an execution."""

    cell: str
    """What the cell is called that ran; empty before the first."""
    why: str
    """In words; empty where nobody knows."""

    def as_json(self) -> dict[str, str]:
        """For the output notebook and the journal."""
        return {"cell": self.cell, "why": self.why}


def why_it_died(exit_status: int | None, *, out_of_memory: bool = False) -> str:
    """The exit status of a kernel's process, as `subprocess` gives it, in words."""
    if exit_status is None:
        return ""
    if exit_status >= 0:
        return f"its process ended by itself, with exit code {exit_status}"
    try:
        name = signal.Signals(-exit_status).name
    except ValueError:
        return f"it was ended by signal {-exit_status}"
    if name == "SIGKILL" and out_of_memory:
        return "it was killed by the system: memory ran out"
    return _BY_SIGNAL.get(name, f"it was ended by {name}")


def memory_kills() -> int:
    """How often the system killed something of this control group for want of memory; 0 where it does not tell."""
    with suppress(OSError, ValueError):
        for line in Path("/sys/fs/cgroup/memory.events").read_text(encoding="ascii").splitlines():
            name, _, count = line.partition(" ")
            if name == "oom_kill":
                return int(count)
    return 0
