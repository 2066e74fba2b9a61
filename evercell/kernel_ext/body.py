"""The engine's executor in a live kernel: runs a cell's body through IPython's own machinery."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

from evercell.core.errors import UsageError
from evercell.core.records import ErrorRecord, Output
from evercell.core.text import printable
from evercell.engine.approvals.gate import decide_cell_approval
from evercell.engine.calls.permits import permit_step, permit_step_async
from evercell.engine.calls.slots import take_cell_slot, take_cell_slot_async
from evercell.engine.calls.suspension import Suspended
from evercell.engine.executor import BodyResult
from evercell.kernel_ext.interrupts import LateInterrupt
from evercell.kernel_ext.ipykernel_internals import UnsentText, live_widget, shown_traceback
from evercell.kernel_ext.page import KernelPage
from evercell.kernel_ext.recorder import NOTE, Recording
from evercell.kernel_ext.time_limits import LIMITS, Cancellation, StepLimit
from evercell.views.text import escaped
from evercell.views.widget_picture import widget_picture

_NOTE_STYLE = "opacity:.75;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.93em;line-height:1.5"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class KernelExecutor:
    """Executes one cell in the shell and shows recorded outputs through the kernel's session."""

    def __init__(
        self,
        shell: Any,
        recording: Recording,
        run_cell: Callable[..., Awaitable[Any]],
        *,
        step: str,
        is_async: bool,
        page: KernelPage,
    ) -> None:
        self.page = page
        self._shell = shell
        self._recording = recording
        self._run_cell = run_cell
        self._step = step
        self._is_async = is_async
        self._publish = shell.display_pub.publish
        """The page's own, which the cell's %%capture does not stand in for."""
        self._times_run = 0
        self.late = LateInterrupt()
        self.result: Any = None
        """IPython's ExecutionResult of the last attempt."""

    async def run_body(self, *, timeout: float | None, after_failure: str | None) -> BodyResult:
        """Execute the cell once. A failure that is not the last is one line of text, not the cell's error."""
        self._recording.after_failure = after_failure
        again = {"store_history": False} if self._times_run else {}
        self._times_run += 1
        unsent = UnsentText()
        with self._same_number(again):
            self.result = result = await self._run_approved(again, timeout)
        self._settle(unsent)
        self._name_suspension(result)
        return self._body_result(result)

    @contextmanager
    def _same_number(self, again: dict[str, Any]) -> Iterator[None]:
        """A further attempt has the same ``In [n]`` and ``Out[n]`` as the first."""
        if not again:
            yield
            return
        shell, number = self._shell, self._shell.execution_count
        ahead = (
            number - shell.displayhook.prompt_count
        )  # IPython 9 counts a cell when it begins, 8 when it ends

        def begun(_: object) -> None:
            shell.events.unregister("pre_run_cell", begun)
            shell.execution_count += ahead

        shell.execution_count -= 1
        shell.events.register("pre_run_cell", begun)
        try:
            yield
        finally:
            if begun in shell.events.callbacks["pre_run_cell"]:  # it did not come so far
                shell.events.unregister("pre_run_cell", begun)
            shell.execution_count = number

    async def _run_approved(self, again: dict[str, Any], timeout: float | None) -> Any:
        try:
            if self._is_async:
                await permit_step_async()
                await decide_cell_approval()
                await take_cell_slot_async()
            else:
                permit_step()
                take_cell_slot()
        except BaseException:  # noqa: BLE001  the cell ends with it, as if it had been raised inside
            return await self._run_cell(**again, preprocessing_exc_tuple=sys.exc_info())
        return await self._run_limited(again, timeout)

    async def _run_limited(self, again: dict[str, Any], timeout: float | None) -> Any:
        if timeout is None:
            return await self._run_cell(**again)
        limit = StepLimit(self._step, timeout)
        if self._is_async:
            return await self._run_with_async_limit(again, limit)
        if not LIMITS.can_interrupt():
            raise UsageError(
                f"Step {self._step}: --timeout needs the kernel's main thread on a Unix system.",
                hint="Use an async cell (top-level await), or leave --timeout out.",
            )
        with LIMITS.limited(limit):
            return await self._run_cell(**again)

    async def _run_with_async_limit(self, again: dict[str, Any], limit: StepLimit) -> Any:
        """The cancellation that a time limit brings about is not shown: the `StepTimeout` says it better."""

        def hide_cancellation() -> None:
            self._recording.drop_errors = True

        async with Cancellation(limit, hide_cancellation) as cancellation:
            result = await self._run_cell(**again)
        self._recording.drop_errors = False
        if cancellation.has_expired:
            error = limit.error()
            result.error_in_exec = error
            self._shell.showtraceback((type(error), error, None))
        return result

    def _settle(self, unsent: UnsentText) -> None:
        """Get out what the body showed but the kernel has not sent yet: figures, buffered streams."""
        inline = sys.modules.get("matplotlib_inline.backend_inline")
        pyplot = sys.modules.get("matplotlib.pyplot")
        if inline is not None and pyplot is not None and pyplot.get_fignums():
            inline.flush_figures()
        unsent.flush()

    def _name_suspension(self, result: Any) -> None:
        """A wait that was suspended ends the cell as itself: groups of tasks make a cancellation of it, or a group."""
        error, what = result.error_in_exec, self.page.suspended_for
        if what is not None and error is not None and not isinstance(error, Exception | Suspended):
            result.error_in_exec = Suspended(what)

    def _body_result(self, result: Any) -> BodyResult:
        error = result.error_before_exec or result.error_in_exec
        if error is None:
            return BodyResult(value=result.result)
        lines = shown_traceback(self._shell, error)
        record = ErrorRecord(type(error).__name__, str(error), lines)
        suspended = isinstance(error, Suspended)
        interrupted = suspended or isinstance(error, KeyboardInterrupt | asyncio.CancelledError)
        return BodyResult(record, interrupted, suspended)

    def recorded(self) -> Sequence[Output]:
        """What the cell showed so far, over all attempts."""
        return [_with_last_picture(output) for output in self._recording.outputs]

    def show(self, outputs: Sequence[Output], *, step: str) -> None:
        """Send recorded messages again, as they were but for the mark in their metadata."""
        kernel = self._shell.kernel
        mark = {"evercell": {"step": step, "replayed": True}}
        for output in outputs:
            content = dict(output.content)
            if output.kind == "execute_result":
                content["execution_count"] = self._shell.execution_count  # under which `set_result` has it
            if "metadata" in content:
                content["metadata"] = {**content["metadata"], **mark}
            if "data" in content:
                content["data"] = _without_dead_widget(content["data"])
                if not any(content["data"].values()):
                    continue  # a widget in which there was nothing to see
            kernel.session.send(
                kernel.iopub_socket,
                output.kind,
                content,
                parent=kernel.get_parent("shell"),
                ident=f"kernel.{kernel.ident}.{output.kind}".encode(),
                metadata=mark,
            )

    @property
    def variables(self) -> Mapping[str, object]:
        found: Mapping[str, object] = self._shell.user_ns
        return found

    def set_result(self, value: object) -> None:
        """Make this the value of the cell's last expression (``_``, ``Out[n]``), as its execution would have."""
        hook = self._shell.displayhook
        # IPython 9 counts a cell when it begins, 8 when it ends
        ahead = self._shell.execution_count - hook.prompt_count
        self._shell.execution_count += ahead
        try:
            hook.update_user_ns(value)
        finally:
            self._shell.execution_count -= ahead

    def note(self, text: str) -> None:
        """Show a remark of ours. It is no part of what the cell showed, so no replay shows it again."""
        show_note(self._publish, text)

    async def pause(self, seconds: float) -> None:
        """Wait; in a synchronous cell the kernel waits with it."""
        if self._is_async:
            await asyncio.sleep(seconds)
        else:
            time.sleep(seconds)

    def uninterrupted(self) -> AbstractContextManager[None]:
        return self.late.held_back()


