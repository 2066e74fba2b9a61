"""Who executes children where nobody serves the store: processes of this machine, that outlive whoever starts them.

`evercell serve` needs none of this. Without it, whoever waits for a child, and whoever comes to the end of one, looks
after all runs of the same tree: what is queued, what died, what waited for a child that has ended by now.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from evercell.core.errors import StoreError
from evercell.core.records import Lease, Run
from evercell.core.run_process import command_of
from evercell.core.statuses import CANCEL, ENDED, RunStatus
from evercell.engine.leasing import is_live
from evercell.engine.queue_states import is_alive
from evercell.engine.workspace import Workspace

HOST = "evercell.headless.hosting"
"""The module that such a process executes."""

BETWEEN_LOOKS = 1.0
"""Seconds: so often whoever waits looks after the others."""

_MOST_AT_ONCE = max(2, os.cpu_count() or 2)
"""Children under way at the same time, not counted those that wait for children of their own."""

_MOST_FAILURES = 5
"""So often a process for one run may end with nothing done before the run counts as one that cannot be started."""

_STARTS_WITHIN = 15.0
"""Seconds that a process may take until it has claimed its run; another one is started after that."""

_OF_PARENT = ("EVERCELL_NOTEBOOK", "EVERCELL_RUNNER", "EVERCELL_RUN", "EVERCELL_WAIT_GRACE", "EVERCELL_FAULT")
"""What the environment says of the run that asks, and not of the one that is asked for."""


@dataclass
class _Started:
    """A process of ours that is to execute a run."""

    process: subprocess.Popen[bytes]
    at: datetime
    """When, as the store has it."""
    as_of: object
    """How the run stood when it was started."""
    failures: int = 0


@dataclass
class Hosts:
    """The processes that one process started."""

    by_run: dict[str, _Started] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


HOSTS = Hosts()
"""Of this process."""


def attend(workspace: Workspace, run_id: str) -> None:
    """Start what is to be executed now of the tree of runs that a run belongs to, unless somebody serves the store."""
    store = workspace.store
    if is_served(workspace):
        return
    top = store.children.line(run_id)[-1]
    below = store.children.below(top.id)
    if not below:
        return
    found = store.leases.all()
    leases = {id_: lease for id_, lease in found.items() if is_live(workspace, lease)}
    left = {id_: lease.acquired_at for id_, lease in found.items() if id_ not in leases}
    with HOSTS.lock:
        _start_some(workspace, top, below, leases, left)


def is_served(workspace: Workspace) -> bool:
    """Whether somebody starts what is queued."""
    servers = workspace.store.servers.all()
    return bool(servers) and any(is_alive(server, workspace.store.leases.now()) for server in servers)


def _start_some(
    workspace: Workspace,
    top: Run,
    below: list[Run],
    leases: Mapping[str, Lease],
    left: Mapping[str, datetime],
) -> None:
    """``left``: when those runs were claimed whose sessions are dead."""
    parents = workspace.store.children.parents()
    waiting_parents = {parents[run.id] for run in below if run.status not in ENDED}
    attended = {*leases, *workspace.store.children.hosted(within=_STARTS_WITHIN)}
    busy = sum(
        run.id in attended and run.id not in waiting_parents and run.status not in ENDED for run in below
    )
    for run in [*_ready(workspace, top), *below]:
        if run.id in leases or _is_starting(run.id) or not _wants_a_kernel(workspace, run, top):
            continue
        if busy >= _MOST_AT_ONCE and run.id not in waiting_parents:
            continue
        if _launch(workspace, run, is_child=run.id != top.id, left=left.get(run.id)):
            busy += run.id not in waiting_parents


def _ready(workspace: Workspace, top: Run) -> Iterator[Run]:
    """The run at the top, where what it waits for is there; or it went on by itself since it waited, and has died.

    (Any other is that of somebody who sits before it, and may have ended it.)
    """
    waits = workspace.store.waits
    is_due = top.status is RunStatus.WAITING and top.id in waits.due()
    if is_due or (top.status is RunStatus.RUNNING and waits.was_hosted(top.id)):
        yield top


def _wants_a_kernel(workspace: Workspace, run: Run, top: Run) -> bool:
    """Whether a run that nobody is on is to be executed."""
    request = workspace.store.runs.request(run.id)
    if request is not None and request.what == CANCEL and run.status not in ENDED:
        workspace.store.children.settle_cancelled(run.id)
        return False
    if request is not None:
        return False
    if run.id == top.id:
        return True
    return run.status in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING, RunStatus.PAUSED)


def _is_starting(run_id: str) -> bool:
    started = HOSTS.by_run.get(run_id)
    return started is not None and started.process.poll() is None


def _launch(workspace: Workspace, run: Run, *, is_child: bool, left: datetime | None) -> bool:
    """Start a process for a run; False where another process has just done so, or it led to nothing too often.

    Of all who look one starts it. That a start is over they know of one that was theirs, and has ended, and of one
    that claimed the run, and died; any other is given its time.
    """
    before = HOSTS.by_run.get(run.id)
    over = [moment for moment in (left, before.at if before else None) if moment is not None]
    note = workspace.store.children.note_hosted if is_child else workspace.store.waits.note_hosted
    at = note(run.id, again_after=_STARTS_WITHIN, over=max(over, default=None))
    if at is None:
        return False
    now = (run.status, run.updated_at)
    failures = before.failures + 1 if before is not None and before.as_of == now else 0
    if failures >= _MOST_FAILURES and before is not None:
        del HOSTS.by_run[run.id]
        code = before.process.returncode
        workspace.store.children.fail(run.id, reason=f"no process for it came to work (exit code {code})")
        return False
    HOSTS.by_run[run.id] = _Started(host(workspace, run), at, now, failures)
    return True


def host(workspace: Workspace, run: Run) -> subprocess.Popen[bytes]:
    """A process in a session of its own that executes a run to its end."""
    folder = Path(run.notebook).parent if run.notebook else Path.cwd()
    return subprocess.Popen(  # noqa: S603  this Python and a module of ours
        command_of(HOST, run.id),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environ_of(workspace),
        cwd=folder if folder.is_dir() else None,
        start_new_session=True,
    )


def environ_of(workspace: Workspace) -> dict[str, str]:
    """This process's environment, with its store, and without what it says of this process's run."""
    settings = workspace.settings
    environ = {name: value for name, value in os.environ.items() if name not in _OF_PARENT}
    return environ | {
        "EVERCELL_STORE": settings.store_url,
        "EVERCELL_LEASE_SECONDS": str(settings.lease_ttl.total_seconds()),
    }


class Attendant:
    """Looks after the tree of a run now and then, while somebody waits."""

    def __init__(self, workspace: Workspace, run_id: str) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._next = 0.0

    def look(self) -> None:
        """Do it, unless it was done a moment ago. What the store does not answer is asked the next time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + BETWEEN_LOOKS
        try:
            attend(self._workspace, self._run_id)
        except StoreError:
            return
