"""A notebook client that attaches each kernel it starts to a run, and sends along which cells are steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nbclient.exceptions import CellExecutionError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient

from evercell.core.errors import EvercellError
from evercell.core.statuses import RunStatus
from evercell.headless.kernels import reach_through_sockets, remote_call

_SUSPENDED = "Suspended"
"""Name of the kernel's exception by which a step ends in the middle of a wait."""


class _RunSuspended(Exception):
    """No further cell is executed."""


class DurableClient(PapermillNotebookClient):  # type: ignore[misc]
    """Executes a notebook as (a part of) the run ``run_id``."""

    def __init__(
        self,
        nb_man: Any,
        *,
        run_id: str,
        requests: list[dict[str, Any]],
        on_cell_end: Callable[[int], None],
        **options: Any,
    ) -> None:
        super().__init__(nb_man, **options)
        self._run_id = run_id
        self._requests = requests
        self._on_cell_end = on_cell_end
        self._metadata: dict[str, Any] = {}
        self.failed = False
        self.waits_for: str | None = None
        """What the run waits for, where it was suspended."""

    def create_kernel_manager(self) -> Any:
        """A manager whose kernel is reached through sockets of this user's, where the system has them."""
        return reach_through_sockets(super().create_kernel_manager())

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
        self._call_in_kernel("attach_run", self._run_id)
        status = RunStatus.PAUSED
        try:
            super().papermill_execute_cells()
            self.failed = any(cell.metadata.papermill.get("exception") for cell in self.nb.cells)
            status = RunStatus.FAILED if self.failed else RunStatus.COMPLETED
        except _RunSuspended:
            status = RunStatus.WAITING
        except DeadKernelError:
            raise
        except BaseException:
            self._call_in_kernel("detach_run", str(status))
            raise
        self._call_in_kernel("detach_run", str(status))

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        """Execute a cell; its request carries the cell's id and what evercell makes of it."""
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

    def _call_in_kernel(self, function: str, *arguments: str) -> None:
        msg_id = self._execute(remote_call(function, *arguments), silent=True, store_history=False)
        reply = self.wait_for_reply(msg_id)
        if reply["content"]["status"] != "ok":
            content = reply["content"]
            raise EvercellError(f"The kernel could not join the run: {content.get('evalue') or content}")
