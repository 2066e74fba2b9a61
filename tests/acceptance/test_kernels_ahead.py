"""A runner's first kernel comes up while the runner is imported; it never outlives what it was started for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from evercell.headless.kernel_process import start_ahead
from tests.acceptance.test_headless import BIN, write
from tests.commands import run_program
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels' connection files and marks lie."""
    folder = tmp_path / "r"
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(folder))
    return folder


def test_one_that_is_not_needed_is_gone_without_a_trace(tmp_path: Path, runtime: Path) -> None:
    assert start_ahead("no-such-kernel") is None
    ahead = start_ahead("python3")
    assert ahead is not None and ahead.mark is not None and ahead.mark.path.exists()
    process = psutil.Process(ahead.manager.provisioner.pid)
    ahead.kill()
    ahead.kill()
    assert not process.is_running()
    assert list(runtime.iterdir()) == []

    write(tmp_path / "in.ipynb", ["%%step twice\nx = 1", "%%step twice\nx = 2"])
    command = [str(BIN / "papermill"), "in.ipynb", "out.ipynb", "--engine", "evercell"]
    environ = {**os.environ, "EVERCELL_STORE": str(tmp_path / "store.db")}
    refused = run_program(command, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert refused.returncode == 1 and "twice" in refused.stderr, refused.stderr
    assert list(runtime.iterdir()) == []


def test_one_whose_runner_was_killed_before_it_joined_a_run_ends_at_once(runtime: Path) -> None:
    code = (
        "import os, signal; from evercell.headless.kernel_process import start_ahead\n"
        "print(start_ahead('python3').manager.provisioner.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environ = {**os.environ, "EVERCELL_ORPHAN_SECONDS": "600"}
    runner = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=False
    )
    kernel = psutil.Process(int(runner.stdout))
    wait_until(lambda: not kernel.is_running(), "the end of a kernel that nobody will come for")
    assert [*runtime.iterdir()] == [], "its runner cannot remove what it had"


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_what_a_kernel_left_that_was_killed_with_its_runner_is_cleared_by_the_next_and_nothing_else_is(
    runtime: Path,
) -> None:
    code = (
        "import os, signal; from evercell.headless.kernel_process import start_ahead\n"
        "pid = start_ahead('python3').manager.provisioner.pid\nprint(pid, flush=True)\n"
        "os.kill(pid, signal.SIGKILL); os.kill(os.getpid(), signal.SIGKILL)"
    )
    lives = start_ahead("python3")
    assert lives is not None
    others = runtime / "kernel-of-jupyterlab.json"
    others.write_text("{}")
    before = {path.stem for path in runtime.glob("kernel-*.json")}
    killed = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE, text=True)
    wait_until(lambda: _has_ended(int(killed.stdout)), "the end of the kernel")
    assert {path.stem for path in runtime.glob("kernel-*.json")} > before
    ahead = start_ahead("python3")
    assert ahead is not None and ahead.mark is not None
    stems = {path.stem.partition("-ipc")[0] for path in runtime.iterdir()}
    assert stems == before | {ahead.mark.path.stem}
    ahead.kill()
    lives.kill()
    assert [*runtime.iterdir()] == [others]
