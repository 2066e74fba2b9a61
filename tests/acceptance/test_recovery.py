"""Nobody looks on: what a headless run does when its kernel, its runner or its disk goes away, or it is told to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from evercell.engine.holder import is_gone
from evercell.store import Store, open_store
from tests.acceptance.test_headless import BIN, texts, write
from tests.conftest import Counter
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel
SECONDS = 180
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts a command, and does not wait for it; neither it nor a kernel of it outlives the test."""
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    with opened(tmp_path):
        pass
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    started: list[subprocess.Popen[str]] = []

    def run(*words: str) -> subprocess.Popen[str]:
        command, pipe = [str(BIN / words[0]), *words[1:]], subprocess.PIPE
        process = subprocess.Popen(
            command, stdout=pipe, stderr=pipe, text=True, cwd=tmp_path, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    signal.signal(signal.SIGINT, before)
    with opened(tmp_path) as store:
        holders = [lease.holder for lease in store.leases.all().values()]
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=SECONDS)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
    for holder in holders:
        if not is_gone(holder):
            os.kill(holder.pid, signal.SIGKILL)


def opened(folder: Path) -> Store:
    return open_store(f"sqlite:///{folder / 'store.db'}")


def outcome(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code, and all that it wrote."""
    said, errors = process.communicate(timeout=SECONDS)
    assert "Traceback" not in errors, errors
    return process.returncode, said + errors


def finished(process: subprocess.Popen[str], code: int) -> str:
    """What it wrote, when it has ended with this exit code."""
    got, said = outcome(process)
    assert got == code, said
    return said


def kernel_of(folder: Path, name: str = "in-1") -> psutil.Process:
    with opened(folder) as store:
        lease = store.leases.get(store.runs.find(name).id)
    assert lease is not None
    return psutil.Process(lease.holder.pid)


def has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Gate:
    """A cell that counts itself, and then lasts until the test opens the gate."""

    def __init__(self, counter: Counter, word: str = "middle") -> None:
        self.path = counter.path.with_name("open")
        self.word = word
        self._counter = counter
        self.cell = (
            f"import pathlib, time\nprint('before')\n{counter.cell(word)}\nfor _ in range(4000):\n"
            f"    if pathlib.Path({str(self.path)!r}).exists(): break\n    time.sleep(0.05)\nprint('after')"
        )

    def wait_until_reached(self) -> None:
        wait_until(lambda: self._counter.times(self.word) > 0, "the cell in the middle")

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate(counter: Counter) -> Gate:
    return Gate(counter)


def marks(path: Path) -> list[tuple[str, str]]:
    """Of each cell what evercell and what papermill say of it."""
    found = nbformat.read(path, as_version=4).cells
    return [
        (c.metadata.get("evercell", {}).get("status", ""), c.metadata.papermill.status)
        for c in found
        if c.cell_type == "code"
    ]


# -- dead runners --------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["evercell", "papermill"])
def test_a_kernel_whose_runner_was_killed_is_taken_over_in_the_middle_of_its_cell(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path, way: str
) -> None:
    first = f"{counter.cell('first')}\nlive = (n for n in [7, 8])\nprint('first', next(live))"
    write(tmp_path / "in.ipynb", [first, gate.cell, f"{counter.cell('last')}\nprint('last', next(live))"])
    words = {
        "evercell": ("evercell", "run", "in.ipynb", "out.ipynb"),
        "papermill": ("papermill", "in.ipynb", "out.ipynb", "--engine", "evercell"),
    }[way]
    killed = start(*words)
    gate.wait_until_reached()
    kernel = kernel_of(tmp_path)
    killed.kill()
    killed.communicate(timeout=SECONDS)
    again = ("evercell", "resume", "in-1") if way == "evercell" else words
    both = [start(*again) for _ in range(2)]
    wait_until(lambda: any(process.poll() is not None for process in both), "the one that came second")
    assert kernel_of(tmp_path) == kernel and not has_ended(kernel), "the kernel is the same"
    gate.open()
    (code, told), (refused, said) = sorted(map(outcome, both))
    assert (code, refused) == (0, 1), said
    assert "is executed by" in said or "This is done already" in said
    if way == "evercell":
        assert "cell 1 of 3, cell-1: completed before" in told, "it took no time, for it was not executed now"
    assert counter.words() == ["first", "middle", "last"], "the cell that ran never noticed"
    assert texts(tmp_path / "out.ipynb") == ["first 7\n", "before\nafter\n", "last 8\n"]
    assert marks(tmp_path / "out.ipynb") == [("completed", "completed")] * 3
    wait_until(lambda: has_ended(kernel), "the end of the kernel")
    with opened(tmp_path) as store:
        store.journal.verify(store.runs.find("in-1").id)


def test_a_kernel_that_nobody_takes_over_ends_when_its_cell_is_saved_and_the_run_goes_on(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_ORPHAN_SECONDS", "1")
    write(tmp_path / "in.ipynb", [f"{counter.cell('first')}\nx = [1]", gate.cell, "print('last', x)"])
    killed = start("evercell", "run", "in.ipynb")
    gate.wait_until_reached()
    kernel = kernel_of(tmp_path)
    killed.kill()
    gate.open()
    wait_until(lambda: has_ended(kernel), "the end of a kernel without a runner")
    with opened(tmp_path) as store:
        run = store.runs.find("in-1")
        assert store.leases.get(run.id) is None and run.status == "running", "it is to go on"
    finished(start("evercell", "resume", "in-1"), 0)
    assert counter.words() == ["first", "middle"]
    assert texts(tmp_path / "in.out.ipynb") == ["", "before\nafter\n", "last [1]\n"]


# -- told to end ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_a_runner_that_is_told_to_end_leaves_a_resumable_run_and_says_so(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path, signum: int, code: int
) -> None:
    first = f"{counter.cell('first')}\nx = [1]\nprint(x)"
    write(tmp_path / "in.ipynb", [first, gate.cell, "print('last', x)"])
    running = start("evercell", "run", "in.ipynb", "--json")
    gate.wait_until_reached()
    kernel = kernel_of(tmp_path)
    running.send_signal(signum)
    assert "evercell resume in-1" in finished(running, code)
    assert has_ended(kernel), "the kernel has ended with it"
    out = tmp_path / "in.out.ipynb"
    assert marks(out) == [("completed", "completed"), ("interrupted", "pending"), ("", "pending")]
    made = nbformat.read(out, as_version=4)
    assert made.metadata.evercell.status == "paused" and made.metadata.evercell.ended_by == signum
    assert made.metadata.papermill.exception is None, "it is no failure"
    with opened(tmp_path) as store:
        assert not store.leases.all() and store.runs.find("in-1").status == "paused"
    gate.open()
    finished(start("evercell", "resume", "in-1"), 0)
    assert counter.words() == ["first", "middle", "middle"]
    assert texts(out) == ["[1]\n", "before\nafter\n", "last [1]\n"]


def test_a_cell_that_hears_of_no_interrupt_is_ended_all_the_same_and_a_second_ctrl_c_ends_at_once(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path
) -> None:
    deaf = f"import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n{gate.cell}"
    write(tmp_path / "in.ipynb", [f"{counter.cell('first')}\nx = 1", deaf])
    running = start("evercell", "run", "in.ipynb")
    gate.wait_until_reached()
    running.send_signal(signal.SIGTERM)
    finished(running, 143)
    with opened(tmp_path) as store:
        assert store.runs.find("in-1").status == "paused" and not store.leases.all()
    again = start("evercell", "resume", "in-1")
    wait_until(lambda: counter.times("middle") == 2, "the cell again")
    kernel = kernel_of(tmp_path)
    again.send_signal(signal.SIGINT)
    wait_until(lambda: again.poll() is not None or (again.send_signal(signal.SIGINT) or False), "its end")
    assert "evercell resume in-1" in finished(again, 130)
    wait_until(lambda: has_ended(kernel), "the end of the kernel")
    assert counter.words() == ["first", "middle", "middle"]


def test_runner_and_kernel_that_are_told_to_end_at_once_leave_a_resumable_run(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path
) -> None:
    """As where a service is stopped: all of its processes get SIGTERM."""
    write(tmp_path / "in.ipynb", [f"{counter.cell('first')}\nx = 1", gate.cell])
    running = start("evercell", "run", "in.ipynb")
    gate.wait_until_reached()
    for process in (kernel_of(tmp_path), running):
        process.send_signal(signal.SIGTERM)
    finished(running, 143)
    with opened(tmp_path) as store:
        assert store.runs.find("in-1").status == "paused" and not store.leases.all()


def test_a_cancelled_run_is_told_apart_from_one_that_failed(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path
) -> None:
    write(tmp_path / "in.ipynb", [f"{counter.cell('first')}\nx = 1", gate.cell, "print('last')"])
    running = start("papermill", "in.ipynb", "in.out.ipynb", "--engine", "evercell")
    gate.wait_until_reached()
    finished(start("evercell", "cancel", "in-1"), 0)
    assert "run in-1 was cancelled" in finished(running, 3)
    made = nbformat.read(tmp_path / "in.out.ipynb", as_version=4)
    assert made.metadata.evercell.status == "cancelled"
    assert marks(tmp_path / "in.out.ipynb")[1:] == [("interrupted", "pending"), ("", "pending")]


# -- keys ----------------------------------------------------------------------------------------


def test_a_second_start_with_a_key_follows_the_first_and_a_third_tells_what_came_of_it(
    start: Start, counter: Counter, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in.ipynb", [f"{counter.cell('first')}\nx = 1", gate.cell])
    words = ("evercell", "run", "in.ipynb", "--run-key", "nightly-2026-11-20", "-p", "n", "1")
    first = start(*words)
    gate.wait_until_reached()
    assert "is executed by" in finished(start(*words, "--no-follow"), 75)
    second = start(*words, "--json")
    assert second.stderr is not None and "Following it" in second.stderr.readline()
    said = finished(start(*words[:-1], "2"), 2)
    assert "n = 1" in said and "n = 2" in said and "evercell branch in-1" in said
    gate.open()
    finished(first, 0)
    report = json.loads(second.communicate(timeout=SECONDS)[0])
    assert second.returncode == 0 and report["name"] == "in-1" and report["key"] == "nightly-2026-11-20"
    assert "in-1 completed" in finished(start(*words), 0)
    monkeypatch.setenv("EVERCELL_RUN_KEY", "nightly-2026-11-20")
    papermill = ("papermill", "in.ipynb", "in.out.ipynb", "--engine", "evercell", "-p", "n", "1")
    assert "nothing is executed again" in finished(start(*papermill), 0)
    assert counter.words() == ["first", "middle"]
    with opened(tmp_path) as store:
        assert len(store.runs.all()) == 1


def test_a_runner_that_is_killed_when_its_run_is_over_leaves_all_outputs_and_the_next_start_the_end(
    start: Start, counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        tmp_path / "in.ipynb",
        [f"{counter.cell('first')}\nprint('one')", f"{counter.cell('last')}\nprint('two')"],
    )
    monkeypatch.setenv("EVERCELL_RUN_KEY", "nightly")
    papermill = ("papermill", "in.ipynb", "in.out.ipynb", "--engine", "evercell")
    monkeypatch.setenv("EVERCELL_FAULT", "before_last_save")
    finished(start(*papermill), -signal.SIGKILL)
    assert texts(tmp_path / "in.out.ipynb") == ["one\n", "two\n"]
    monkeypatch.delenv("EVERCELL_FAULT")
    assert "nothing is executed again" in finished(start(*papermill), 0)
    made = nbformat.read(tmp_path / "in.out.ipynb", as_version=4)
    assert made.metadata.evercell.status == "completed"
    assert texts(tmp_path / "in.out.ipynb") == ["one\n", "two\n"]
    assert counter.words() == ["first", "last"]


# -- the disk ------------------------------------------------------------------------------------


def test_an_output_notebook_that_cannot_be_written_any_more_costs_no_run(
    start: Start, counter: Counter, tmp_path: Path
) -> None:
    """As on a full disk: the folder of the output takes nothing from the first cell on."""
    folder = tmp_path / "away"
    folder.mkdir()
    fill = f"import os\n{counter.cell('fill')}\nos.rename({str(folder)!r}, {str(folder) + '.gone'!r})"
    write(tmp_path / "in.ipynb", [fill, f"{counter.cell('last')}\nprint('last')"])
    said = finished(start("evercell", "run", "in.ipynb", "away/out.ipynb"), 74)
    assert "cannot be written" in said and "The run goes on" in said and "evercell export in-1" in said
    assert counter.words() == ["fill", "last"]
    with opened(tmp_path) as store:
        assert store.runs.find("in-1").status == "completed"
    finished(start("evercell", "export", "in-1", "saved.ipynb"), 0)
    assert texts(tmp_path / "saved.ipynb")[1] == "last\n"
