"""Ending code that takes too long: an alarm for synchronous code, cancellation for coroutines.

All limits of a process share one alarm, for there is only one: it rings for whichever is over first, the call's or that
of the step around it. This module imports neither IPython nor ipykernel: `evercell.testing` uses it, too.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from evercell.core.errors import StepTimeout
from evercell.engine.executor import TimeLimit

_SOON = 0.001
"""Seconds; a timer of 0 is none."""


class StepLimit:
    """The ``--timeout`` of one attempt at a step."""

    def __init__(self, step: str, seconds: float) -> None:
        self._step = step
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def seconds_left(self) -> float:
        return self._end - time.monotonic()

    def error(self) -> StepTimeout:
        error = StepTimeout(
            f"Step {self._step} ran longer than its --timeout of {self._seconds:g} s.",
            hint="Give it more time with --timeout, or more attempts with --retries.",
        )
        error.ends_attempt = True
        return error


class Cancellation:
    """Cancels the task that entered it when the limit is over, and raises its error in the place of that."""

    def __init__(self, limit: TimeLimit, on_expiry: Callable[[], None] = lambda: None) -> None:
        self._limit = limit
        self._on_expiry = on_expiry
        self.has_expired = False

    async def __aenter__(self) -> Cancellation:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a coroutine has a time limit only inside of a task")
        self._task = task
        self._cancelled_before = task.cancelling()
        self._set_timer()
        return self

    def _set_timer(self) -> None:
        seconds = max(0.0, self._limit.seconds_left())
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        if self._limit.seconds_left() > 0:  # it gave signs of life since
            return self._set_timer()
        self.has_expired = True
        self._on_expiry()
        self._task.cancel()
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timer.cancel()
        if not self.has_expired or self._task.uncancel() > self._cancelled_before:
            return
        if isinstance(error, asyncio.CancelledError):
            raise self._limit.error() from error


class AlarmLimits:
    """The limits of this process."""

    def __init__(self) -> None:
        self._active: list[TimeLimit] = []
        """From the outermost to the innermost."""
        self._former: tuple[Any, float, float] = (None, 0.0, 0.0)
        """The alarm that was set before: its handler, its seconds then, and when that was."""

    @staticmethod
    def can_interrupt() -> bool:
        """Whether synchronous code can be stopped here: in the main thread of a Unix process."""
        return hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()

    @contextmanager
    def limited(self, limit: TimeLimit) -> Iterator[None]:
        """Raise the limit's error in the synchronous code inside once it is over; elsewhere there is no limit.

        Python code is stopped at its next bytecode, a blocking system call at once; a long call into
        native code only when it returns.
        """
        if not self.can_interrupt():
            yield
            return
        if not self._active:
            handler = signal.signal(signal.SIGALRM, self._ring)
            self._former = handler, signal.setitimer(signal.ITIMER_REAL, 0)[0], time.monotonic()
        self._active.append(limit)
        self._set_alarm()
        try:
            yield
        finally:
            try:
                signal.setitimer(signal.ITIMER_REAL, 0)  # it does not ring while the limit is taken away
            finally:
                self._remove(limit)

    def limited_async(self, limit: TimeLimit) -> Cancellation:
        """Cancel the coroutine inside once the limit is over, and raise its error."""
        return Cancellation(limit)

    def _set_alarm(self) -> None:
        seconds = min((limit.seconds_left() for limit in self._active), default=None)
        signal.setitimer(signal.ITIMER_REAL, 0 if seconds is None else max(_SOON, seconds))

    def _ring(self, number: int, frame: Any) -> None:  # noqa: ARG002
        over = next((limit for limit in self._active if limit.seconds_left() <= 0), None)
        if over is not None:  # it rings once: what cleans up after it is not stopped again
            self._active.remove(over)
        self._set_alarm()
        if over is not None:
            raise over.error()

    def _remove(self, limit: TimeLimit) -> None:
        self._active = [active for active in self._active if active is not limit]
        if self._active:
            self._set_alarm()
            return
        handler, left, at = self._former
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.setitimer(signal.ITIMER_REAL, max(_SOON, left - (time.monotonic() - at)))


LIMITS = AlarmLimits()
"""A process has one alarm."""
