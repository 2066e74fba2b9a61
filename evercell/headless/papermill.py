"""The papermill engine: ``papermill in.ipynb out.ipynb --engine evercell``."""

from __future__ import annotations

import logging
import os
from typing import Any

from nbclient.exceptions import DeadKernelError
from papermill.engines import Engine
from papermill.utils import merge_kwargs, remove_args

from evercell.core.errors import KernelDied
from evercell.core.records import EventKind, Run
from evercell.core.statuses import RunStatus
from evercell.engine.approvals.deciding import waiting_for, where_to_answer
from evercell.engine.heads import signed_head
from evercell.engine.leasing import take_lease
from evercell.engine.settings import resolve_settings
from evercell.engine.step_names import check_notebook
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.cell_steps import cell_requests
from evercell.headless.client import DurableClient
from evercell.headless.output import OutputNotebook
from evercell.headless.run_selection import select_run
from evercell.headless.run_waiting import RunWaiting

log = logging.getLogger("papermill")

MAX_RESTARTS = 3
"""How many kernels may die under one execution before it gives up."""

WAIT_GRACE = 10.0
"""Seconds that a wait may hold the kernel of a headless run."""


class DurableEngine(Engine):  # type: ignore[misc]
    """Executes every code cell as a durable step; completed ones are replayed, not executed again."""

    @classmethod
    def execute_notebook(
        cls,
        nb: Any,
        kernel_name: str,
        output_path: str | None = None,
        progress_bar: bool = True,
        log_output: bool = False,
        autosave_cell_every: int = 30,
        **kwargs: Any,
    ) -> Any:
        """Papermill's entry: as in its base class, with an output notebook that is always whole."""
        manager = OutputNotebook(
            nb,
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        manager.notebook_start()
        try:
            cls.execute_managed_notebook(manager, kernel_name, log_output=log_output, **kwargs)
        finally:
            manager.cleanup_pbar()
            manager.notebook_complete()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: OutputNotebook,
        kernel_name: str,
        *,
        evercell_run: str | None = None,
        evercell_store: str | None = None,
        max_restarts: int = MAX_RESTARTS,
        wait_grace: float | None = None,
        **options: Any,
    ) -> None:
        """Execute the notebook as the run ``evercell_run``, or as the one `select_run` finds.

        Raises `RunWaiting` where a wait lasts longer than ``wait_grace`` seconds.
        """
        check_notebook(nb_man.nb)
        with open_workspace(resolve_settings(evercell_store)) as workspace:
            run = select_run(workspace, nb_man.nb.metadata.papermill, wanted=evercell_run)
            if evercell_run is None:
                signed_head(workspace, run)
            grace = wait_grace if wait_grace is not None else workspace.settings.wait_grace
            execution = _Execution(workspace, run, nb_man, WAIT_GRACE if grace is None else grace)
            execution.execute(kernel_name, max_restarts, options)


class _Execution:
    """One execution of a notebook as a run, over as many kernels as it takes."""

    def __init__(self, workspace: Workspace, run: Run, nb_man: OutputNotebook, wait_grace: float) -> None:
        self._wait_grace = wait_grace
        self._workspace = workspace
        self._run = run
        self._nb_man = nb_man
        self._requests = cell_requests(nb_man.nb.cells)
        self._seen = _last_event(workspace, run)

    def execute(self, kernel_name: str, max_restarts: int, options: dict[str, Any]) -> None:
        """Start kernels until the notebook came to its end, or ``max_restarts`` more died."""
        self._nb_man.nb.metadata["evercell"] = {"run": self._run.id, "name": self._run.name}
        try:
            for deaths in range(max_restarts + 1):
                client = self._client(kernel_name, options)
                try:
                    client.execute(env=self._environment())
                    if client.waits_for is not None:
                        raise self._waiting(client.waits_for)
                    return
                except DeadKernelError:
                    self._note_death(deaths + 1)
                    self._nb_man.start_again()
            raise self._give_up(max_restarts)
        finally:
            status = self._workspace.store.runs.find(self._run.id).status
            self._nb_man.nb.metadata["evercell"]["status"] = str(status)

    def _waiting(self, what: str) -> RunWaiting:
        pending = waiting_for(self._workspace, run_id=self._run.id)
        todo = [f"  {approval.title}: {where_to_answer(approval)}" for approval in pending]
        lines = [f"run {self._run.name} waits for {what}", *todo, f"  then: evercell resume {self._run.name}"]
        return RunWaiting("\n".join(lines))

    def _client(self, kernel_name: str, options: dict[str, Any]) -> DurableClient:
        ours = remove_args(["input_path", "timeout", "startup_timeout"], **options)
        startup_timeout = ours.pop("start_timeout", 60)
        cell_timeout = ours.pop("execution_timeout", None)
        merged = merge_kwargs(
            ours,
            timeout=cell_timeout or options.get("timeout"),
            startup_timeout=startup_timeout,
            kernel_name=kernel_name,
            log=log,
        )
        return DurableClient(
            self._nb_man,
            run_id=self._run.id,
            requests=self._requests,
            on_cell_end=self._mark_cell,
            **merged,
        )

    def _environment(self) -> dict[str, str]:
        settings = self._workspace.settings
        return {
            **os.environ,
            "EVERCELL_STORE": settings.store_url,
            "EVERCELL_LEASE_SECONDS": str(settings.lease_ttl.total_seconds()),
            "EVERCELL_NOTEBOOK": self._run.notebook or "",
            "EVERCELL_WAIT_GRACE": f"{self._wait_grace:g}s" if self._wait_grace else "1ms",
        }

    def _mark_cell(self, index: int) -> None:
        """Write into the cell's metadata what the journal says became of it."""
        request = self._requests[index]
        mark: dict[str, Any] = {"plain": True} if not request else dict(request)
        for event in self._workspace.store.journal.events(self._run.id, after=self._seen):
            self._seen = event.seq
            if event.kind in _FATES:
                mark |= {"status": _FATES[event.kind], "step": event.data.get("step")}
                mark.pop("plain", None)
        mark.pop("slot", None)
        self._nb_man.nb.cells[index].metadata["evercell"] = mark

    def _note_death(self, deaths: int) -> None:
        log.warning("evercell: the kernel of run %s died (%d)", self._run.name, deaths)
        self._workspace.store.journal.append(None, self._run.id, EventKind.KERNEL_DIED, {"deaths": deaths})

    def _give_up(self, max_restarts: int) -> KernelDied:
        held = take_lease(self._workspace, self._run.id)
        self._workspace.store.runs.set_status(
            held.lease, self._run.id, RunStatus.FAILED, reason="its kernel died"
        )
        held.release()
        return KernelDied(
            f"The kernel of run {self._run.name} died {max_restarts + 1} times.",
            hint=f"See which step with `evercell show {self._run.name}`; then `evercell resume {self._run.name}`.",
        )


_FATES = {
    EventKind.STEP_COMPLETED: "completed",
    EventKind.STEP_REPLAYED: "replayed",
    EventKind.ATTEMPT_FAILED: "failed",
    EventKind.ATTEMPT_INTERRUPTED: "interrupted",
}


def _last_event(workspace: Workspace, run: Run) -> int:
    events = workspace.store.journal.events(run.id)
    return events[-1].seq if events else 0
