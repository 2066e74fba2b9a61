"""What may change variables beside the cells: callbacks of widgets, threads, tasks on the kernel's loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from evercell.kernel_ext.wrapper import Wrapper

_COMMS = ("comm_open", "comm_msg", "comm_close")

OURS = "evercell"
"""The target of the comm over which pages are told how the notebook stands."""

_HARMLESS = frozenset(
    {
        "ipykernel",
        "IPython",
        "jupyter_client",
        "tornado",
        "zmq",
        "asyncio",
        "anyio",
        "tqdm",
        "debugpy",
        "evercell",
    }
)
"""Packages whose own threads and tasks change no variable of a notebook."""


class BackgroundActivity:
    """Tells whether something but a cell may have run in a kernel. Asked before and after every cell."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._known = frozenset(threading.enumerate())
        """The kernel's own threads."""
        self._comms = 0
        self._seen = 0
        self._was_busy = False
        self._wrappers: list[Wrapper] = []
        self.before_message: Callable[[], None] = lambda: None
        self.after_message: Callable[[], None] = lambda: None
        """Called around each message of a widget."""

    def install(self) -> None:
        """Count the messages of widgets."""
        handlers = self._kernel.shell_handlers
        for kind in _COMMS:
            handler = handlers.get(kind)
            if handler is not None:
                wrapper = Wrapper(handlers, kind, original=handler, ours=self._counting(handler))
                self._wrappers.append(wrapper)

    def uninstall(self) -> None:
        """Count no more."""
        for wrapper in self._wrappers:
            wrapper.remove()

    def was_active(self) -> bool:
        """Whether there was something since the last time this was asked, or still is."""
        busy = self._has_threads() or self._has_tasks()
        active = busy or self._was_busy or self._comms != self._seen
        self._was_busy, self._seen = busy, self._comms
        return active

    def is_active(self) -> bool:
        """Whether something runs beside the cells now."""
        return self._has_threads() or self._has_tasks()

    def _counting(self, handler: Any) -> Any:
        def handle(*args: Any, **kwargs: Any) -> Any:
            if self._is_ours(args):
                return handler(*args, **kwargs)
            self._comms += 1
            self.before_message()
            try:
                return handler(*args, **kwargs)
            finally:
                self.after_message()

        return handle

    def _is_ours(self, arguments: tuple[Any, ...]) -> bool:
        """Whether a message is of the front end's extension, which changes no variable."""
        content = arguments[-1].get("content", {}) if arguments and isinstance(arguments[-1], dict) else {}
        comm = self._kernel.comm_manager.comms.get(content.get("comm_id"))
        return bool(getattr(comm, "target_name", content.get("target_name")) == OURS)

    def _has_threads(self) -> bool:
        return any(
            thread not in self._known and _root(type(thread).__module__) not in _HARMLESS
            for thread in threading.enumerate()
            if not thread.name.startswith(("evercell-", "IPythonHistory", "ThreadPoolExecutor-evercell"))
        )

    def _has_tasks(self) -> bool:
        try:
            tasks = asyncio.all_tasks()
        except RuntimeError:  # no loop runs in this thread
            return False
        return any(_root(_module_of(task)) not in _HARMLESS for task in tasks)


def _module_of(task: asyncio.Task[Any]) -> str:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return str(frame.f_globals.get("__name__", "")) if frame is not None else "asyncio"


def _root(module: str) -> str:
    return module.partition(".")[0]
