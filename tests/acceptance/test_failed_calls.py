"""P11 for durable calls that fail or are interrupted: the user's own frames, what is kept, one line for each retry."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run_program
from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

NewKernel = Callable[..., Kernel]

PRELUDE = """
import asyncio, evercell, json, sqlalchemy, time, types
from concurrent.futures import ThreadPoolExecutor
from evercell.core.errors import StepTimeout
@evercell.step
def act(n):
    return 1 / n  # the line at fault
@evercell.step
async def aact(n):
    await asyncio.sleep(0)
    return 1 / n  # the line at fault
@evercell.step
def outer(n):
    return act(n)
@evercell.step(retries=1, backoff=0)
def tried_twice(n):
    return 1 / n  # the line at fault
@evercell.step(timeout=0.05)
def hangs():
    time.sleep(30)  # the line at fault
@evercell.step(timeout=0.05)
async def ahangs():
    await asyncio.sleep(30)  # the line at fault
@evercell.step
def waits():
    print('waiting')
    time.sleep(30)  # the line at fault
@evercell.step
async def awaits():
    print('waiting')
    for _ in range(300):
        await asyncio.sleep(0.1)  # the line at fault
engine = sqlalchemy.create_engine("sqlite://")
@evercell.transaction(engine)
def save(connection, n):
    return 1 / n  # the line at fault
def create(model, messages):
    return 1 / len(messages)  # the line at fault
client = evercell.record(types.SimpleNamespace(messages=types.SimpleNamespace(create=create)))
def chained():
    try:
        act(0)
    except ZeroDivisionError as error:
        raise LookupError('chained') from error
async def in_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(aact(0))
class Pickled:
    def __reduce__(self):
        return 1 / 0
@evercell.step
def makes():
    return Pickled()
"""

FAILING = {
    "a call": ("act(0)", "ZeroDivisionError"),
    "a call of a coroutine": ("await aact(0)", "ZeroDivisionError"),
    "a call in a call": ("outer(0)", "ZeroDivisionError"),
    "the last of several tries": ("tried_twice(0)", "ZeroDivisionError"),
    "map": ("evercell.map(act, [1, 0], progress=False)", "ZeroDivisionError"),
    "aio.map": ("await evercell.aio.map(aact, [1, 0], progress=False)", "ZeroDivisionError"),
    "aio.map in threads": ("await evercell.aio.map(act, [1, 0], progress=False)", "ZeroDivisionError"),
    "gather": ("await evercell.aio.gather(aact(1), aact(0))", "ZeroDivisionError"),
    "a pool": ("with ThreadPoolExecutor(1) as pool:\n    pool.submit(act, 0).result()", "ZeroDivisionError"),
    "a chain": ("chained()", "LookupError"),
    "a group": ("await in_group()", "ExceptionGroup"),
    "a time limit": ("hangs()", "StepTimeout"),
    "a time limit of a coroutine": ("await ahangs()", "StepTimeout"),
    "a transaction": ("save(0)", "ZeroDivisionError"),
    "a request": ("client.messages.create(model='m', messages=[])", "ZeroDivisionError"),
    "a result that cannot be kept": ("makes()", "NotKept"),
}

OURS = re.compile(
    r"evercell/(engine|kernel_ext|state|store|aio|transactions)|skipping hidden|concurrent/futures"
)


@pytest.mark.parametrize("header", ["%%step a\n", ""], ids=["step", "plain"])
def test_a_failed_call_shows_the_users_own_frames(new_kernel: NewKernel, header: str) -> None:
    kernel = new_kernel()
    assert kernel.run(PRELUDE).status == "ok"
    for number, (what, (source, kind)) in enumerate(FAILING.items()):
        if header == "" and kind in ("StepTimeout", "NotKept"):
            continue
        shown = kernel.run(f"{header.replace('a', f'a{number}')}{source}")
        assert shown.status == "error" and kind in shown.error, f"{what}: {shown.error}"
        assert "# the line at fault" in shown.error or kind == "NotKept", f"{what}: {shown.error}"
        assert source.splitlines()[-1].strip() in shown.error, f"{what}: {shown.error}"
        found = OURS.search(shown.error) if what != "a pool" else None
        assert found is None, f"{what}: {shown.error}"


def test_a_librarys_function_shows_the_librarys_frames(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(PRELUDE)
    shown = kernel.run("%%step a\nevercell.call(json.loads, '{')")
    assert "json/decoder.py" in shown.error and not OURS.search(shown.error)


@pytest.mark.parametrize(
    ("source", "kind", "line"),
    [
        ("waits()", "KeyboardInterrupt", "# the line at fault"),
        ("await awaits()", "CancelledError", "# the line at fault"),
        ("print('waiting')\nevercell.sleep(30)", "KeyboardInterrupt", "evercell.sleep(30)"),
        (
            "print('waiting')\nevercell.wait_for('go')",
            "KeyboardInterrupt",
            "evercell.wait_for('go')",
        ),
        (
            "print('waiting')\nevercell.approve('Send?')",
            "KeyboardInterrupt",
            "evercell.approve('Send?')",
        ),
        (
            "evercell.map(lambda n: print('waiting') or time.sleep(1), [1])",
            "KeyboardInterrupt",
            "map(",
        ),
    ],
    ids=["call", "coroutine", "sleep", "wait_for", "approve", "map"],
)
def test_an_interrupted_call_shows_the_users_own_frames(
    new_kernel: NewKernel, source: str, kind: str, line: str
) -> None:
    kernel = new_kernel()
    kernel.run(PRELUDE)

    def interrupt(_: str, content: dict[str, Any]) -> None:
        """What is printed without a flush is sent a little later, by a thread of the kernel."""
        if "waiting" in content.get("text", ""):
            kernel.interrupt()

    shown = kernel.run(f"%%step a\n{source}", on_message=interrupt)
    assert kind in shown.error and line in shown.error, shown.error
    assert not OURS.search(shown.error) and "threading.py" not in shown.error, shown.error


COUNTED = """
import evercell
@evercell.step
def act(n):
    if n == int(open({fails!r}).read()): raise ValueError(n)
    return n
