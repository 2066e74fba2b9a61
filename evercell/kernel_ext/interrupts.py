"""Interrupts: held back during a commit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_held: list[LateInterrupt] = []
"""Those that hold interrupts back now, the innermost last."""


class LateInterrupt:
    """An interrupt that had to wait, if there was one."""

    was_received = False

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Inside, SIGINT only sets ``was_received``."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def remember(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.was_received = True

        former = signal.signal(signal.SIGINT, remember)
        _held.append(self)
        try:
            yield
        finally:
            _held.remove(self)
            signal.signal(signal.SIGINT, former)


def interrupt_waits() -> bool:
    """Whether an interrupt came that is held back: whoever waits for something stops then."""
    return any(late.was_received for late in _held)


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Inside, an interrupt waits; at the end it does what it would have done."""
    late = LateInterrupt()
    try:
        with late.held_back():
            yield
    finally:
        if late.was_received:
            signal.raise_signal(signal.SIGINT)
