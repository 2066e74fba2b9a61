"""P1 for commands: two equal ones at the same instant execute the notebook once."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from evercell.engine.holder import is_gone
from evercell.store import open_store
from tests.acceptance.test_headless import BIN, write
from tests.conftest import Counter
from tests.forked import Forked
from tests.kernels import Kernel
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

SECONDS = 120
COMMANDS = {
    "papermill": ("papermill", "in.ipynb", "out.ipynb", "--engine", "evercell", "-p", "n", "1"),
    "evercell run": ("evercell", "run", "in.ipynb", "out.ipynb", "-p", "n", "1"),
}
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a command, and does not wait for it; none outlives the test."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    with open_store(store_url):  # the schema is there, so that all begin alike
        pass
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        command = [str(BIN / words[0]), *words[1:]]
        pipe = subprocess.PIPE
        started.append(Forked(command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=SECONDS)


class Gate:
    """A file that cells wait for, so that what began is under way for as long as a test wants."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def cell(self) -> str:
        return (
            f"import pathlib, time\nfor _ in range({SECONDS * 20}):\n"
            f"    if pathlib.Path({str(self._path)!r}).exists(): break\n    time.sleep(0.05)"
        )

    def open(self) -> None:
        self._path.touch()

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")


def first_to_end(processes: list[subprocess.Popen[str]]) -> tuple[subprocess.Popen[str], str]:
    """The process that ends first, and what it said."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        for process in processes:
            try:
                return process, "".join(process.communicate(timeout=0.1))
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError("none of them ended")


def meet(processes: list[subprocess.Popen[str]], gate: Gate) -> str:
    """One of two ends refused while the other is under way, which then completes. Returns what was said."""
    refused, said = first_to_end(processes)
    assert refused.returncode == 1, said
    gate.open()
    (other,) = [p for p in processes if p is not refused]
    _, errors = other.communicate(timeout=SECONDS)
    assert other.returncode == 0, errors
    gate.close()
    return said


def notebook(tmp_path: Path, counter: Counter, gate: Gate) -> None:
    write(
        tmp_path / "in.ipynb",
        [f"{counter.cell('one')}\nx = 1", f"{counter.cell('two')}\n{gate.cell()}\nprint('done')"],
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_two_equal_commands_at_once_execute_once(
    start: Start, store_url: str, counter: Counter, gate: Gate, tmp_path: Path, command: str,
    request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    pairs = 50 if request.config.getoption("--long") else 2
    notebook(tmp_path, counter, gate)
    for number in range(1, pairs + 1):
        said = meet([start(*COMMANDS[command]) for _ in range(2)], gate)
        assert f"run in-{number} executes the same notebook" in said and "→" in said
        assert "Traceback" not in said
        assert counter.words() == ["one", "two"] * number
        assert "done" in (tmp_path / "out.ipynb").read_text(), "the one that was refused wrote nothing"
    with open_store(store_url) as store:
        assert [str(run.status) for run in store.runs.all()] == ["completed"] * pairs
        assert not store.leases.all()
        for run in store.runs.all():
            store.journal.verify(run.id)


def test_a_run_is_resumed_once_by_two_that_try_at_once(
    start: Start, store_url: str, counter: Counter, gate: Gate, tmp_path: Path
) -> None:
    notebook(tmp_path, counter, gate)
    killed = start("evercell", "run", "in.ipynb", "--name", "r")
    end = time.monotonic() + SECONDS
    while counter.times("two") == 0 and time.monotonic() < end:
        time.sleep(0.05)  # the cell that it is in tells nobody but the file
    assert counter.times("two") == 1, "it is in the middle of its second cell"
    killed.kill()
    killed.communicate(timeout=SECONDS)
    with open_store(store_url) as store:
        lease = store.leases.get(store.runs.find("r").id)
        assert lease is not None
        os.kill(lease.holder.pid, signal.SIGKILL)  # (alive, it would be taken over as it is)
        wait_until(lambda: is_gone(lease.holder), "the end of its kernel")
    said = meet([start("evercell", "resume", "r") for _ in range(2)], gate)
    assert "Run r is executed by" in said and "evercell cancel r" in said
    assert counter.words() == ["one", "two", "two"]


def test_other_parameters_at_once_are_two_runs(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path
) -> None:
    notebook(tmp_path, counter, gate)
    gate.open()
    both = [start("evercell", "run", "in.ipynb", f"{n}.ipynb", "-p", "n", f"{n}") for n in (1, 2)]
    for process in both:
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors
    assert counter.times("one") == counter.times("two") == 2


def test_two_kernels_that_load_at_once_do_not_both_make_a_run(
    new_kernel: Callable[..., Kernel], counter: Counter, store_url: str
) -> None:
    kernels = [new_kernel(load=False) for _ in range(2)]
    for kernel in kernels:
        assert "the first %%step starts a run" in kernel.run("%load_ext evercell").text
    cell = f"%%step one\n{counter.cell('one')}\nx = 1"
    first = kernels[0].run(cell)
    second = kernels[1].run(cell)
    assert first.status == "ok" and "LeaseHeld" in second.error and "%evercell takeover" in second.error
    assert counter.words() == ["one"]
    kernels[0].shut_down()
    again = kernels[1].run(cell)
    assert again.status == "ok" and counter.words() == ["one"], "it goes on with the run that there is"
    assert kernels[1].value("x") == 1
    with open_store(store_url) as store:
        assert len(store.runs.all()) == 1
