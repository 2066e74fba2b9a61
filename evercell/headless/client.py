"""A notebook client that attaches each kernel it starts to a run, and sends along which cells are steps."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync

from evercell.core.statuses import RunStatus
from evercell.engine.claiming import Claim
from evercell.engine.replay import REPLAYS
from evercell.engine.watching import Snapshot
from evercell.headless.calling_client import CallingClient, StoppedByRequest
from evercell.headless.deaths import memory_kills, why_it_died
from evercell.headless.kernel_process import KernelProcess
from evercell.headless.kernels import reach_through_sockets, remote_call, unusable
from evercell.headless.living_kernel import LivingKernel, manager_of
from evercell.headless.output import CellEnd
from evercell.headless.progress import snapshot_in
from evercell.headless.replays_ahead import Replay, ReplaysAhead, request_metadata
from evercell.headless.runner_mark import Place
from evercell.headless.stopping import Stop

_SUSPENDED = "Suspended"
"""Name of the kernel's exception by which a step ends in the middle of a wait."""

_LEAVE_TIMEOUT = 6.0
"""Seconds that a cell has to end when it is interrupted; then its kernel is killed."""

_ASK_AGAIN = 1.0
"""Seconds after which a cell that heard of no interrupt is interrupted again."""

_FOR_EVER = 10**8


class _RunSuspended(Exception):
    """No further cell is executed."""


@dataclass(frozen=True, slots=True)
class Callbacks:
    """What the client tells of."""

    cell_began: Callable[[int], Place]
    """Returns where the run stands before that cell."""
    cell_ended: Callable[[int], str]
    """Returns what became of the cell's step; empty where it is none."""
    cell_replayed: Callable[[int, str], None]
    """The cell was replayed as this step, without a request of its own."""
    progress: Callable[[int, Snapshot], None]
    outputs_missed: Callable[[int], None]
    """The kernel was not heard to the end of the cell: what it showed may be more than what came."""
    taken_over: Callable[[Place | None], int]
    """A kernel was taken over, and is idle: returns the index of the cell to begin with."""


