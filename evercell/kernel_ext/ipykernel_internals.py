"""Names that ipykernel (6 and 7) and ipywidgets keep to themselves: what each is used for, and what happens where it
is gone.

Nothing here fails for want of one. Each function says in its docstring what is done instead.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Collection
from typing import Any

from evercell.kernel_ext.interrupts import LateInterrupt

_CONTENT = 4
"""Of a message's frames after the addresses: signature, header, parent, metadata, content."""


def shown_traceback(shell: Any, error: BaseException) -> tuple[str, ...]:
    """The lines of the traceback that a cell just showed. Otherwise: Python's own, which has our frames, too."""
    lines = getattr(shell, "_last_traceback", None) or traceback.format_exception(error)
    return tuple(map(str, lines))


def show_traceback_lines(shell: Any, error: BaseException, lines: list[str]) -> bool:
    """Show an error as the cell's own, with these lines; says whether it did. Otherwise: show it in another way."""
    show = getattr(shell, "_showtraceback", None)
    if show is None:
        return False
    show(type(error), error, lines)
    return True


def wake_loop(kernel: Any) -> None:
    """Let the kernel's event loop see at once what a signal handler did, from another thread.

    Otherwise: it sees that when the next message comes.
    """
    loop = getattr(getattr(kernel, "io_loop", None), "asyncio_loop", None)
    if loop is not None:
        loop.call_soon_threadsafe(bool)


def loop_of(kernel: Any) -> Any:
    """The loop of the kernel's main thread (Tornado's). Otherwise, None: pages ask for nothing to be done there."""
    return getattr(kernel, "io_loop", None)


class UnsentText:
    """The kernel's two streams, and whether they were written to since this was made.

    To flush one is to wait for the thread that sends, which takes as long as a commit. That thread puts another
    buffer in the place of the one that it sends: where the same one is there, and empty, nothing was written.
    Otherwise (the streams have no such buffer, or are the user's own): each is flushed.
    """

    def __init__(self) -> None:
        self._buffers = [(stream, _buffer_of(stream)) for stream in (sys.stderr, sys.stdout)]

    def flush(self) -> None:
        """Wait until all that was written is sent."""
        for stream, buffer in self._buffers:
            if buffer is None or buffer or _buffer_of(stream) is not buffer:
                stream.flush()


def _buffer_of(stream: Any) -> Any:
    return getattr(stream, "_buffers", None)


def live_widget(model_id: str) -> Any:
    """The widget of this id, None where there is none. Otherwise: none is found, and each shows its own text."""
    module = sys.modules.get("ipywidgets.widgets.widget")
    return getattr(module, "_instances", {}).get(model_id)


# -- widgets that are clicked while a cell runs --------------------------------------------------


def answer_beside_the_cell(widget: Any) -> None:
    """Let a click be answered in the front end's subshell, while a synchronous cell holds the main one.

    ipykernel 7 sends the messages of a widget to the shell that it was made in. 6 has no such routing (see
    `deliver_widget_messages`). Otherwise: the click is heard by an ``await`` cell, or when the cell has ended.
    """
    hear_beside_the_cell(getattr(widget, "comm", None))


def hear_beside_the_cell(comm: Any) -> None:
    """The same for a comm of our own."""
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = _where_it_came_from


def _where_it_came_from(data: Any, default: Any) -> Any:  # noqa: ARG001
    return default


def deliver_widget_messages(kernel: Any, comms: Collection[str]) -> None:
    """Hand on what the front end sent to some widgets; all other messages wait their turn, in their order.

    ipykernel 6 takes no message while a cell runs, not even while it awaits: a waiting cell must look for itself.
    Otherwise (on ipykernel 7, which answers widgets in subshells and while a cell awaits): nothing.
    """
    needed = ("msg_queue", "shell_stream", "dispatch_shell", "_publish_status")
    if not all(hasattr(kernel, name) for name in needed):
        return
    if threading.current_thread() is not threading.main_thread():
        return
    import zmq

    queue, for_widgets, late = kernel.msg_queue, [], LateInterrupt()
    with late.held_back():
        kernel.shell_stream.flush(zmq.POLLIN)
        for item in [queue.get_nowait() for _ in range(queue.qsize())]:
            _, dispatch, arguments = item
            if dispatch == kernel.dispatch_shell and _comm_of(kernel, arguments[0]) in comms:
                for_widgets.append(arguments[0])
            else:
                queue.put_nowait(item)
    for frames in for_widgets:
        _handle(kernel, frames)
    if late.was_received:
        raise KeyboardInterrupt


def _comm_of(kernel: Any, frames: list[Any]) -> str | None:
    """The widget that a message is for. Not verified yet: a message can be verified only once."""
    try:
        _, rest = kernel.session.feed_identities(frames, copy=False)
        header, content = (kernel.session.unpack(bytes(rest[n].bytes)) for n in (1, _CONTENT))
        return content["comm_id"] if header["msg_type"] == "comm_msg" else None
    except (ValueError, LookupError, TypeError):
        return None  # damaged: ipykernel's to report


def _handle(kernel: Any, frames: list[Any]) -> None:
    idents, rest = kernel.session.feed_identities(frames, copy=False)
    try:
        message = kernel.session.deserialize(rest, content=True, copy=False)
    except (ValueError, TypeError):
        return  # not signed with this kernel's key
    kernel._publish_status("busy", "shell", parent=message)
    kernel.comm_manager.comm_msg(kernel.shell_stream, idents, message)
    kernel._publish_status("idle", "shell", parent=message)
