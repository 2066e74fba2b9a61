"""Which process holds a lease, and whether it still lives."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import suppress
from pathlib import Path

from evercell.core.records import Holder

_START_FIELD = 19
"""Of /proc/PID/stat, counted behind the command's name: when the process started, in ticks since the boot."""

_TOLERANCE = 0.5
"""Seconds by which two readings of one process's start may differ."""


def this_holder() -> Holder:
    """The holder record of the current process."""
    return holder_of(os.getpid())


def holder_of(pid: int) -> Holder:
    """The holder record of a process of this machine."""
    return Holder(
        host=socket.gethostname(), boot=_pid_space(), pid=pid, started=_started(pid) or 0.0, user=this_user()
    )


def this_user() -> str:
    """Who runs this process: ``$EVERCELL_USER``, the hub's name for them (in its images all are one user), or the
    system's.
    """
    try:
        return os.environ.get("EVERCELL_USER") or os.environ.get("JUPYTERHUB_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def is_this_process(holder: Holder) -> bool:
    """Whether this very process is the holder."""
    return is_here(holder) and holder.pid == os.getpid() and _is_same(_started(holder.pid), holder.started)


def is_below(holder: Holder) -> bool:
    """Whether this process is the holder, or was started by it, by a process that it started, and so on."""
    if not is_here(holder):
        return False
    if is_this_process(holder):
        return True
    import psutil

    with suppress(psutil.Error):
        above = psutil.Process().parents()
        return any(p.pid == holder.pid and _is_same(_started(p.pid), holder.started) for p in above)
    return False


def is_here(holder: Holder) -> bool:
    """Whether its process is one of those that this process can see: same machine, boot and container."""
    return holder.boot == _pid_space()


def is_of_this_machine(holder: Holder) -> bool:
    """Whether the holder's process id means something here."""
    return holder.boot == _pid_space()


def is_gone(holder: Holder) -> bool:
    """Whether the holder surely died. Where nobody here can know, it may live: only its lease's expiry tells.

    That is so on another machine (two may have one name), in another container and after a reboot.
    """
    if not is_here(holder):
        return False
    import psutil

    if not psutil.pid_exists(holder.pid):
        return True
    with suppress(psutil.Error):  # another user's may be hidden from us
        if psutil.Process(holder.pid).status() == psutil.STATUS_ZOMBIE:
            return True
    started = _started(holder.pid)
    return started is not None and not _is_same(started, holder.started)


def is_at_work(holder: Holder) -> bool:
    """Whether the holder surely lives, on this machine, and is not stopped (SIGSTOP, a debugger)."""
    if not is_of_this_machine(holder) or is_gone(holder):
        return False
    import psutil

    with suppress(psutil.Error):
        return psutil.Process(holder.pid).status() not in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    return False


def _is_same(started: float | None, recorded: float) -> bool:
    return started is not None and abs(started - recorded) <= _TOLERANCE


def _started(pid: int) -> float | None:
    """When a process started, by a clock that nobody sets: in seconds since the boot. None where it cannot be told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return _created(pid)
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[_START_FIELD]) / os.sysconf("SC_CLK_TCK")


def _created(pid: int) -> float | None:
    """The same on a system without /proc, whose clock at the start the system remembers."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _pid_space() -> str:
    """What a process id and a start mean something in: this boot of this machine, and on it these namespaces."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespaces = (Path("/proc/self/ns") / kind for kind in ("pid", "time"))
        return " ".join([boot, *(str(link.readlink()) for link in namespaces if link.exists())])
    except OSError:
        import psutil

        return f"{socket.gethostname()} {round(psutil.boot_time())}"
