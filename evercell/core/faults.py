"""Named places where a crash test kills the process. Without ``EVERCELL_FAULT`` they do nothing.

``EVERCELL_FAULT=after_start`` kills at the first time that place is reached, ``after_start:3`` at the third;
``after_start:3:STOP`` freezes the process there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_name, _count, _signal, *_ = [*os.environ.get("EVERCELL_FAULT", "").split(":"), "", ""]
_left = int(_count or 1)


_watchers: list[Callable[[str], None]] = []


@contextmanager
def watched(watcher: Callable[[str], None]) -> Iterator[None]:
    """Within, ``watcher`` is told of every place that is reached, and may raise there (see `evercell.testing`)."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def reach(name: str) -> None:
    """Die here (SIGKILL: no handler, no clean-up), or freeze, if this is the place that the environment names."""
    global _left
    for watcher in _watchers:
        watcher(name)
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.Signals[f"SIG{_signal or 'KILL'}"])
