"""Named places where a crash test kills the process. Without ``EVERCELL_FAULT`` they do nothing.

``EVERCELL_FAULT=after_start`` kills at the first time that place is reached, ``after_start:3`` at the third.
"""

from __future__ import annotations

import os
import signal

_name, _, _count = os.environ.get("EVERCELL_FAULT", "").partition(":")
_left = int(_count or 1)


def reach(name: str) -> None:
    """Die here (SIGKILL: no handler, no clean-up) if this is the place that the environment names."""
    global _left
    if name != _name:
        return
    _left -= 1
    if _left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
