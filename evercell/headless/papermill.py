"""The papermill engine: ``papermill in.ipynb out.ipynb --engine evercell``."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from nbclient.exceptions import DeadKernelError
from papermill.engines import Engine
from papermill.utils import merge_kwargs, remove_args

from evercell.core.errors import EvercellError, KernelDied
from evercell.core.records import EventKind, Run
from evercell.core.statuses import RunStatus
from evercell.core.text import one_line, printable
from evercell.engine.approvals.deciding import waiting_for, where_to_answer
from evercell.engine.claiming import Claim, claim_run
from evercell.engine.heads import signed_head
from evercell.engine.patience import Patience, patient
from evercell.engine.settings import resolve_settings
from evercell.engine.step_names import check_notebook
from evercell.engine.watching import Snapshot
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.cell_steps import cell_mark, cell_requests
from evercell.headless.client import DurableClient
from evercell.headless.kernels import kernel_of, require_kernel
from evercell.headless.output import OutputNotebook
from evercell.headless.progress import CellProgress, NoDisplay, RunDisplay
from evercell.headless.run_selection import claim_selected, remember_kernel
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
        *,
        evercell_run: str | None = None,
        evercell_store: str | None = None,
        evercell_claim: Claim | None = None,
        **options: Any,
    ) -> Any:
        """Papermill's entry: executes the notebook as ``evercell_claim``, as the run ``evercell_run``, or as what
        `claim_selected` finds. The output notebook is always whole.

        Raises before the output is touched: `UnderWay` where the run is executed already, and `Damaged` where its
        journal does not verify or names another head.
        """
        manager = OutputNotebook(
            nb,
            output_path=output_path,
            progress_bar=progress_bar,
            log_output=log_output,
            autosave_cell_every=autosave_cell_every,
        )
        with (
            _shown_by_papermill(evercell_claim),
            open_workspace(resolve_settings(evercell_store, folder=_folder_of(nb))) as workspace,
            patient(workspace.store, Patience(workspace.settings.longest_outage, _say)),
        ):
            check_notebook(nb)
            require_kernel(kernel_name)
            claim = evercell_claim or claim_selected(workspace, nb.metadata.papermill, wanted=evercell_run)
            try:
                signed_head(workspace, claim.run)
                if evercell_claim is None:
                    remember_kernel(workspace, claim.run, nb, kernel_name)
                manager.notebook_start()
                try:
                    cls.execute_managed_notebook(
                        manager,
                        kernel_name,
                        workspace=workspace,
                        claim=claim,
                        log_output=log_output,
                        **options,
                    )
                finally:
                    manager.cleanup_pbar()
                    manager.notebook_complete()
            finally:
                claim.give_back()
        return manager.nb

    @classmethod
    def execute_managed_notebook(
        cls,
        nb_man: OutputNotebook,
        kernel_name: str,
        *,
        workspace: Workspace,
        claim: Claim,
        max_restarts: int = MAX_RESTARTS,
        wait_grace: float | None = None,
        evercell_display: RunDisplay | None = None,
        **options: Any,
    ) -> None:
        """Execute the notebook as the claimed run.

        Raises `RunWaiting` where a wait lasts longer than ``wait_grace`` seconds.
        """
        grace = wait_grace if wait_grace is not None else workspace.settings.wait_grace
        execution = _Execution(
            workspace, claim, nb_man, WAIT_GRACE if grace is None else grace, evercell_display or NoDisplay()
        )
        execution.execute(kernel_name, max_restarts, options)

    @classmethod
    def nb_kernel_name(cls, nb: Any, name: str | None = None) -> str:
        """The notebook's kernel; one that names none is taken for Python's."""
        return name or kernel_of(nb)[0]

    @classmethod
    def nb_language(cls, nb: Any, language: str | None = None) -> str:
        """The notebook's language, by the same rule."""
        return language or kernel_of(nb)[1]


def _folder_of(nb: Any) -> Path | None:
    """Where the notebook lies; None where papermill has it from elsewhere."""
    path = str(nb.metadata.papermill.get("input_path") or "")
    return Path(path).absolute().parent if path and "://" not in path else None


def _say(text: str) -> None:
    log.warning("evercell: %s", text)


@contextmanager
def _shown_by_papermill(evercell_claim: Claim | None) -> Iterator[None]:
    """An error of ours as papermill's command shows errors of its own: in words, and without a traceback."""
    try:
        yield
    except EvercellError as error:
        if evercell_claim is None and click.get_current_context(silent=True) is not None:
            raise click.ClickException(printable(str(error))) from error
        raise


