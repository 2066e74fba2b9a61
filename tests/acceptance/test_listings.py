"""What ``%runs``, ``%steps`` and the command line say of runs and steps, while kernels work, idle and die."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run_program
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]
Evercell = Callable[..., str]


@pytest.fixture
def evercell(store_url: str, tmp_path: Path) -> Evercell:
    """Runs a command, in a process of its own, and returns what it printed."""

    def run(*words: str) -> str:
        command = [str(Path(sys.executable).with_name("evercell")), "--store", store_url, *words]
        done = run_program(command, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=120)
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


def standings(evercell: Evercell, run: str = "nb-1") -> set[str]:
    """How a run stands, as the commands say it to people and to programs."""
    (listed,) = [row for row in json.loads(evercell("runs", "--json")) if row["name"] == run]
    assert f"), {listed['standing']}" in evercell("show", run)
    return {listed["standing"]}


def test_how_a_run_stands_is_the_same_everywhere_from_work_to_death(
    new_kernel: NewKernel, evercell: Evercell, tmp_path: Path
) -> None:
    kernel = new_kernel()
    kernel.run("%%step one\nx = 1")
    assert standings(evercell) == {"idle (kernel attached)"}
    assert json.loads(evercell("show", "nb-1", "--json"))["standing"] == "idle (kernel attached)"
    assert "idle (kernel attached)" in evercell("runs")
    for magic in ("%runs", "%steps", "%evercell"):
        assert "idle (kernel attached)" in kernel.run(magic).text

    go_on = tmp_path / "go-on"
    waiting = f"import pathlib, time\nprint('begun')\nwhile not pathlib.Path({str(go_on)!r}).exists(): time.sleep(.05)"

    def look(kind: str, content: dict[str, Any]) -> None:
        if "begun" in content.get("text", ""):
            seen.update(standings(evercell))
            go_on.touch()

    seen: set[str] = set()
    kernel.run(f"%%step two\n{waiting}", on_message=look)
    assert seen == {"running"}

    def kill(kind: str, content: dict[str, Any]) -> None:
        if "begun" in content.get("text", ""):
            os.kill(kernel.pid, signal.SIGKILL)

    go_on.unlink()
    with pytest.raises(KernelGone):
        kernel.run(f"%%step three\n{waiting}", on_message=kill)
    assert standings(evercell) == {"interrupted (kernel gone)"}
    assert steps_of(evercell)["three"]["status"] == "interrupted"

    after = new_kernel()
    assert "interrupted (kernel gone)" in after.run("%steps").text
    after.run("%resume")
    assert standings(evercell) == {"idle (kernel attached)"}
    after.run("%%step one\nx = 1")
    assert standings(evercell) == {"idle (kernel attached)"}
    after.shut_down()
    assert standings(evercell) == {"paused"}
