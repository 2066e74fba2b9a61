"""What ``%runs``, ``%steps`` and the command line say of runs and steps, while kernels work, idle and die."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]
Evercell = Callable[..., str]


@pytest.fixture
def evercell(store_url: str, tmp_path: Path) -> Evercell:
    """Runs a command, in a process of its own, and returns what it printed."""

    def run(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("evercell")), "--store", store_url, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60)
        return done.stdout

    return run


def steps_of(evercell: Evercell, run: str = "nb-1") -> dict[str, dict[str, Any]]:
    return {step["name"]: step for step in json.loads(evercell("show", run, "--json"))["steps"]}


def test_five_run_alls_are_one_version_of_each_step(
    new_kernel: NewKernel, counter: Counter, evercell: Evercell
) -> None:
    cells = [
        f"%%step one\n{counter.cell('one')}\ndata = [1]",
        f"%%step two\n{counter.cell('two')}\ndata.append(2)",
    ]
    kernel = new_kernel()
    for cell in cells:
        kernel.run(cell)
    once = steps_of(evercell)
    for _ in range(4):
        for cell in cells:
            kernel.run(cell)
    assert steps_of(evercell) == once
    assert [(step["attempts"], step["versions"]) for step in once.values()] == [(1, 1), (1, 1)]
    assert counter.words() == ["one", "two"]
    kernel.run("%checkout @two@1")
    assert kernel.value("data") == [1, 2]
    assert "has no version 2" in kernel.run("%checkout @two@2").error
    assert "has no version 2" in kernel.run("%branch --from two@2").error