class _Execution:
    """One execution of a notebook as a run, over as many kernels as it takes."""

    def __init__(
        self,
        workspace: Workspace,
        claim: Claim,
        nb_man: OutputNotebook,
        wait_grace: float,
        display: RunDisplay,
    ) -> None:
        self._display = display
        self._cells = _cells_shown(nb_man.nb.cells)
        self._began = time.monotonic()
        self._wait_grace = wait_grace
        self._workspace = workspace
        self._claim = claim
        self._run = claim.run
        self._nb_man = nb_man
        self._requests = cell_requests(nb_man.nb.cells)
        self._seen = _last_event(workspace, claim.run)

    def execute(self, kernel_name: str, max_restarts: int, options: dict[str, Any]) -> None:
        """Start kernels until the notebook came to its end, or ``max_restarts`` more died."""
        own = {"run": self._run.id, "name": self._run.name}
        if self._run.notebook_id is not None:
            own["id"] = self._run.notebook_id
        self._nb_man.nb.metadata["evercell"] = own
        try:
            for deaths in range(max_restarts + 1):
                client = self._client(kernel_name, options)
                try:
                    client.execute(env=self._environment())
                    if client.waits_for is not None:
                        raise self._waiting(client.waits_for)
                    self._require_children()
                    return
                except DeadKernelError:
                    self._claim_again()
                    self._note_death(deaths + 1, goes_on=deaths < max_restarts)
                    self._nb_man.start_again()
            raise self._give_up(max_restarts)
        finally:
            self._claim.give_back()
            status = self._workspace.store.runs.find(self._run.id).status
            self._nb_man.nb.metadata["evercell"]["status"] = str(status)

    def _claim_again(self) -> None:
        """The kernel is gone, and may have taken the run before. Raises `UnderWay` where somebody else was quicker."""
        lease = self._workspace.store.leases.get(self._run.id)
        if self._claim.is_ours and lease is not None and lease.token == self._claim.token:
            return
        self._claim.handed_over()
        self._claim = claim_run(self._workspace, self._run)

    def _require_children(self) -> None:
        """Raise `RunWaiting` where the run came to its end, and children that it waits for have not."""
        store = self._workspace.store
        if store.runs.find(self._run.id).status is RunStatus.WAITING:
            left = [store.runs.find(child).name for child in store.children.to_wait_for(self._run.id)]
            raise self._waiting(f"run {', '.join(left)}")

    def _waiting(self, what: str) -> RunWaiting:
        pending = waiting_for(self._workspace, run_id=self._run.id, below=True)
        name = one_line(self._run.name)
        todo = [
            f"  {one_line(approval.title)}: {one_line(where_to_answer(approval))}" for approval in pending
        ]
        lines = [f"run {name} waits for {one_line(what)}", *todo, f"  then: evercell resume {name}"]
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
            claim=self._claim,
            requests=self._requests,
            on_cell_begin=self._begin_cell,
            on_cell_end=self._end_cell,
            on_progress=self._show_progress,
            **merged,
        )

    def _environment(self) -> dict[str, str]:
        settings = self._workspace.settings
        return {
            **os.environ,
            "EVERCELL_STORE": settings.store_url,
            "EVERCELL_LEASE_SECONDS": str(settings.lease_ttl.total_seconds()),
            "EVERCELL_NOTEBOOK": self._run.notebook or "",
            "EVERCELL_RUNNER": self._run.id,
            # what a person reads beside a cell; of a notebook that is made here, its metadata says it
            "EVERCELL_MARKS": os.environ.get("EVERCELL_MARKS", "off"),
            "EVERCELL_WAIT_GRACE": f"{self._wait_grace:g}s" if self._wait_grace else "1ms",
        }

    def _begin_cell(self, index: int) -> None:
        """What the journal has so far is of other cells, or of the kernel's arrival."""
        self._began = time.monotonic()
        self._display.cell_began(self._cells[index])
        self._seen = _last_event(self._workspace, self._run, after=self._seen)

    def _show_progress(self, index: int, snapshot: Snapshot) -> None:
        self._display.step_stands(self._cells[index], snapshot)

    def _end_cell(self, index: int) -> None:
        self._mark_cell(index)
        fate = str(self._nb_man.nb.cells[index].metadata["evercell"].get("status", ""))
        self._display.cell_ended(self._cells[index], fate, time.monotonic() - self._began)

    def _mark_cell(self, index: int) -> None:
        """Write into the cell's metadata what it is, and what the journal says became of it if it is a step."""
        cell = self._nb_man.nb.cells[index]
        mark = cell_mark(cell, self._requests[index])
        if "step" in mark:
            for event in self._workspace.store.journal.events(self._run.id, after=self._seen):
                if event.kind in _FATES:
                    mark |= {"status": _FATES[event.kind], "step": event.data.get("step")}
        cell.metadata["evercell"] = mark

    def _note_death(self, deaths: int, *, goes_on: bool) -> None:
        self._display.kernel_died(deaths, goes_on=goes_on)
        log.warning("evercell: the kernel of run %s died (%d)", one_line(self._run.name), deaths)
        self._workspace.store.journal.append(None, self._run.id, EventKind.KERNEL_DIED, {"deaths": deaths})

    def _give_up(self, max_restarts: int) -> KernelDied:
        self._workspace.store.runs.set_status(
            self._claim.held.lease, self._run.id, RunStatus.FAILED, reason="its kernel died"
        )
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


def _cells_shown(cells: list[Any]) -> list[CellProgress]:
    """By index, each cell as whoever shows the run calls it; those that hold no code count with the one before."""
    requests = cell_requests(cells)
    of = sum(cell.cell_type == "code" for cell in cells)
    number, shown = 0, []
    for cell, request in zip(cells, requests, strict=True):
        number += cell.cell_type == "code"
        mark = cell_mark(cell, request)
        shown.append(CellProgress(number, of, str(mark.get("step") or mark.get("setup") or "")))
    return shown


def _last_event(workspace: Workspace, run: Run, *, after: int = 0) -> int:
    events = workspace.store.journal.events(run.id, after=after)
    return events[-1].seq if events else after
