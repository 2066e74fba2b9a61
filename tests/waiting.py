"""Waiting for what sends no message: a kernel that idles, a process that is at work, a file that comes."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Until something is so. What it leaves outside is asked for, again and again, and not for ever."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.05)  # between two questions
