"""A process that has its imports done and forks others, which begin as kernels or commands (`tests/forked.py`).

``python tests/forking.py SOCKET MODULE...`` imports the modules, and forks for each request that comes by the
socket. The child goes on as the program that was asked for, and ends as any Python process ends.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

LARGEST = 200_000
"""Bytes of a request: arguments and environment."""


def serve(asked: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns it in the child."""
    while True:
        message, ancillary, _, _ = asked.recvmsg(LARGEST, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        if not message:
            os._exit(0)  # nobody asks any more
        files = array.array("i", b"".join(data for _, _, data in ancillary))
        read, write = os.pipe()
        between = os.fork()
        if not between:
            if os.fork():
                os._exit(0)  # the child is adopted by whoever asked for it
            request = dict(json.loads(message))
            if request["start_new_session"]:
                os.setsid()
            os.write(write, str(os.getpid()).encode())
            for number, file in enumerate(files):
                os.dup2(file, number)
            os.closerange(3, 1024)
            return request
        os.waitpid(between, 0)
        asked.send(os.read(read, 20))
        for file in (*files, read, write):
            os.close(file)


def become(request: dict[str, Any]) -> None:
    """Take over what a process is started with."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    signal.set_wakeup_fd(-1)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        number = ("stdin", "stdout", "stderr").index(name)
        stream = open(number, mode, buffering=1 if number == 2 or os.isatty(number) else -1, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def run(arguments: list[str]) -> None:
    """``python -m MODULE ...``, or a script of Python's."""
    program, *words = arguments
    if words[:1] == ["-m"]:
        sys.argv = words[1:]
        sys.path.insert(0, str(Path.cwd()))
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, str(Path(program).parent))
        runpy.run_path(program, run_name="__main__")


def main() -> None:
    number, *modules = sys.argv[1:]
    sys.path.pop(0)  # the tests' own folder (with -P IPython would leave out that of a notebook, too)
    for module in modules:
        importlib.import_module(module)
    gc.freeze()  # what was imported is no garbage: a program's end looks through it for long
    asked = socket.socket(fileno=int(number))
    with contextlib.suppress(KeyboardInterrupt):
        request = serve(asked)
        asked.detach()
        become(request)
        run(request["arguments"])


if __name__ == "__main__":
    main()
