"""Tests begin as programs do on a user's machine, and so do the processes that they start."""

import os
import sys
import tempfile

# where it is set, each kernel, command and server compiles evercell's modules anew
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

MEMORY = "/dev/shm"
ROOM = 4 << 30
"""Bytes that have to be free there; a whole run of the tests takes a tenth of them."""


def _has_room_for_tests(folder: str) -> bool:
    """Whether a disk in memory is there, programs of tests may be started from it, and much of it is free."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return False
    return (
        os.access(folder, os.W_OK)
        and not found.f_flag & os.ST_NOEXEC
        and found.f_bavail * found.f_frsize >= ROOM
    )


# each commit waits for the disk: for that of a machine some ten milliseconds, thousands of times
if "TMPDIR" not in os.environ and sys.platform == "linux" and _has_room_for_tests(MEMORY):
    os.environ["TMPDIR"] = MEMORY
    tempfile.tempdir = None  # pytest has asked where it is