@evercell.step
def outer(n):
    return act(n) + act(n)
"""


@pytest.mark.parametrize(
    ("source", "fails", "kept"),
    [
        (
            "for n in range(30): act(n)",
            21,
            "21 of its calls are kept; run the cell again to go on at call 22",
        ),
        ("for n in range(3): act(n)", 1, "1 of its calls is kept; run the cell again to go on at call 2"),
        ("act(0)", 0, ""),
        ("x = 1 / 0", 99, ""),
        ("outer(1); act(2); act(5)", 5, "2 of its calls are kept; run the cell again to go on at call 3"),
        ("try: act(1)\nexcept ValueError: pass\nact(2); 1 / 0", 1, "2 of its calls are kept"),
        ("for n in range(9): evercell.now()\nact(1)", 1, "9 of its calls are kept"),
    ],
    ids=["many", "one", "none", "no calls", "inside of calls", "a failure that was handled", "moments"],
)
def test_a_failed_step_says_how_many_calls_are_kept(
    new_kernel: NewKernel, tmp_path: Path, source: str, fails: int, kept: str
) -> None:
    (tmp_path / "fails").write_text(str(fails))
    kernel = new_kernel()
    kernel.run(COUNTED.format(fails=str(tmp_path / "fails")))
    shown = kernel.run(f"%%step a\n{source}")
    assert shown.status == "error"
    assert (kept in shown.notes) if kept else ("kept" not in shown.notes)


def test_an_interrupted_step_says_so_too_and_goes_on_there(new_kernel: NewKernel, counter: Counter) -> None:
    kernel = new_kernel()
    kernel.run(
        "import evercell, time\n@evercell.step\ndef act(n):\n"
        f"    {counter.cell('act')}\n    print('call', n, flush=True)\n    time.sleep(30 * (n == 3))\n    return n"
    )

    def interrupt(_: str, content: dict[str, Any]) -> None:
        if "call 3" in content.get("text", ""):
            kernel.interrupt()

    cell = "%%step a\nfor n in range(5): act(n if n < 4 else 9)"
    shown = kernel.run(cell, on_message=interrupt)
    assert "3 of its calls are kept; run the cell again to go on at call 4" in shown.notes
    kernel.run("def sleep(seconds): pass\ntime.sleep = sleep")
    assert kernel.run(cell).status == "ok" and counter.times("act") == 6


def test_a_run_that_waits_without_a_kernel_speaks_of_no_kept_calls(tmp_path: Path, store_url: str) -> None:
    source = "import evercell\nevercell.now()\nevercell.wait_for('go')"
    cell = {
        "cell_type": "code",
        "id": "a",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    }
    notebook = {"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "nb.ipynb").write_text(json.dumps(notebook))
    command = [str(Path(sys.executable).with_name("evercell")), "--store", store_url, "run", "nb.ipynb"]
    done = run_program(
        [*command, "--wait-grace", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 75, done.stderr
    assert "kept" not in (tmp_path / "nb.out.ipynb").read_text()


# -- retries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raising",
    ["raise ValueError(f'try {n}\\nand more')", "raise ExceptionGroup('several', [ValueError(f'try {n}')])"],
    ids=["error", "group"],
)
def test_each_failed_attempt_is_one_line_and_the_last_a_traceback(
    new_kernel: NewKernel, counter: Counter, store_url: str, raising: str
) -> None:
    kernel = new_kernel()
    cell = (
        f"%%step a --retries 2 --backoff 10ms\n{counter.cell('try')}\n"
        f"n = len(open({str(counter.path)!r}).read().split())\n{raising}"
    )
    shown = kernel.run(cell)
    assert counter.times("try") == 3 and shown.status == "error"
    assert shown.kinds.count("error") == 1 and shown.error.count("Traceback") == 1
    assert "try 3" in shown.error and ("Cell In" in shown.error or "ipykernel" in shown.error)
    text = "".join(content["text"] for kind, content, _ in shown.messages if kind == "stream")
    lines = text.splitlines()
    assert len(lines) == 2, text
    for number, line in enumerate(lines, start=1):
        assert re.match(
            rf"\w+: (try {number}|several).*\(attempt {number} of 3 failed, trying again", line
        ), line
    attempts = _attempts(store_url)
    assert len(attempts) == 3 and all("raise" in "\n".join(attempt) for attempt in attempts), "all are kept"


def _attempts(store_url: str) -> list[list[str]]:
    """The tracebacks that are recorded of a step's attempts."""
    from evercell.store import open_store

    with open_store(store_url) as store:
        found = store.steps.attempts(store.runs.find("nb-1").id, step="a")
        return [list(attempt.error.traceback) for attempt in found if attempt.error is not None]


def test_an_interrupt_of_a_step_with_retries_is_no_failure_to_try_again(new_kernel: NewKernel) -> None:
    kernel = new_kernel()

    def interrupt(_: str, content: dict[str, Any]) -> None:
        if "waiting" in content.get("text", ""):
            kernel.interrupt()

    shown = kernel.run(
        "%%step a --retries 2\nimport time\nprint('waiting')\ntime.sleep(30)",
        on_message=interrupt,
    )
    assert "KeyboardInterrupt" in shown.error and "trying again" not in shown.text