def show_note(publish: Callable[..., Any], text: str) -> None:
    """Show a remark of ours at the cell that runs; ``publish`` is the page's own, and no capture's."""
    data = {
        "text/plain": f"evercell: {printable(text)}",
        "text/html": f"<div style='{_NOTE_STYLE}'>evercell: {escaped(text)}</div>",
    }
    publish(data, metadata=NOTE)


def _with_last_picture(output: Output) -> Output:
    """The output with what its widget looks like now, for when nothing answers it any more."""
    data = output.content.get("data") or {}
    view = data.get(WIDGET_VIEW)
    if not isinstance(view, dict) or any(kind.startswith(("text/html", "image/")) for kind in data):
        return output
    picture = None
    with suppress(Exception):  # code of whoever made the widget
        picture = widget_picture(str(view.get("model_id")), _state_of_widget)
    if picture is None:
        return output
    seen = {"text/plain": picture.text, "text/html": picture.html}
    return Output(output.kind, {**output.content, "data": {**data, **seen}})


def _state_of_widget(model_id: str) -> dict[str, Any] | None:
    widget = live_widget(model_id)
    return None if widget is None else dict(widget.get_state())


def _without_dead_widget(data: dict[str, Any]) -> dict[str, Any]:
    """A widget's model died with its kernel; its text (or HTML) twin is what can be shown again."""
    return (
        {mime: value for mime, value in data.items() if mime != WIDGET_VIEW} if WIDGET_VIEW in data else data
    )
