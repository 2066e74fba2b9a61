"""Verbs that wait, in real cells: plain ones in plain cells, their twins where a cell or a coroutine awaits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run_program
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

NewKernel = Callable[..., Kernel]

PRELUDE = """
import asyncio, evercell, threading
def helper():
    evercell.sleep(0.01)
    return 'slept'
async def coroutine():
    return helper()
async def patient():
    await evercell.aio.sleep(0.01)
    return 'slept'
def in_thread():
    got = []
    thread = threading.Thread(target=lambda: got.append(helper()))
    thread.start(); thread.join()
    return got[0]
class Shown:
    def _repr_html_(self):
        return helper()
"""

FINE = {
    "plain": "x = helper()",
    "under %%time": "%%time\nx = helper()",
    "in a thread": "x = in_thread()",
    "in a callback": "x = sorted([1], key=lambda n: helper())[0] and 'slept'",
    "while it is displayed": "x = 'slept'\nShown()",
    "in a script": "%run -i script.py",
    "top-level await": "x = await patient()",
    "a task": "x = await asyncio.create_task(patient())",
    "gather": "x = (await asyncio.gather(patient(), patient()))[0]",
    "a time limit": "x = await asyncio.wait_for(patient(), 20)",
    "a thread beside a cell that awaits": "x = await asyncio.to_thread(helper)",
}

HELD_UP = {
    "in a cell that awaits": "await asyncio.sleep(0)\nhelper()",
    "in a cell that awaits below": "helper()\nawait asyncio.sleep(0)",
    "in a coroutine": "await coroutine()",
    "in gather": "await asyncio.gather(evercell.sleep(1), patient())",
    "in a task": "await asyncio.create_task(coroutine())",
    "awaited": "await evercell.sleep(1)",
    "in a script of a cell that awaits": "await asyncio.sleep(0)\n%run -i script.py",
    "while it is displayed": "await asyncio.sleep(0)\nShown()",
}


@pytest.fixture
def kernel(new_kernel: NewKernel, tmp_path: Path) -> Kernel:
    (tmp_path / "script.py").write_text("x = helper()\n")
    started = new_kernel()
    assert started.run(PRELUDE).status == "ok"
    return started


@pytest.mark.parametrize("header", ["%%step a\n", ""], ids=["step", "plain"])
def test_what_waits_where_it_may(kernel: Kernel, header: str) -> None:
    for number, (where, source) in enumerate(FINE.items()):
        named = header.replace("a", f"a{number}")
        shown = kernel.run(f"{named}{source}")
        assert shown.status == "ok" and kernel.value("x") == "slept", f"{where}: {shown.error}"


@pytest.mark.parametrize("header", ["%%step a\n", ""], ids=["step", "plain"])
def test_what_would_hold_up_the_kernel_says_what_to_type(kernel: Kernel, header: str) -> None:
    for number, (where, source) in enumerate(HELD_UP.items()):
        shown = kernel.run(f"{header.replace('a', f'a{number}')}{source}")
        assert "UsageError" in shown.error, where
        assert "await evercell.aio.sleep(...)" in shown.error and "would hold up" in shown.error, where
        assert "Traceback" not in shown.error


@pytest.mark.parametrize("how", ["the cell", "a call"])
def test_an_approval_before_what_awaits_does_not_hold_up_the_kernel(
    kernel: Kernel, tmp_path: Path, store_url: str, how: str
) -> None:
    """Another task goes on while somebody decides."""
    ticks = tmp_path / "ticks"
    kernel.run(
        "async def tick():\n    while True:\n"
        f"        with open({str(ticks)!r}, 'a') as file: file.write('x')\n        await asyncio.sleep(0.01)\n"
        "task = asyncio.create_task(tick())\nawait asyncio.sleep(0)\n"
        "@evercell.step(approve=True)\nasync def send(to):\n    return to\n"
    )
    asked: list[int] = []

    def decide(kind: str, content: dict[str, Any]) -> None:
        if kind not in ("comm_open", "display_data") or asked or "note" in str(content.get("metadata")):
            return
        asked.append(before := ticks.stat().st_size)
        end = time.monotonic() + 60
        while ticks.stat().st_size < before + 5:
            assert time.monotonic() < end, "the kernel's loop is held up"
            time.sleep(0.01)
        command = [str(Path(sys.executable).with_name("evercell")), "--store", store_url, "approve", "nb-1"]
        done = run_program(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    cell = (
        "%%approve send Send it?\nawait asyncio.sleep(0)\nx = 'ann'"
        if how == "the cell"
        else "%%step a\nx = await send('ann')"
    )
    shown = kernel.run(cell, on_message=decide)
    assert shown.status == "ok" and asked, shown.error
    assert kernel.value("x") == "ann"
    kernel.run("task.cancel()")


def test_a_rejected_cell_that_awaits_is_not_executed(kernel: Kernel, store_url: str) -> None:
    rejected: list[bool] = []

    def reject(kind: str, content: dict[str, Any]) -> None:
        if kind == "comm_open" and not rejected:
            rejected.append(True)
            command = [
                str(Path(sys.executable).with_name("evercell")),
                "--store",
                store_url,
                "reject",
                "nb-1",
            ]
            run_program(command, capture_output=True, timeout=60, check=False)

    shown = kernel.run("%%approve send Send it?\nawait asyncio.sleep(0)\nx = 'sent'", on_message=reject)
    assert "Rejected" in shown.error and kernel.value("'x' in globals()") is False


def test_an_interrupt_while_a_cell_that_awaits_is_asked_about_ends_it(kernel: Kernel) -> None:
    def interrupt(kind: str, content: dict[str, Any]) -> None:
        if kind == "comm_open":
            kernel.interrupt()

    shown = kernel.run("%%approve send Send it?\nawait asyncio.sleep(0)\nx = 'sent'", on_message=interrupt)
    assert shown.status == "error" and kernel.value("'x' in globals()") is False
    assert kernel.run("%%step after\ny = 1").status == "ok"