class DurableClient(CallingClient):
    """Executes a notebook as (a part of) the run ``claim``, which its kernel takes over."""

    def __init__(
        self,
        nb_man: Any,
        *,
        claim: Claim,
        requests: list[dict[str, Any]],
        callbacks: Callbacks,
        stop: Stop,
        environ: Mapping[str, str],
        has_steps: bool = False,
        living: LivingKernel | None = None,
        ahead: KernelProcess | None = None,
        **options: Any,
    ) -> None:
        """``environ``: what the kernel's environment has of the run. ``has_steps``: steps of the run may be replayed
        together with others. ``living``: a kernel that is on the run already,
        instead of a new one; ``ahead``: one that was started ahead of us.
        """
        # what a kernel says too late is in the store: no reason to give its run up
        super().__init__(nb_man, stop=stop, **{"raise_on_iopub_timeout": False, **options})
        self._claim = claim
        self._requests = requests
        self._callbacks = callbacks
        self._living = living
        self._environ = dict(environ)
        self._process = ahead
        self._mark = living.mark if living else None
        self._memory_kills = memory_kills()
        self._ahead = ReplaysAhead(self.nb.cells, requests, self._replays_of, has_steps=has_steps)
        self.failed = False
        self.waits_for: str | None = None
        """What the run waits for, where it was suspended."""
        self._was_heard = True
        """Whether the kernel said that the cell has ended where it says what that shows, too."""
        self.death = ""
        """Why its kernel died, in words."""

    # -- its kernel ------------------------------------------------------------------------------

    def create_kernel_manager(self) -> Any:
        """A manager whose kernel is reached through sockets of this user's, where the system has them."""
        if self._living is not None:
            self.startup_timeout = _FOR_EVER  # it answers when its cell has ended
            self.km = manager_of(self._living, self.kernel_name)
            return self.km
        if self._process is not None:
            self.km, self._mark = self._process.manager, self._process.mark
            return self.km
        return reach_through_sockets(super().create_kernel_manager())

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start a kernel that outlives us, should we be killed. Raises `KernelNotFound` where it cannot be started."""
        self._process = KernelProcess.prepare(self.km)
        self._mark = self._process.mark
        self.extra_arguments += self._process.arguments
        try:
            super().start_new_kernel(**self._process.options, **kwargs)
            self._process.has_started()
        except OSError as error:
            why = f"cannot be started: {error.strerror or error}"
            raise unusable(
                self.kernel_name, why, "Install it anew, or choose another one with --kernel."
            ) from error

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        """A client on the kernel just started. Raises nbclient's `DeadKernelError` where it does not come up.

        (Where it has ports, somebody may have taken one of them before the kernel did.)
        """
        self._stop.kernel_pid = getattr(getattr(self.km, "provisioner", None), "pid", None)
        try:
            return self._until_stopped(lambda: self.async_start_new_kernel_client(**kwargs))
        except RuntimeError as error:
            self.death = self._why_it_died() or str(error)
            raise DeadKernelError(str(error)) from error
        except StoppedByRequest:
            run_sync(self.km.shutdown_kernel)(now=self._living is None)
            raise

    def execute(self, **kwargs: Any) -> Any:
        """Execute the notebook; the kernel ends with it, and what marks it as ours."""
        try:
            return super().execute(**kwargs)
        finally:
            self._stop.kernel_pid = None
            if self._process is not None:
                self._process.has_ended()
            elif self._mark is not None:
                self._mark.remove()

    # -- its cells -------------------------------------------------------------------------------

    def papermill_execute_cells(self) -> None:
        """Attach the kernel, execute the cells up to one that fails, and leave the run's status behind.

        Raises nbclient's `DeadKernelError` when the kernel goes away, and `StoppedByRequest`.
        """
        self.kc.execute = self._execute
        try:
            self._execute_as_run()
        except DeadKernelError:
            self.death = self._why_it_died()
            raise

    def _execute_as_run(self) -> None:
        status = RunStatus.PAUSED
        try:
            first = self._attach()
            self._execute_from(first)
            self.failed = any(cell.metadata.papermill.get("exception") for cell in self.nb.cells)
            status = RunStatus.FAILED if self.failed else RunStatus.COMPLETED
            self.nb_man.save_at_once()  # killed from here on, nobody comes after us: the run is over
        except _RunSuspended:
            status = RunStatus.WAITING
        except DeadKernelError:
            raise
        except StoppedByRequest:
            self._leave_within(_LEAVE_TIMEOUT, status)
            raise
        except CellTimeoutError:
            self._leave_within(_LEAVE_TIMEOUT, RunStatus.FAILED)
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):  # it works on, and would hear of nothing else
                self._interrupt_kernel()
            self._call_in_kernel("detach_run", str(status))
            raise
        self._call_in_kernel("detach_run", str(status))

    def _attach(self) -> int:
        """Have the kernel hold the run's lease; returns the index of the first cell to execute."""
        if self._living is not None:
            return self._callbacks.taken_over(self._living.mark.place)
        self._call_in_kernel("attach_run", self._claim.run.id, str(self._claim.token), self._environ)
        self._claim.handed_over()
        return 0

    def _execute_from(self, first: int) -> None:
        """As papermill does, but that a cell which came to no end is not called completed."""
        for index, cell in enumerate(self.nb.cells):
            if index < first or self._is_replayed(cell, index):
                continue
            self.nb_man.cell_start(cell, index)
            end = CellEnd.PENDING
            try:
                self.execute_cell(cell, index)
                end = CellEnd.COMPLETED
            except CellExecutionError as error:
                end = CellEnd.FAILED
                self.nb_man.cell_exception(self.nb.cells[index], cell_index=index, exception=error)
                break
            except (DeadKernelError, CellTimeoutError):
                end = CellEnd.FAILED
                raise
            finally:
                self.nb_man.cell_came_to(end, self.nb.cells[index], index)

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        """Execute a cell; its request carries the cell's id and what evercell makes of it."""
        place = self._callbacks.cell_began(cell_index)
        if self._mark is not None and cell.cell_type == "code":  # whose beginning was saved
            self._mark.note(place)
        self._metadata, self._was_heard = request_metadata(cell, self._requests[cell_index]), False
        try:
            return self._until_stopped(lambda: self.async_execute_cell(cell, cell_index, *args, **kwargs))
        except CellExecutionError as error:
            if error.ename != _SUSPENDED:
                raise
            self.waits_for = str(error.evalue)
            raise _RunSuspended from None
        finally:
            self._metadata = {}
            fate = self._callbacks.cell_ended(cell_index)
            self._ahead.has_run(executed=fate == "completed")
            if not self._was_heard and fate in ("completed", "replayed"):
                self._callbacks.outputs_missed(cell_index)

    def _is_replayed(self, cell: Any, index: int) -> bool:
        """Whether the kernel replayed the cell together with others; then it is as if it had been executed."""
        replay = self._ahead.replay_of(index)
        if replay is None:
            return False
        cell.outputs, self.clear_before_next_output = [], False
        cell.execution_count = replay["number"]
        self.code_cells_executed += 1
        self.nb_man.cell_replayed(cell, index)
        for kind, content in replay["messages"]:
            message = {
                "msg_type": kind,
                "header": {"msg_type": kind},
                "parent_header": {},
                "content": content,
            }
            self.process_message(message, cell, index)
        self._callbacks.cell_replayed(index, str(replay["step"]))
        return True

    def _replays_of(self, cells: list[dict[str, Any]]) -> list[Replay]:
        """What the kernel replayed of these cells, up to the first one that it has to be asked to run."""
        if self._mark is not None:  # nobody who comes after us would know where the kernel is
            self._mark.forget()
        msg_id = self._execute(
            remote_call("replay_ahead", json.dumps(cells)),
            silent=True,
            store_history=False,
            user_expressions={"replays": remote_call("replays")},
        )
        reply = self._until_stopped(lambda: self._answer_to(msg_id))
        found = (reply["content"].get("user_expressions") or {}).get("replays") or {}
        replayed: list[Replay] = (found.get("data") or {}).get(REPLAYS, [])
        return replayed

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """As nbclient does; beside it, whoever shows the run hears how far a step is."""
        content = msg["content"]
        self._was_heard |= msg["msg_type"] == "status" and content["execution_state"] == "idle"
        snapshot = snapshot_in(msg)
        if snapshot is not None:
            self._callbacks.progress(cell_index, snapshot)
        return super().process_message(msg, cell, cell_index)

    # -- leaving ---------------------------------------------------------------------------------

    def _leave_within(self, seconds: float, status: RunStatus) -> None:
        """Interrupt the cell that runs, and leave the run in a status; a kernel that hears of neither is killed."""
        end = time.monotonic() + seconds
        with suppress(DeadKernelError, OSError, RuntimeError):
            while (left := end - time.monotonic()) > 0:
                self._interrupt_kernel()
                msg_id = self._execute(
                    remote_call("detach_run", str(status)), silent=True, store_history=False
                )
                reply = run_sync(self._reply_to)(msg_id, min(left, _ASK_AGAIN))
                if reply is not None and reply["content"]["status"] == "ok":
                    return
            self.shutdown_kernel = "immediate"

    # -- its death -------------------------------------------------------------------------------

    def _why_it_died(self) -> str:
        process = getattr(getattr(self.km, "provisioner", None), "process", None)
        status = process.poll() if process is not None else None
        said = self._process.last_words() if self._process is not None else ""
        why = why_it_died(status, out_of_memory=memory_kills() > self._memory_kills)
        return f"{why}; it said last: {said}" if said and why else why or said
