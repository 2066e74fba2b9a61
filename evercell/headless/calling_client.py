"""A notebook client that can call functions of evercell in its kernel, and be told to stop waiting for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from queue import Empty
from typing import Any

from nbclient.exceptions import DeadKernelError
from nbclient.util import ensure_async, run_sync
from papermill.clientwrap import PapermillNotebookClient

from evercell.core.errors import EvercellError, LeaseHeld, LeaseLost, StoreUnavailable
from evercell.headless.kernels import remote_call, unusable
from evercell.headless.stopping import Stop


class StoppedByRequest(Exception):
    """Somebody wants the execution to end."""


def _cancel(loop: asyncio.AbstractEventLoop, task: asyncio.Future[Any]) -> None:
    """From any thread, or in a signal's handler."""
    loop.call_soon_threadsafe(task.cancel)


class CallingClient(PapermillNotebookClient):  # type: ignore[misc]
    """Sends requests whose metadata it chooses, and calls functions of `evercell.kernel_ext.remote`."""

    def __init__(self, nb_man: Any, *, stop: Stop, **options: Any) -> None:
        super().__init__(nb_man, **options)
        self._stop = stop
        self._metadata: dict[str, Any] = {}
        """Of the requests that are sent now."""

    def _execute(self, code: str, **options: Any) -> str:
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

    def _call_in_kernel(self, function: str, *arguments: str | dict[str, str], is_first: bool = True) -> None:
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
        raise _could_not_join(content)

    # -- waiting for it --------------------------------------------------------------------------

    def _until_stopped(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """What comes of waiting for the kernel. Raises `StoppedByRequest` when somebody wants the execution to end."""

        async def wait() -> Any:
            loop, task = asyncio.get_running_loop(), asyncio.ensure_future(make())
            with self._stop.telling(partial(_cancel, loop, task)):
                return await task

        try:
            return run_sync(wait)()
        except (asyncio.CancelledError, DeadKernelError):  # nbclient takes any end of its waiting for a death
            if self._stop.is_asked:
                raise StoppedByRequest from None
            raise

    async def _answer_to(self, msg_id: str) -> dict[str, Any]:
        """However long it takes. Raises `DeadKernelError`."""
        while (reply := await self._reply_to(msg_id, self.shell_timeout_interval)) is None:
            pass
        return reply

    async def _reply_to(self, msg_id: str, seconds: float) -> dict[str, Any] | None:
        """The answer to a request if it comes in time. Raises `DeadKernelError`."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            with suppress(Empty):
                message: dict[str, Any] = await ensure_async(self.kc.shell_channel.get_msg(timeout=left))
                if message["parent_header"].get("msg_id") == msg_id:
                    return message
        if not await ensure_async(self.kc.is_alive()):
            raise DeadKernelError("Kernel died")
        return None

    def _interrupt_kernel(self) -> None:
        run_sync(self.km.interrupt_kernel)()


_OF_OTHERS = {kind.__name__: kind for kind in (LeaseHeld, LeaseLost, StoreUnavailable)}
"""What keeps a kernel from its run that is no fault of the run's, and passes."""


def _could_not_join(content: dict[str, Any]) -> EvercellError:
    what, _, hint = str(content.get("evalue") or content).partition("\n  → ")
    kind = _OF_OTHERS.get(str(content.get("ename")), EvercellError)
    return kind(f"The kernel could not join the run: {what}", hint=hint)
