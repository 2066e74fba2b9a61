"""The command line in a test: a process of its own, as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SECONDS = 120


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    """``evercell WORDS`` in this process's environment; its exit code is the caller's to check."""
    command = [str(Path(sys.executable).with_name("evercell")), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
