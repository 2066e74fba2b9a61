"""One execution of a notebook as a run, over as many kernels as it takes."""

from __future__ import annotations

import logging
import os
import time
from contextlib import suppress
from typing import Any

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.utils import merge_kwargs, remove_args

from evercell.core.errors import EvercellError, KernelDied, StepNotFound
from evercell.core.records import EventKind
from evercell.core.statuses import RunStatus
from evercell.core.text import as_word, one_line
from evercell.engine.approvals.deciding import waiting_for, where_to_answer
from evercell.engine.claiming import Claim, claim_run
from evercell.engine.missed_outputs import outputs_of_steps
from evercell.engine.watching import Snapshot
from evercell.engine.workspace import Workspace
from evercell.headless.calling_client import StoppedByRequest
from evercell.headless.cell_steps import cell_mark, cell_requests
from evercell.headless.client import Callbacks, DurableClient
from evercell.headless.deaths import Death
from evercell.headless.endings import RunCancelled, RunStopped, RunWaiting
from evercell.headless.kernel_process import KernelProcess
from evercell.headless.living_kernel import AdoptedClaim
from evercell.headless.output import CellEnd, OutputNotebook
from evercell.headless.progress import CellProgress, RunDisplay
from evercell.headless.runner_mark import Place
from evercell.headless.stopping import Stop

