"""While the kernel is idle: looking at what no cell named, a slice at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from time import perf_counter

from evercell.core.errors import EvercellError
from evercell.engine.late_changes import look_in_slices
from evercell.engine.session import Session

_AFTER = 0.02
"""Seconds after a cell or a message: the next one comes first where the user is quick."""

_TIMES, _LONGEST_WAIT = 20, 2.0
"""Where a runner sends the cells: so many times as long as the last look took, and at most so many seconds, the kernel
idles before another one. There cells follow each other quickly, and would each pay for one.
"""

_BETWEEN = 0.005
"""Seconds between two slices, in which the kernel answers whatever came."""

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds between two looks while something runs beside the cells; each pause is twice as long as the one before."""


class IdleLook:
    """Runs on the kernel's event loop, between messages."""

    def __init__(
        self,
        session: Session,
        *,
        is_busy: Callable[[], bool],
        is_background_active: Callable[[], bool],
        has_runner: bool = False,
    ) -> None:
        """``is_busy``: whether a cell runs. ``has_runner``: no person sends the cells."""
        self._session = session
        self._is_busy = is_busy
        self._is_background_active = is_background_active
        self._slices: Iterator[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._has_runner = has_runner
        self._pause = _FIRST_PAUSE
        self._cost = 0.0
        """Seconds that the last look took, as far as it went."""

    def cell_ended(self) -> None:
        """Look at what the cell's end had no time for, and go on looking while something runs beside the cells."""
        self._pause = _FIRST_PAUSE
        self._begin()

    def something_ran(self) -> None:
        """A widget's callback or something like it ran: look at everything."""
        if not self._is_busy():
            self._session.namespace.something_ran()
            self._begin()

    def stop(self) -> None:
        """Look no more, and hold on to nothing: a buffer that is being looked at cannot be resized."""
        self._slices = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self.stop()
        if not self._session.namespace.saw_everything:
            self._later(_idle_before(self._cost) if self._has_runner else _AFTER)
        elif self._is_background_active():
            self._later(self._pause)

    def _later(self, seconds: float) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # a subshell's
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # the kernel ends
            return
        self._timer = loop.call_later(seconds, self._look)

    def _look(self) -> None:
        if self._is_busy():
            return  # begun anew when the cell has ended
        if self._slices is None:
            if self._session.namespace.saw_everything:
                self._session.namespace.something_ran()
            self._slices = look_in_slices(self._session)
            self._cost = 0.0
        began = perf_counter()
        try:
            next(self._slices)
        except StopIteration:
            self._slices = None
            if self._is_background_active() or not self._session.namespace.saw_everything:
                self._later(self._pause)
                self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        except EvercellError:  # the store is out of reach, or the lease was lost: the next step says so
            self._slices = None
        else:
            self._later(_BETWEEN)
        finally:
            self._cost += perf_counter() - began


def _idle_before(cost: float) -> float:
    """Seconds without a cell or a message, after which a look begins that takes so many."""
    return max(_AFTER, min(_TIMES * cost, _LONGEST_WAIT))
