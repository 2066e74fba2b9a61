"""A notebook client that attaches each kernel it starts to a run, and sends along which cells are steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbclient.util import run_sync
from papermill.clientwrap import PapermillNotebookClient

from evercell.core.errors import EvercellError
from evercell.core.statuses import RunStatus
from evercell.engine.claiming import Claim
from evercell.engine.watching import Snapshot
from evercell.headless.kernels import reach_through_sockets, remote_call, unusable
from evercell.headless.progress import snapshot_in

_SUSPENDED = "Suspended"
"""Name of the kernel's exception by which a step ends in the middle of a wait."""


class _RunSuspended(Exception):
    """No further cell is executed."""


class DurableClient(PapermillNotebookClient):  # type: ignore[misc]
    """Executes a notebook as (a part of) the run ``claim``, which its kernel takes over."""

    def __init__(
        self,
        nb_man: Any,
        *,
        claim: Claim,
        requests: list[dict[str, Any]],
        on_cell_begin: Callable[[int], None],
        on_cell_end: Callable[[int], None],
        on_progress: Callable[[int, Snapshot], None],
        **options: Any,
    ) -> None:
        super().__init__(nb_man, **options)
        self._claim = claim
        self._requests = requests
        self._on_cell_begin = on_cell_begin
        self._on_cell_end = on_cell_end
        self._on_progress = on_progress
        self._metadata: dict[str, Any] = {}
        self.failed = False
        self.waits_for: str | None = None
        """What the run waits for, where it was suspended."""

    def create_kernel_manager(self) -> Any:
        """A manager whose kernel is reached through sockets of this user's, where the system has them."""
        return reach_through_sockets(super().create_kernel_manager())

    def start_new_kernel(self, **kwargs: Any) -> None:
        """Start a kernel. Raises `KernelNotFound` where the system does not start its program."""
        try:
            super().start_new_kernel(**kwargs)
        except OSError as error:
            why = f"cannot be started: {error.strerror or error}"
            raise unusable(
                self.kernel_name, why, "Install it anew, or choose another one with --kernel."
            ) from error

    def start_new_kernel_client(self, **kwargs: Any) -> Any:
        """A client on the kernel just started. Raises nbclient's `DeadKernelError` where it does not come up.

        (Where it has ports, somebody may have taken one of them before the kernel did.)
        """
        try:
            return super().start_new_kernel_client(**kwargs)
        except RuntimeError as error:
            raise DeadKernelError(str(error)) from error

    def papermill_execute_cells(self) -> None:
        """Attach the kernel, execute the cells up to one that fails, and leave the run's status behind.

        Raises nbclient's `DeadKernelError` when the kernel goes away.
        """
        self.kc.execute = self._execute
        self._call_in_kernel("attach_run", self._claim.run.id, str(self._claim.token))
        self._claim.handed_over()
        status = RunStatus.PAUSED
        try:
            super().papermill_execute_cells()
            self.failed = any(cell.metadata.papermill.get("exception") for cell in self.nb.cells)
            status = RunStatus.FAILED if self.failed else RunStatus.COMPLETED
        except _RunSuspended:
            status = RunStatus.WAITING
        except DeadKernelError:
            raise
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):  # it works on, and would hear of nothing else
                self._interrupt_kernel()
            self._call_in_kernel("detach_run", str(status))
            raise
        self._call_in_kernel("detach_run", str(status))

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        """Execute a cell; its request carries the cell's id and what evercell makes of it."""
        self._on_cell_begin(cell_index)
        self._metadata = {"cellId": cell.get("id"), "evercell": self._requests[cell_index]}
        try:
            return super().execute_cell(cell, cell_index, *args, **kwargs)
        except CellExecutionError as error:
            if error.ename != _SUSPENDED:
                raise
            self.waits_for = str(error.evalue)
            raise _RunSuspended from None
        finally:
            self._metadata = {}
            self._on_cell_end(cell_index)

    def process_message(self, msg: dict[str, Any], cell: Any, cell_index: int) -> Any:
        """As nbclient does; beside it, whoever shows the run hears how far a step is."""
        snapshot = snapshot_in(msg)
        if snapshot is not None:
            self._on_progress(cell_index, snapshot)
        return super().process_message(msg, cell, cell_index)

    def _execute(self, code: str, **options: Any) -> str:
        """``KernelClient.execute``, with the metadata that its signature has no place for."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
            **options,
        }
        message = self.kc.session.msg("execute_request", content, metadata=self._metadata)
        self.kc.shell_channel.send(message)
        msg_id: str = message["header"]["msg_id"]
        return msg_id

    def _interrupt_kernel(self) -> None:
        run_sync(self.km.interrupt_kernel)()

    def _call_in_kernel(self, function: str, *arguments: str, is_first: bool = True) -> None:
        msg_id = self._execute(remote_call(function, *arguments), silent=True, store_history=False)
        reply = self.wait_for_reply(msg_id)
        content = reply["content"]
        if content["status"] == "aborted" and is_first:  # with the cell that was interrupted
            self._call_in_kernel(function, *arguments, is_first=False)
            return
        if content["status"] == "ok":
            return
        if content.get("ename") == "ModuleNotFoundError" and "evercell" in content.get("evalue", ""):
            why = "has no evercell in its environment"
            raise unusable(
                self.kernel_name, why, "pip install evercell there, or choose another one with --kernel."
            )
        raise EvercellError(f"The kernel could not join the run: {content.get('evalue') or content}")
