"""P4: ``%inspect`` and ``evercell inspect`` say what a checkpoint holds; callbacks beside cells are seen."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.commands import run_program
from tests.kernels import Kernel

NewKernel = Callable[..., Kernel]

CELL = """%%step make
import numpy as np, threading
big = np.zeros((300, 400))
row = big[2]
rows = [big, 1]
lock = threading.Lock()
gen = (i for i in [1])
"""


def test_inspect_tells_type_size_sharing_origin_and_what_is_not_saved(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(CELL)
    kernel.run("%%step change\nbig[0, 0] = 1")
    table = kernel.run("%inspect").text
    lines = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    assert "numpy.ndarray  300 x 400" in lines["big"] and "960 kB" in lines["big"]
    assert "row, rows" in lines["big"] and lines["big"].split()[-1] == "saved" and " change " in lines["big"]
    assert "rebuilt (lock)" in lines["lock"] and " make " in lines["lock"]
    assert "not saved" in lines["gen"] and "suspended code" in lines["gen"] and "keep a list" in lines["gen"]
    assert " make " in kernel.run("%inspect make").text.splitlines()[2]
    assert "no step of this run, no run and no tag 'mak'" in kernel.run("%inspect mak").error
    assert "Did you mean 'make'?" in kernel.run("%inspect mak").error


def test_inspect_in_a_terminal(new_kernel: NewKernel, store_url: str) -> None:
    kernel = new_kernel()
    kernel.run(CELL)
    command = [str(Path(sys.executable).with_name("evercell")), "--store", store_url, "inspect"]
    done = run_program(
        [*command, "nb-1@make", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200"},
    )
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["big"]["shape"] == "300 x 400" and rows["big"]["shares_with"] == ["row", "rows"]
    assert rows["lock"]["kept"] == "rebuilt (lock)"
    table = run_program(
        [*command, "nb-1"], capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"}
    )
    assert "numpy.ndarray" in table.stdout
    missing = run_program(
        [*command, "nb-9"], capture_output=True, text=True, timeout=60, env={**os.environ, "COLUMNS": "200"}
    )
    assert missing.returncode == 1 and "nb-1" in missing.stderr


def test_what_a_comm_message_changes_is_saved_by_the_next_step(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(
        "%%step make\nclicks = []\nfrom comm import get_comm_manager\n"
        "def opened(comm, message):\n    comm.on_msg(lambda m: clicks.append(m['content']['data']))\n"
        "get_comm_manager().register_target('clicks', opened)"
    )
    kernel.send_comm("clicks", {"n": 1})
    shown = kernel.run("%%step other\ny = 1")
    assert shown.status == "ok"
    assert kernel.value("clicks") == [{"n": 1}]
    kernel.kill()
    second = new_kernel()
    second.run("%resume")
    assert second.value("clicks") == [{"n": 1}]


def test_what_a_task_changes_beside_the_cells_is_saved_by_the_next_step(new_kernel: NewKernel) -> None:
    kernel = new_kernel()
    kernel.run(
        "%%step make\nimport asyncio\nlate, go, done = [], [], asyncio.Event()\nasync def work():\n"
        "    while not go:\n        await asyncio.sleep(0.01)\n"
        "    late.append(1)\n    done.set()\n_task = asyncio.create_task(work())"
    )
    assert kernel.value("late") == []
    kernel.run("go.append(1)\nflag = done")
    kernel.run("await flag.wait()")
    kernel.run("%%step other\ny = 1")
    kernel.kill()
    second = new_kernel()
    second.run("%resume")
    assert second.value("late") == [1]
