"""What lies in Jupyter's runtime folder of a kernel: its connection file, its sockets, the mark of its runner."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path


def remove_files(mark: Path) -> None:
    """Remove all of a kernel that has ended, or ends. (Jupyter's manager does so where it lives to see that end.)"""
    mark.unlink(missing_ok=True)  # first: whoever comes now begins with a new kernel
    with suppress(OSError):
        for left in mark.parent.glob(f"{mark.stem}*"):
            left.unlink(missing_ok=True)
