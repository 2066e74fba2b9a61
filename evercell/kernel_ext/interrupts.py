"""Interrupts: held back during a commit."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


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
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, former)
