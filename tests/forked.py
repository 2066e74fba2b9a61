"""Kernels and commands forked off a process that has their imports done: real ones, in a fraction of the time."""

from __future__ import annotations

import array
import atexit
import ctypes
import functools
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

FORKING = Path(__file__).with_name("forking.py")
EVERCELL, PAPERMILL = (str(Path(sys.executable).with_name(name)) for name in ("evercell", "papermill"))

KERNEL = ("ipykernel.kernelapp", "ipykernel.ipkernel", "ipykernel.zmqshell", "evercell.kernel_ext.extension")
COMMAND = (
    "papermill.execute",
    "evercell.cli.app",
    "evercell.headless.papermill_engine",
    "evercell.headless.runner",
)
"""What is imported beforehand: what a kernel with evercell, and what a command that executes a notebook, imports."""

_ADOPTS = 36
"""Linux's ``PR_SET_CHILD_SUBREAPER``."""

FORKERS: set[int] = set()
"""The processes that fork, by id: they end with this one."""

_lock = threading.Lock()


class Forked(subprocess.Popen[Any]):
    """A child like any other. Where it has to begin otherwise than those that are forked off, it begins by itself."""

    def _execute_child(self, *given: Any) -> None:
        asked = inspect.signature(subprocess.Popen._execute_child).bind(self, *given).arguments  # type: ignore[attr-defined]
        modules = _modules_for(asked)
        if not modules:
            super()._execute_child(*given)  # type: ignore[misc]
            return
        request = {
            "arguments": [os.fspath(word) for word in asked["args"]],
            "cwd": os.fspath(asked["cwd"] or Path.cwd()),
            "env": dict(os.environ if asked["env"] is None else asked["env"]),
            "start_new_session": bool(asked["start_new_session"]),
        }
        pipes = [
            asked[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        ]
        theirs = [pipe if pipe != -1 else n for n, pipe in enumerate((pipes[0], pipes[3], pipes[5]))]
        try:
            self.pid = _fork(_forker(modules), request, theirs)
            self._child_created = True
        finally:
            self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def _modules_for(asked: dict[str, Any]) -> tuple[str, ...]:
    """What the program imports in any case; nothing where it has to begin by itself."""
    program, *words = [os.fspath(word) for word in asked["args"]]
    env = os.environ if asked["env"] is None else asked["env"]
    if sys.platform != "linux" or asked["shell"] or asked["pass_fds"] or asked["preexec_fn"]:
        return ()
    if _read_early(env) != _EARLY:
        return ()
    if Path(program).name.startswith("python") and words[:2] == ["-m", "ipykernel_launcher"]:
        return KERNEL
    return COMMAND if program in (EVERCELL, PAPERMILL) else ()


def _read_early(env: Mapping[str, str]) -> dict[str, str]:
    """Variables that are read before a program begins, or while it is imported."""
    names = ("PYTHON", "LD_", "LC_", "LANG", "EVERCELL_FAULT")
    return {name: value for name, value in env.items() if name.startswith(names)}


_EARLY = {**_read_early(os.environ), "PYTHONHASHSEED": "0"}  # as in `isolated_home`


@functools.cache
def _forker(modules: tuple[str, ...]) -> socket.socket:
    """A process that forks programs with these imports; it ends with this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, str(FORKING), str(theirs.fileno()), *modules]
    env = {
        **os.environ,
        **_EARLY,
        "JPY_PARENT_PID": str(os.getpid()),
    }  # which ipykernel, too, reads while imported
    process = subprocess.Popen(
        command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, cwd="/", env=env
    )
    theirs.close()
    FORKERS.add(process.pid)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def _fork(forker: socket.socket, request: dict[str, Any], files: list[int]) -> int:
    """The id of a child that was forked elsewhere, and adopted."""
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files))
    with _lock:
        _adopt(True)
        try:
            forker.sendmsg([json.dumps(request).encode()], [rights])
            return int(forker.recv(20))
        finally:
            _adopt(False)


def _adopt(does: bool) -> None:
    """Whether what a child of ours leaves behind becomes our own child, not that of the first process."""
    with suppress(AttributeError):
        ctypes.CDLL(None).prctl(_ADOPTS, int(does), 0, 0, 0)