log = logging.getLogger("papermill")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds before a third kernel is started, and before any: the second one comes at once, for one death is none."""


class Execution:
    """Executes an output notebook's cells as the claimed run, and leaves that run in the status that it came to."""

    def __init__(
        self,
        workspace: Workspace,
        claim: Claim,
        nb_man: OutputNotebook,
        *,
        wait_grace: float,
        display: RunDisplay,
        stop: Stop,
        former: Any = None,
        ahead: KernelProcess | None = None,
    ) -> None:
        """``former``: the output notebook as the runner left it whose kernel is taken over; ``ahead``: a first kernel
        that was started already.
        """
        self._workspace = workspace
        self._claim = claim
        self._run = claim.run
        self._nb_man = nb_man
        self._wait_grace = wait_grace
        self._display = display
        self._stop = stop
        self._former = former
        self._ahead = ahead
        self._requests = cell_requests(nb_man.nb.cells)
        self._cells = _cells_shown(nb_man.nb.cells, self._requests)
        self._cell = ""
        self._index: int | None = None
        """Of the cell that was begun last."""
        self._began = time.monotonic()
        self._seen = self._last_event()
        self._deaths: list[Death] = []
        own: dict[str, Any] = {"run": self._run.id, "name": self._run.name}
        own |= {"id": self._run.notebook_id} if self._run.notebook_id is not None else {}
        own |= {"key": self._run.run_key} if self._run.run_key is not None else {}
        nb_man.nb.metadata["evercell"] = own
        self._own = nb_man.nb.metadata["evercell"]

    def execute(self, kernel_name: str, max_restarts: int, options: dict[str, Any]) -> None:
        """Start kernels until the notebook came to its end, or ``max_restarts`` more died.

        Raises `RunWaiting`, `RunStopped`, `RunCancelled`, `KernelDied`.
        """
        try:
            while not self._executed_in_a_kernel(kernel_name, options):
                if len(self._deaths) > max_restarts:
                    raise self._give_up()
                self._pause_before_another()
                self._nb_man.start_again()
        except StoppedByRequest:
            self._pause_run()
            self._mark_unended("interrupted")
            raise RunStopped(one_line(self._run.name), self._stop.signum or 0) from None
        except CellTimeoutError as error:
            self._fail_run(one_line(str(error)))
            raise
        finally:
            self._claim.give_back()
            self._own["status"] = str(self._workspace.store.runs.find(self._run.id).status)
            if self._stop.is_asked and self._stop.signum is not None:
                self._own["ended_by"] = int(self._stop.signum)
        if self._own["status"] == RunStatus.CANCELLED:
            self._mark_unended("interrupted")
            raise RunCancelled(one_line(self._run.name))

    def _executed_in_a_kernel(self, kernel_name: str, options: dict[str, Any]) -> bool:
        """Whether the notebook came to its end in one more kernel; otherwise that one died."""
        client = self._client(kernel_name, options)
        try:
            client.execute()
        except DeadKernelError:
            self._cells_death(client.death)
            return False
        except _NotTheSame:
            self._claim_again()
            return self._executed_in_a_kernel(kernel_name, options)
        if client.waits_for is not None:
            self._own["waits_for"] = one_line(client.waits_for)
            self._mark_unended("waiting")
            raise self._waiting(client.waits_for)
        self._require_children()
        return True

    def _require_children(self) -> None:
        """Raise `RunWaiting` where the run came to its end, and children that it waits for have not."""
        store = self._workspace.store
        if store.runs.find(self._run.id).status is RunStatus.WAITING:
            left = [store.runs.find(child).name for child in store.children.to_wait_for(self._run.id)]
            self._own["waits_for"] = what = f"run {one_line(', '.join(left))}"
            raise self._waiting(what)

    # -- kernels ---------------------------------------------------------------------------------

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
        living = self._claim.kernel if isinstance(self._claim, AdoptedClaim) else None
        ahead = None
        if living is None:
            ahead, self._ahead = self._ahead, None
        return DurableClient(
            self._nb_man,
            claim=self._claim,
            requests=self._requests,
            callbacks=Callbacks(
                self._begin_cell,
                self._end_cell,
                self._cell_replayed,
                self._show_progress,
                self._outputs_missed,
                self._take_over,
            ),
            # where a kernel died, it is told at which cell
            has_steps=self._run.head is not None and not self._deaths,
            stop=self._stop,
            environ=self._environment(),
            living=living,
            ahead=ahead,
            **merged,
        )

    def _environment(self) -> dict[str, str]:
        settings = self._workspace.settings
        return {
            "EVERCELL_STORE": settings.store_url,
            "EVERCELL_LEASE_SECONDS": str(settings.lease_ttl.total_seconds()),
            "EVERCELL_NOTEBOOK": self._run.notebook or "",
            "EVERCELL_RUNNER": self._run.id,
            # what a person reads beside a cell; of a notebook that is made here, its metadata says it
            "EVERCELL_MARKS": os.environ.get("EVERCELL_MARKS", "off"),
            "EVERCELL_WAIT_GRACE": f"{self._wait_grace:g}s" if self._wait_grace else "1ms",
        }

    def _claim_again(self) -> None:
        """The kernel is gone, and may have taken the run before. Raises `UnderWay` where somebody else was quicker."""
        lease = self._workspace.store.leases.get(self._run.id)
        if self._claim.is_ours and lease is not None and lease.token == self._claim.token:
            return
        self._claim.handed_over()
        self._claim = claim_run(self._workspace, self._run)

    def _cells_death(self, why: str) -> None:
        death = Death(self._cell, why)
        self._deaths.append(death)
        self._own["kernel_deaths"] = [one.as_json() for one in self._deaths]
        self._claim_again()
        count = len(self._deaths)
        log.warning("evercell: the kernel of run %s died (%d) %s", one_line(self._run.name), count, why)
        self._workspace.store.journal.append(
            None, self._run.id, EventKind.KERNEL_DIED, {"deaths": count} | death.as_json()
        )

    def _pause_before_another(self) -> None:
        """A kernel that dies again and again is given more time each time: what it lacks may come back."""
        self._display.kernel_died(len(self._deaths), goes_on=True, why=self._deaths[-1].why)
        again = len(self._deaths) - 2
        if again >= 0 and self._stop.wait(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**again)):
            raise StoppedByRequest

    def _give_up(self) -> KernelDied:
        death = self._deaths[-1]
        self._display.kernel_died(len(self._deaths), goes_on=False, why=death.why)
        if self._index is not None:
            self._mark_cell(self._index)
        self._nb_man.nb.metadata.papermill["exception"] = True
        self._fail_run("its kernel died")
        name, at = self._run.name, f", the last time at {death.cell}" if death.cell else ""
        why = f": {death.why}" if death.why else ""
        return KernelDied(
            f"The kernel of run {name} died {len(self._deaths)} times{at}{why}. No cell raised an error.",
            hint=f"See which step with `evercell show {as_word(name)}`; then `evercell resume {as_word(name)}`.",
        )

    # -- a kernel that was taken over ------------------------------------------------------------

    def _take_over(self, place: Place | None) -> int:
        """Fill in what the former runner had, and what the store has of the cell that ran meanwhile.

        Returns the index of the cell to go on with. Raises `_NotTheSame` where that cannot be told; the cell that ran
        has ended, and a new kernel replays it.
        """
        if place is None or not self._is_as_it_was(place.cell):
            raise _NotTheSame
        self._display.told(f"run {one_line(self._run.name)} goes on in the kernel that it has")
        for index in range(place.cell):
            self._nb_man.nb.cells[index] = self._former.cells[index]
            self._display.cell_ended(self._cells[index], self._fate(index), None)
        self._seen, self._cell = place.seen, self._cells[place.cell].name
        cell = self._nb_man.nb.cells[place.cell]
        self._mark_cell(place.cell)
        step = cell.metadata["evercell"].get("step")
        if self._fate(place.cell) not in ("completed", "replayed") or step is None:
            return place.cell
        self._put_outputs(cell, str(step))
        self._nb_man.cell_start(cell, place.cell)
        self._nb_man.cell_came_to(CellEnd.COMPLETED, cell, place.cell)
        self._display.cell_ended(self._cells[place.cell], self._fate(place.cell), None)
        return place.cell + 1

    def _is_as_it_was(self, count: int) -> bool:
        cells, former = self._nb_man.nb.cells, getattr(self._former, "cells", None)
        if former is None or len(former) != len(cells) or count >= len(cells):
            return False
        return all(
            (one.cell_type, one.source) == (other.cell_type, other.source) and "papermill" in other.metadata
            for one, other in zip(cells, former, strict=True)
        )

    def _put_outputs(self, cell: Any, step: str) -> None:
        from nbformat import from_dict

        checkpoint = self._workspace.store.runs.find(self._run.id).head
        newest = [
            event.data.get("checkpoint")
            for event in self._workspace.store.journal.events(self._run.id, after=self._seen)
            if event.kind in (EventKind.STEP_COMPLETED, EventKind.STEP_REPLAYED)
            and event.data.get("step") == step
        ]
        with_outputs = str((newest or [checkpoint])[-1] or checkpoint)
        try:
            shown = outputs_of_steps(self._workspace, self._run, {step: with_outputs})[step]
        except StepNotFound:
            raise _NotTheSame from None
        cell.outputs = [from_dict(output) for output in shown]

    # -- cells -----------------------------------------------------------------------------------

    def _begin_cell(self, index: int) -> Place:
        """What the journal has so far is of other cells, or of the kernel's arrival."""
        self._began = time.monotonic()
        self._index, self._cell = index, self._cells[index].name
        self._display.cell_began(self._cells[index])
        self._seen = self._last_event()
        return Place(index, self._seen)

    def _show_progress(self, index: int, snapshot: Snapshot) -> None:
        self._display.step_stands(self._cells[index], snapshot)

    def _end_cell(self, index: int) -> str:
        self._mark_cell(index)
        fate = self._fate(index)
        self._display.cell_ended(self._cells[index], fate, time.monotonic() - self._began)
        return fate

    def _outputs_missed(self, index: int) -> None:
        """On a machine that is too busy messages come too late to be waited for: the store has what the step showed."""
        cell = self._nb_man.nb.cells[index]
        step = cell.metadata["evercell"].get("step")
        if step is not None:
            with suppress(_NotTheSame):
                self._put_outputs(cell, str(step))

    def _cell_replayed(self, index: int, step: str) -> None:
        cell = self._nb_man.nb.cells[index]
        mark = cell_mark(cell, self._requests[index])
        cell.metadata["evercell"] = mark | {"status": "replayed", "step": step}
        self._display.cell_ended(self._cells[index], "replayed", 0.0)

    def _fate(self, index: int) -> str:
        return str((self._nb_man.nb.cells[index].metadata.get("evercell") or {}).get("status", ""))

    def _mark_cell(self, index: int) -> None:
        """Write into the cell's metadata what it is, and what the journal says became of it if it is a step."""
        cell = self._nb_man.nb.cells[index]
        mark = cell_mark(cell, self._requests[index])
        if "step" in mark:
            for event in self._workspace.store.journal.events(self._run.id, after=self._seen):
                if event.kind in _FATES:
                    mark |= {"status": _FATES[event.kind], "step": event.data.get("step")}
        cell.metadata["evercell"] = mark

    def _mark_unended(self, status: str) -> None:
        """The cell that was begun last came to no end, which is no failure of its."""
        if self._index is None:
            return
        cell = self._nb_man.nb.cells[self._index]
        if cell.metadata.papermill["status"] == CellEnd.COMPLETED:
            return
        self._mark_cell(self._index)
        if "step" in cell.metadata["evercell"]:
            cell.metadata["evercell"]["status"] = status
        cell.metadata.papermill.update(status=str(CellEnd.PENDING), exception=None)
        self._nb_man.nb.metadata.papermill["exception"] = None

    def _last_event(self) -> int:
        return self._workspace.store.journal.end(self._run.id).seq

    # -- the run's end ---------------------------------------------------------------------------

    def _waiting(self, what: str) -> RunWaiting:
        pending = waiting_for(self._workspace, run_id=self._run.id, below=True)
        name = one_line(self._run.name)
        todo = [
            f"  {one_line(approval.title)}: {one_line(where_to_answer(approval))}" for approval in pending
        ]
        lines = [f"run {name} waits for {one_line(what)}", *todo, f"  then: evercell resume {as_word(name)}"]
        return RunWaiting("\n".join(lines))

    def _pause_run(self) -> None:
        """Where the kernel had to be killed, it could not say so itself."""
        if self._workspace.store.runs.find(self._run.id).status is RunStatus.RUNNING:
            self._claim_again()
            self._workspace.store.runs.set_status(
                self._claim.held.lease, self._run.id, RunStatus.PAUSED, reason="it was told to end"
            )

    def _fail_run(self, reason: str) -> None:
        if self._workspace.store.runs.find(self._run.id).status is RunStatus.RUNNING:
            self._claim_again()
            self._workspace.store.runs.set_status(
                self._claim.held.lease, self._run.id, RunStatus.FAILED, reason=reason
            )


class _NotTheSame(EvercellError):
    """A kernel that was taken over is of no use: nobody knows where its runner was."""

    def __init__(self) -> None:
        super().__init__("The kernel's runner did not say where it was.")


_FATES = {
    EventKind.STEP_COMPLETED: "completed",
    EventKind.STEP_REPLAYED: "replayed",
    EventKind.ATTEMPT_FAILED: "failed",
    EventKind.ATTEMPT_INTERRUPTED: "interrupted",
}


def _cells_shown(cells: list[Any], requests: list[dict[str, Any]]) -> list[CellProgress]:
    """By index, each cell as whoever shows the run calls it; those that hold no code count with the one before."""
    of = sum(cell.cell_type == "code" for cell in cells)
    number, shown = 0, []
    for cell, request in zip(cells, requests, strict=True):
        number += cell.cell_type == "code"
        mark = cell_mark(cell, request)
        shown.append(CellProgress(number, of, str(mark.get("step") or mark.get("setup") or "")))
    return shown
