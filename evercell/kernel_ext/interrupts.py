"""Interrupts and time limits: held back during a commit, raised inside a body that takes too long."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from evercell.core.errors import StepTimeout, UsageError


def _on_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


class LateInterrupt:
    """Remembers an interrupt that came while it had to wait."""

    came = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Inside, SIGINT only sets ``came``."""
        if not _on_main_thread():
            yield
            return

        def remember(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.came = True

        former = signal.signal(signal.SIGINT, remember)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)


@contextmanager
def time_limit(seconds: float | None, step: str) -> Iterator[None]:
    """Raise `StepTimeout` in the running (synchronous) code after ``seconds``.

    Python code is stopped at its next bytecode, a blocking system call at once; a long call into
    native code only when it returns.
    """
    if seconds is None:
        yield
        return
    if not _on_main_thread() or not hasattr(signal, "setitimer"):
        raise UsageError(
            f"Step {step}: --timeout needs the kernel's main thread on a Unix system.",
            hint="Use an async cell (top-level await), or leave --timeout out.",
        )

    def fire(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
        __tracebackhide__ = True
        raise timed_out(step, seconds)

    former = signal.signal(signal.SIGALRM, fire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


class AsyncTimeLimit:
    """Cancels the current task after ``seconds``; ``expired`` tells that from a user's interrupt."""

    def __init__(self, seconds: float, on_expiry: Callable[[], None]) -> None:
        self._seconds = seconds
        self._on_expiry = on_expiry
        self.expired = False

    def __enter__(self) -> AsyncTimeLimit:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("an async cell runs in a task")
        self._task = task
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self._expire)
        return self

    def _expire(self) -> None:
        self.expired = True
        self._on_expiry()
        self._task.cancel()

    def __exit__(self, *exception: object) -> None:
        self._timer.cancel()
        if self.expired:
            self._task.uncancel()


def timed_out(step: str, seconds: float) -> StepTimeout:
    return StepTimeout(
        f"Step {step} ran longer than its --timeout of {seconds:g} s.",
        hint="Give it more time with --timeout, or more attempts with --retries.",
    )
