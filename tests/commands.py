"""The command line in a test: a process of its own, as a user starts it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

from tests.forked import EVERCELL, Forked

SECONDS = 120


def run_command(*words: str) -> subprocess.CompletedProcess[str]:
    """``evercell WORDS`` in this process's environment; its exit code is the caller's to check."""
    return run_program([EVERCELL, *words], capture_output=True, text=True)


def run_program(
    command: Sequence[str],
    *,
    timeout: float = SECONDS,
    capture_output: bool = False,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run` does it, forked off what has its imports done where that can be."""
    if capture_output:
        options.update(stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with Forked(command, **options) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(list(command), process.returncode, out, err)
    if check:
        done.check_returncode()
    return done
