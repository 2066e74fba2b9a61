"""The main job on real input: a research agent whose kernel is killed in the middle of its work."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

from evercell.core.errors import EvercellError, UsageError
from evercell.core.records import EventKind, Run
from evercell.engine.claiming import Claim
from evercell.engine.listing import list_steps
from evercell.engine.workspace import Workspace
from evercell.headless.runner import RunReport, claim_notebook, execute_run

NOTEBOOK = "research_agent.ipynb"
REPORT = "report.md"
KILL_IN = "evaluate"
"""The step in whose middle the kernel is killed."""

KILL_DELAY = 2.0
"""Seconds into that step."""

_BEGIN_TIMEOUT = 300.0
"""Seconds to wait for that step to begin."""

_NEEDED = ("sklearn", "matplotlib", "pandas")


@dataclass(frozen=True, slots=True)
class StepHistory:
    """What the journal says of one step, over both kernels."""

    name: str
    attempts: int
    completed: int
    replayed: int
    seconds: float | None


def prepare(folder: Path) -> Path:
    """Put the demo's notebook into ``folder`` and return its path; raises `UsageError` for missing libraries."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"The demo computes with {', '.join(missing)}, which this environment lacks.",
            hint='pip install "evercell[demo]"',
        )
    folder.mkdir(parents=True, exist_ok=True)
    notebook = folder / NOTEBOOK
    shutil.copyfile(shipped_notebook(NOTEBOOK), notebook)
    return notebook


def shipped_notebook(name: str) -> Path:
    """Path of a notebook that comes with evercell: in the installed package, or in a checkout."""
    packaged = Path(str(resources.files("evercell"))) / "_notebooks" / name
    checkout = Path(str(resources.files("evercell"))).parent / "notebooks" / name
    for candidate in (packaged, checkout):
        if candidate.is_file():
            return candidate
    raise EvercellError(
        f"The notebook {name} did not come with this installation.", hint="Reinstall evercell."
    )


def start(workspace: Workspace, notebook: Path) -> Claim:
    """The demo's run, not executed yet."""
    return claim_notebook(workspace, notebook, params={"report_path": str(notebook.with_name(REPORT))})


class KernelKiller(threading.Thread):
    """Waits in the journal until the step `KILL_IN` has begun, then sends SIGKILL to the run's kernel."""

    def __init__(self, workspace: Workspace, run: Run) -> None:
        super().__init__(name="evercell-demo-killer", daemon=True)
        self._store = workspace.store
        self._run = run
        self._cancelled = threading.Event()
        self.killed: int | None = None
        """Process id of the kernel that was killed."""

    def run(self) -> None:
        waited, interval = 0.0, 0.1
        while waited < _BEGIN_TIMEOUT and not self._cancelled.wait(interval):
            waited += interval
            if self._has_begun():
                break
        else:
            return
        if self._cancelled.wait(KILL_DELAY):
            return
        lease = self._store.leases.get(self._run.id)
        if lease is not None:
            os.kill(lease.holder.pid, signal.SIGKILL)
            self.killed = lease.holder.pid

    def _has_begun(self) -> bool:
        return any(
            e.kind is EventKind.ATTEMPT_STARTED and e.data.get("step") == KILL_IN
            for e in self._store.journal.events(self._run.id)
        )

    def stop(self) -> None:
        """Kill nothing any more."""
        self._cancelled.set()
        self.join()


def run_until_killed(workspace: Workspace, claim: Claim) -> tuple[RunReport, int | None]:
    """Execute the run with its kernel killed on the way; returns the report and the killed process."""
    killer = KernelKiller(workspace, claim.run)
    killer.start()
    try:
        report = execute_run(workspace, claim, max_restarts=0)
    finally:
        killer.stop()
    return report, killer.killed


def step_histories(workspace: Workspace, run: Run) -> list[StepHistory]:
    """How often each step was attempted, completed and replayed, from the journal."""
    counts: dict[EventKind, Counter[str]] = {
        kind: Counter()
        for kind in (EventKind.ATTEMPT_STARTED, EventKind.STEP_COMPLETED, EventKind.STEP_REPLAYED)
    }
    for event in workspace.store.journal.events(run.id):
        if event.kind in counts:
            counts[event.kind][str(event.data.get("step"))] += 1
    return [
        StepHistory(
            name=row.name,
            attempts=counts[EventKind.ATTEMPT_STARTED][row.name],
            completed=counts[EventKind.STEP_COMPLETED][row.name],
            replayed=counts[EventKind.STEP_REPLAYED][row.name],
            seconds=row.seconds,
        )
        for row in list_steps(workspace, run)
    ]
