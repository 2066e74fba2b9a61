"""Ending an execution from outside: Ctrl-C or SIGTERM leave the run in good order, a second Ctrl-C ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

_POLITE = ("SIGINT", "SIGTERM", "SIGHUP")
_SHOW_CURSOR = "\x1b[?25h"
"""A live display hides it."""


class Stop:
    """Whether somebody wants an execution to end. Asked for by signals of this process, or by `ask` from any thread."""

    def __init__(self, last_words: str = "") -> None:
        """``last_words`` are said where it ends at once."""
        self.signum: int | None = None
        self.kernel_pid: int | None = None
        """Of the kernel that ends with us where it must be at once."""
        self.last_words = last_words
        self._asked = threading.Event()
        self._tell: Callable[[], None] | None = None
        self._lock = threading.RLock()

    @property
    def is_asked(self) -> bool:
        """Whether the execution is to end."""
        return self._asked.is_set()

    def ask(self, signum: int = signal.SIGTERM) -> None:
        """Have the execution end in good order, as if this signal had come."""
        with self._lock:
            if self.signum is None:
                self.signum = signum
            self._asked.set()
            tell = self._tell
        if tell is not None:
            tell()

    def wait(self, seconds: float) -> bool:
        """Pause, unless it is asked to end; says whether it is."""
        return self._asked.wait(seconds)

    @contextmanager
    def telling(self, tell: Callable[[], None]) -> Iterator[None]:
        """While inside, ``tell`` is called when it is asked to end, be that before."""
        with self._lock:
            former, self._tell = self._tell, tell
        try:
            if self.is_asked:
                tell()
            yield
        finally:
            with self._lock:
                self._tell = former

    @contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """While inside, the process's polite signals ask to end. (In the main thread; those it ignores it ignores.)"""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        former = {}
        for name in _POLITE:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                former[number] = signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _hear(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.is_asked and signum == signal.SIGINT:
            self._end_now()
        self.ask(signum)

    def _end_now(self) -> None:
        """Whatever is under way is left as it is: every commit is whole, and the lease is that of a dead kernel."""
        if self.kernel_pid is not None:
            with suppress(OSError):
                os.killpg(self.kernel_pid, signal.SIGKILL)
        text = f"{_SHOW_CURSOR if sys.stderr.isatty() else ''}\n{self.last_words}\n"
        with suppress(OSError, ValueError):
            os.write(sys.stderr.fileno(), text.encode(errors="backslashreplace"))
        os._exit(128 + signal.SIGINT)
