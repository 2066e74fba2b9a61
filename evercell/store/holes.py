"""Holes in files: what nobody needs of a file takes no space, and the rest stays where it is."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path

_KEEP_SIZE, _PUNCH_HOLE = 1, 2
"""Of ``fallocate``, on Linux."""

_BLOCK = 4096
"""Smaller holes free nothing."""


def punch(path: Path, kept: Sequence[tuple[int, int]]) -> int:
    """Make holes of all but the parts to be kept (each from, to; in order); returns how many bytes they have.

    Where the system or the file system knows no holes, nothing happens.
    """
    if sys.platform != "linux":
        return 0
    freed, place = 0, 0
    handle = os.open(path, os.O_RDWR)
    try:
        for start, end in [*kept, (os.fstat(handle).st_size, 0)]:
            first, last = -(-place // _BLOCK) * _BLOCK, start // _BLOCK * _BLOCK
            if last > first and not _fallocate(handle, first, last - first):
                return freed
            freed += max(0, last - first)
            place = max(place, end)
    finally:
        os.close(handle)
    return freed


def _fallocate(handle: int, start: int, length: int) -> bool:
    try:
        function = ctypes.CDLL(None, use_errno=True).fallocate
    except (OSError, AttributeError):
        return False
    function.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return bool(function(handle, _KEEP_SIZE | _PUNCH_HOLE, start, length) == 0)
