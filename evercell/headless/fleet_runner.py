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

import psutil

from evercell.core.errors import EvercellError, LeaseHeld, RunPaused, StoreError
from evercell.core.records import Holder, Run
from evercell.core.statuses import RunStatus
from evercell.engine.holder import is_here
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.fleet_task import Answer
from evercell.headless.runner import claim_to_resume, execute_run

log = logging.getLogger("evercell.fleet")

GRACE = 15.0
"""Seconds between a request to end and the end of the processes."""

_DONE = {RunStatus.COMPLETED, RunStatus.CANCELLED}


def main() -> int:
    """Execute the run that the command line names; answer in JSON on what was standard output."""
    logging.basicConfig(format="%(asctime)s %(name)s %(message)s")
    answer_to = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed, by this process and by the kernel, is the worker's log
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_worker, name="evercell-worker-watch", daemon=True).start()
    try:
        answer = take_and_execute(sys.argv[1])
    except KeyboardInterrupt:
        return 128 + signal.SIGTERM
    os.write(answer_to, json.dumps({"word": answer.word, "why": answer.why}).encode())
    return 0


def take_and_execute(run_id: str) -> Answer:
    """Execute a run where nobody else does: one that was delivered twice, or has ended, is left alone."""
    try:
        with open_workspace(resolve_settings(), create=False) as workspace:
            return _execute(workspace, run_id)
    except LeaseHeld as error:
        return Answer("held", error.what)
    except RunPaused as error:
        return Answer(str(RunStatus.PAUSED), error.what)
    except EvercellError as error:
        log.warning("run %s: %s", run_id, error.what)
        return Answer("refused", f"{error.what} {error.hint}".strip())


def _execute(workspace: Workspace, run_id: str) -> Answer:
    run = workspace.store.runs.find(run_id)
    if run.status in _DONE:
        return Answer(str(run.status))
    claim = claim_to_resume(workspace, run)
    if claim.run.status in _DONE:  # by the time that it was ours
        claim.give_back()
        return Answer(str(claim.run.status))
    with _ends_when_taken_over(workspace, claim.run):
        report = execute_run(workspace, claim)
    return Answer(str(report.run.status), report.error or "")


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
def _ends_when_taken_over(workspace: Workspace, run: Run) -> Iterator[None]:
    """Within, look now and then whether the run's lease is still of this process or of a kernel that it started.

    (What the kernel commits is refused then. But a cell that computes for hours would go on until it commits.)
    """
    is_over = threading.Event()

    def watch() -> None:
        with workspace.store.outages.nobody_waits():
            while not is_over.wait(workspace.lease_ttl.total_seconds() / 3):
                with suppress(StoreError):  # out of reach for now
                    lease = workspace.store.leases.get(run.id)
                    if lease is not None and not _is_ours(lease.holder):
                        log.warning("run %s was taken over by %s: this process ends", run.id, lease.holder)
                        _kill_all()

    watcher = threading.Thread(target=watch, name="evercell-lease-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        is_over.set()
        watcher.join()


def _is_ours(holder: Holder) -> bool:
    if not is_here(holder):
        return False
    with suppress(psutil.Error):
        return holder.pid == os.getpid() or any(
            parent.pid == os.getpid() for parent in psutil.Process(holder.pid).parents()
        )
    return True  # it ended just now: whoever takes the run next says so in the next look


if __name__ == "__main__":
    sys.exit(main())
