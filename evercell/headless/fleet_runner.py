"""The process that executes one run for a worker of a cluster: ``python -m evercell.headless.fleet_runner RUN``.

It ends when its worker is gone, and when its run was taken over: nobody is left who would hear of it.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict

import psutil

from evercell.core.errors import EvercellError, StoreError
from evercell.core.records import Holder
from evercell.engine.holder import is_here
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.admitted import execute_here
from evercell.headless.fleet_task import Answer

log = logging.getLogger("evercell.fleet")

GRACE = 15.0
"""Seconds between a request to end and the end of the processes."""


def main() -> None:
    """Execute the run that the command line names; answer in JSON on what was standard output."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    answer_to = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed, by this process and by the kernel, is the worker's log
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_worker, name="evercell-worker-watch", daemon=True).start()
    run_id = sys.argv[1]
    try:
        with _ends_when_taken_over(run_id):
            answer = Answer(execute_here(run_id))
    except KeyboardInterrupt:
        answer = Answer("suspended")
    except EvercellError as error:
        answer = Answer("refused", f"{error.what} {error.hint}".strip())
    os.write(answer_to, json.dumps(asdict(answer)).encode())


# -- what ends it --------------------------------------------------------------------------------


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _end_with_worker() -> None:
    """The worker holds the other end of our standard input, and the system closes it, however the worker ends."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    log.warning("the worker is gone: this process ends, and its run is gone on with elsewhere")
    end_processes()


def end_processes() -> None:
    """End this process and its kernel: when asked, and when they do not, by force."""
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE)
    _kill_all()


def _kill_all() -> None:
    """This process and its kernel."""
    with suppress(psutil.Error):
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
    signal.raise_signal(signal.SIGKILL)


@contextmanager
def _ends_when_taken_over(run_id: str) -> Iterator[None]:
    """Within, look now and then whether the run's lease is still of this process or of its kernel.

    (What the kernel commits is refused then. But a cell that computes for hours would go on until it commits.)
    """
    is_over = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(run_id, is_over), name="evercell-lease-watch", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _watch(run_id: str, is_over: threading.Event) -> None:
    with (
        suppress(StoreError),
        open_workspace(resolve_settings(), create=False) as workspace,
        workspace.store.outages.nobody_waits(),
    ):
        first = _token(workspace, run_id)  # a kernel that lost its runner is taken over with its lease
        while not is_over.wait(workspace.lease_ttl.total_seconds() / 3):
            with suppress(StoreError):  # out of reach for now
                lease = workspace.store.leases.get(run_id)
                if lease is not None and lease.token != first and not _is_ours(lease.holder):
                    log.warning("run %s was taken over by %s: this process ends", run_id, lease.holder)
                    _kill_all()


def _token(workspace: Workspace, run_id: str) -> int | None:
    with suppress(StoreError):
        lease = workspace.store.leases.get(run_id)
        return lease.token if lease is not None else None
    return None


def _is_ours(holder: Holder) -> bool:
    if not is_here(holder):
        return False
    with suppress(psutil.Error):
        return holder.pid == os.getpid() or any(
            parent.pid == os.getpid() for parent in psutil.Process(holder.pid).parents()
        )
    return True  # it ended just now: whoever takes the run next says so in the next look


if __name__ == "__main__":
    main()
