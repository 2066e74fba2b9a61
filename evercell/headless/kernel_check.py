"""Whether there is a kernel that notebooks can be executed in."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from jupyter_client.kernelspec import KernelSpecManager

from evercell.core.errors import KernelNotFound
from evercell.engine.diagnosis import Finding, Level
from evercell.headless.kernels import PYTHON, require_kernel

_OURS = "evercell"
"""The kernel in which every cell is a step."""


def check_kernels() -> Iterator[Finding]:
    """How the kernel of notebooks that name none stands, and that in which every cell is a step."""
    try:
        require_kernel(PYTHON)
    except KernelNotFound as error:
        yield Finding("kernel", Level.FAIL, error.what, error.hint)
        return
    program = KernelSpecManager().get_kernel_spec(PYTHON).argv[0]
    if shutil.which(program) is None:
        advice = f"Install it anew: {sys.executable} -m ipykernel install --user"
        yield Finding(
            "kernel",
            Level.FAIL,
            f"The kernel {PYTHON!r} is to be run by {program}, which is not there.",
            advice,
        )
        return
    is_ours = Path(program).name == program or Path(program).resolve() == Path(sys.executable).resolve()
    elsewhere = "" if is_ours else f", run by {program}: evercell has to be installed there, too"
    also = ", and evercell" if _OURS in KernelSpecManager().find_kernel_specs() else ""
    yield Finding("kernel", Level.OK if is_ours else Level.WARN, f"{PYTHON}{elsewhere}{also}")
