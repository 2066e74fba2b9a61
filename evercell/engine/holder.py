"""Which process holds a lease, and whether it still lives."""

from __future__ import annotations

import functools
import getpass
import os
import socket
from pathlib import Path

import psutil

from evercell.core.records import Holder

_START_TOLERANCE = 1.0
"""Seconds by which two readings of one process's start may differ (the clock may have been set)."""


def this_holder() -> Holder:
    """The holder record of the current process."""
    return Holder(
        host=socket.gethostname(),
        boot=_boot_id(),
        pid=os.getpid(),
        started=psutil.Process().create_time(),
        user=this_user(),
    )


def this_user() -> str:
    """Who runs this process: ``$EVERCELL_USER``, or the system's name for them."""
    try:
        return os.environ.get("EVERCELL_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def is_gone(holder: Holder) -> bool:
    """Whether the holder surely died. A holder on another host may live: only its lease's expiry tells."""
    if holder.host != socket.gethostname():
        return False
    if holder.boot != _boot_id():
        return True
    try:
        process = psutil.Process(holder.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        started: float = process.create_time()
        return abs(started - holder.started) > _START_TOLERANCE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


@functools.cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(round(psutil.boot_time()))
