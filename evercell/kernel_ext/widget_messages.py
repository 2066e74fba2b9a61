"""ipykernel 6 takes no message while a cell runs, not even one that awaits: a waiting cell must look for itself."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import Any

from evercell.kernel_ext.interrupts import LateInterrupt

_CONTENT = 4
"""Of a message's frames after the addresses: signature, header, parent, metadata, content."""


def deliver(kernel: Any, comms: Collection[str]) -> None:
    """Hand on what the front end sent to some widgets; all other messages wait their turn, in their order.

    Does nothing on ipykernel 7, which answers widgets in subshells and while a cell awaits.
    """
    queue = getattr(kernel, "msg_queue", None)
    if queue is None or threading.current_thread() is not threading.main_thread():
        return
    import zmq

    mine, late = [], LateInterrupt()
    with late.held_back():
        kernel.shell_stream.flush(zmq.POLLIN)
        for item in [queue.get_nowait() for _ in range(queue.qsize())]:
            _, dispatch, arguments = item
            if dispatch == kernel.dispatch_shell and _comm_of(kernel, arguments[0]) in comms:
                mine.append(arguments[0])
            else:
                queue.put_nowait(item)
    for frames in mine:
        _handle(kernel, frames)
    if late.came:
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
