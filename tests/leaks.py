"""What no test leaves behind: processes, threads, a lease of a kernel that was shut down."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evercell.store import open_store
from tests.forked import FORKERS

PATIENCE = 60.0
"""Seconds that something has to be gone in, once it was told to go."""

SHARED_PROCESSES = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
"""One of each serves a process that uses multiprocessing, until that ends."""

SHARED_SERVERS: set[int] = set()
"""Ids of processes that serve all tests; the first one that needs them starts them."""

SHARED_THREADS = ("TMonitor ", "Thread Dask-Offload", "Thread asyncio_", "Thread litellm-")
"""Class and name of threads that serve all of tqdm's bars, Dask's clients, litellm's requests, the loop of a file's
browser.
"""


@contextmanager
def no_processes_and_threads_left() -> Iterator[None]:
    """Fails if the body leaves some that were not there before."""
    processes, threads = set(_children()), set(_threads())
    yield
    left = _gone(lambda: [_command(pid) for pid in _children() if pid not in processes])
    assert not left, f"processes left running: {left}"
    left = _gone(lambda: [t.name for t in _threads() if t not in threads])
    assert not left, f"threads left running: {left}"


def no_leases_left(store_url: str, pids: Iterable[int]) -> None:
    """Fails if one of these processes, which ended in good order, did not give its lease back."""
    ended = set(pids)
    with open_store(store_url) as store:
        left = [lease.holder for lease in store.leases.all().values() if lease.holder.pid in ended]
    assert not left, f"leases not given back: {left}"


def _gone(left: Callable[[], list[str]]) -> list[str]:
    """What is left, after it had time to go."""
    until = time.monotonic() + PATIENCE
    while (found := left()) and time.monotonic() < until:
        time.sleep(0.02)  # what ends by itself tells nobody: asked again
    return found


def _threads() -> Iterator[threading.Thread]:
    return (t for t in threading.enumerate() if not f"{type(t).__name__} {t.name}".startswith(SHARED_THREADS))


def _children() -> Iterator[int]:
    for children in Path("/proc/self/task").glob("*/children"):
        for pid in map(int, _read(children).split()):
            command = _command(pid)
            if (
                command
                and pid not in FORKERS | SHARED_SERVERS
                and not any(shared in command for shared in SHARED_PROCESSES)
            ):
                yield pid


def _command(pid: int) -> str:
    """The command line of a process, empty for one that ended."""
    return _read(Path(f"/proc/{pid}/cmdline")).replace("\0", " ")


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
