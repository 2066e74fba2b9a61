"""Locks on files that the system frees when their holder dies. Where it has none, nobody can have one."""

from __future__ import annotations

import sys

if sys.platform == "win32":

    def lock_exclusively(descriptor: int) -> bool:  # noqa: ARG001
        """Never."""
        return False

else:
    import fcntl

    def lock_exclusively(descriptor: int) -> bool:
        """Take the lock on an open file; says whether it was free."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
