"""Joining a run that somebody else executes: told how far it is, and taken over should its holder die."""

from __future__ import annotations

import time
from collections.abc import Callable

from evercell.core.errors import UnderWay
from evercell.core.records import EventKind, Run
from evercell.core.statuses import RunStatus
from evercell.core.text import one_line
from evercell.engine.claiming import Claim
from evercell.engine.leasing import is_live
from evercell.engine.workspace import Workspace
from evercell.headless.living_kernel import is_without_runner

_LOOK = 0.5
"""Seconds between two looks at the run."""

_TOLD = {
    EventKind.STEP_COMPLETED: "completed",
    EventKind.STEP_REPLAYED: "replayed",
    EventKind.ATTEMPT_FAILED: "failed",
    EventKind.KERNEL_DIED: "the kernel died",
}


class Follower:
    """Waits for the end of a run that is under way."""

    def __init__(self, workspace: Workspace, tell: Callable[[str], None]) -> None:
        self._workspace = workspace
        self._tell = tell
        self._seen = 0

    def claim(self, claim: Callable[[], Claim | Run], *, follows: bool) -> Claim | Run:
        """What ``claim`` gives; while somebody executes the run, it is followed to its end, and then as it came out.

        Raises `UnderWay` where it is not to be followed.
        """
        while True:
            try:
                return claim()
            except UnderWay as error:
                if not follows or error.run_id is None:
                    raise
                self._tell(f"evercell: {error.what} Following it; Ctrl-C leaves it alone.")
                run = self._follow(error.run_id)
                if run.status not in (RunStatus.RUNNING, RunStatus.QUEUED):
                    return run  # otherwise its holder died: it is ours to go on with

    def _follow(self, run_id: str) -> Run:
        store = self._workspace.store
        self._seen = self._seen or store.journal.end(run_id).seq
        while True:
            lease = store.leases.get(run_id)
            is_over = lease is None or not is_live(self._workspace, lease) or is_without_runner(lease)
            for event in store.journal.events(run_id, after=self._seen):
                self._seen = event.seq
                if event.kind in _TOLD:
                    self._tell(
                        f"{one_line(str(event.data.get('step') or ''))}: {_TOLD[event.kind]}".removeprefix(
                            ": "
                        )
                    )
            if is_over:
                return store.runs.find(run_id)
            time.sleep(_LOOK)
