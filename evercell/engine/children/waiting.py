"""Waiting for a run to end: in a kernel by looking now and then, headless without holding one."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from evercell.core.errors import ChildFailed, RunNotFound
from evercell.core.records import Awaited, AwaitedKind, Run
from evercell.core.statuses import ENDED, RunStatus
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.suspension import GracePeriod
from evercell.engine.calls.timers import POLL, pause, pause_async
from evercell.engine.children.failures import child_failed
from evercell.engine.children.hosting import Attendant
from evercell.engine.missions.launching import is_closed
from evercell.engine.workspace import Workspace


def wait_for_run(workspace: Workspace, run: Run, *, retries: int = 0) -> Run:
    """The run once it has completed; one that fails goes on at its failed step, ``retries`` times.

    Raises `ChildFailed`, and `Suspended` headless, when it takes long.
    """
    wait = _Wait(workspace, run, retries)
    with wait.shown:
        while (ended := wait.look()) is None:
            pause(POLL, left=POLL)
    return wait.completed(ended)


async def wait_for_run_async(workspace: Workspace, run: Run, *, retries: int = 0) -> Run:
    """The same while the loop goes on with other tasks."""
    wait = _Wait(workspace, run, retries)
    with wait.shown:
        while (ended := wait.look()) is None:
            await pause_async(POLL, left=POLL)
    return wait.completed(ended)


class _Wait:
    """A wait for one run."""

    def __init__(self, workspace: Workspace, run: Run, retries: int) -> None:
        self._workspace = workspace
        self._run = run
        self._retries = retries
        self._scope: CallScope | None = current_scope()
        self._attendant = Attendant(workspace, run.id)
        self._grace: GracePeriod | None = None
        if self._scope is not None:
            self._grace = GracePeriod(self._scope, f"run {run.name}", Awaited(AwaitedKind.RUN, run.id))
        self.shown: AbstractContextManager[object] = self._grace or nullcontext()
        """While inside, whoever shows the step says what it waits for."""

    def look(self) -> Run | None:
        """The run if it has ended by now."""
        with self._uninterrupted():
            run = self._find()
            if run.status is RunStatus.FAILED and self._tries_again(run):
                return None
            if run.status in ENDED:
                return run
            self._attendant.look()
        if self._grace is not None:
            self._grace.check()
        return None

    def completed(self, run: Run) -> Run:
        """The run; raises `ChildFailed` where it did not complete."""
        if run.status is RunStatus.COMPLETED:
            return run
        with self._uninterrupted():
            self._workspace.store.children.note_told(run.id)
            raise child_failed(self._workspace, run)

    def _uninterrupted(self) -> AbstractContextManager[None]:
        return nullcontext() if self._scope is None else self._scope.step.deferred_interrupts()

    def _find(self) -> Run:
        try:
            return self._workspace.store.runs.find(self._run.id)
        except RunNotFound as error:
            raise ChildFailed(
                f"Run {self._run.name} is not there any more: {error.what}",
                hint="To start another one: %%step STEP --rerun.",
            ) from error

    def _tries_again(self, run: Run) -> bool:
        """Whether another try of a run that failed follows."""
        children = self._workspace.store.children
        child = children.of_run(run.id)
        if child is None or child.tries > self._retries or is_closed(self._workspace, run):
            return False
        children.try_again(
            run.id, tries=child.tries + 1
        )  # (or, where its session is about to leave it, soon)
        return True
