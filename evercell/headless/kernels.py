"""How the kernels of headless runs are reached, and what is called in them."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from jupyter_core.paths import jupyter_runtime_dir
from jupyter_core.utils import ensure_dir_exists

_LONGEST_FOLDER = 50
"""Characters; the path of a Unix socket may have about 100 in all."""


def reach_through_sockets(manager: Any) -> Any:
    """Have a kernel manager use Unix sockets in this user's runtime folder, where the system has them.

    Ports are open to everybody on the machine, and are chosen before the kernel takes them: of many kernels that
    start at once, one now and then finds its own taken.
    """
    folder = jupyter_runtime_dir()
    if os.name == "posix" and len(folder) < _LONGEST_FOLDER and _is_ours(folder):
        # by itself a manager would name its sockets "kernel-ipc-1" and so on, in whatever folder it is in
        manager.connection_file = str(Path(folder, f"kernel-{uuid.uuid4()}.json"))
        manager.transport = "ipc"
    return manager


def remote_call(function: str, *arguments: str) -> str:
    """Source of a cell that calls a function of `evercell.kernel_ext.remote`; it leaves no name behind."""
    written = ", ".join(map(repr, arguments))
    return f"__import__('evercell.kernel_ext.remote', fromlist=['remote']).{function}({written})"


def _is_ours(folder: str) -> bool:
    """Whether this user may write there. (The home of a scheduled job may be read-only.)"""
    with suppress(OSError):
        ensure_dir_exists(folder, mode=0o700)
    return os.access(folder, os.W_OK)
