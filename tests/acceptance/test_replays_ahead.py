"""A resumed notebook's replays are asked for together: what comes of them is as if each cell had been run by itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from evercell.headless.runner_mark import Place, RunnerMark
from tests.commands import run_command
from tests.conftest import Counter

pytestmark = pytest.mark.kernel

CELLS: dict[str, str] = {
    "text": "import sys\nprint('a'); print('b', file=sys.stderr); print('c')",
    "value": "{'x': [1, 2]}",
    "again": "_['x'].append(3)\n_",
    "picture": "from IPython.display import HTML, display\nhandle = display(HTML('<b>one</b>'), display_id=True)\n1",
    "updated": "handle.update(HTML('<b>two</b>'))",
    "cleared": "from IPython.display import clear_output\nprint('gone')\nclear_output(wait=True)\nprint('stays')",
    "retried": "%%step retried --retries 1\n"
    "if not hasattr(sys, 'tried'):\n    sys.tried = 1\n    raise ValueError('no')\n'yes'",
    "unkept": "import threading\nlock = threading.Lock()\nprint('made')",
    "empty": "",
    "nothing": "total = 0",
    "magic": "%precision 3\ntotal + 0.123456",
    "counted": "In[-2][:5], len(Out) > 1",
    "function": "def double(n):\n    return 2 * n\nprint(double(21))",
    "long": "for n in range(300): print(n)",
}


@pytest.fixture
def folder(tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder: Path, sources: list[str], *, last: str, setup: int | None = None) -> None:
    cells: list[Any] = []
    for number, source in enumerate([*sources, last]):
        cells.append(nbformat.v4.new_markdown_cell(f"Cell {number}", id=f"m{number}"))
        cells.append(nbformat.v4.new_code_cell(source, id=f"c{number}"))
        if number == setup:
            cells[-1].metadata["tags"] = ["evercell-setup"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "in.ipynb")


def shown(folder: Path) -> list[tuple[str, Any, Any]]:
    """Source, outputs and number of the code cells but the last one, without marks and remarks of ours."""
    cells = nbformat.read(folder / "in.out.ipynb", as_version=4).cells
    cells = [cell for cell in cells if cell.cell_type == "code"]
    for cell in cells:
        cell.outputs = [
            o for o in cell.outputs if not (o.get("metadata", {}).pop("evercell", {}).get("note"))
        ]
    return [(cell.source, cell.outputs, cell.execution_count) for cell in cells[:-1]]


def fates(folder: Path) -> list[str]:
    cells = nbformat.read(folder / "in.out.ipynb", as_version=4).cells
    return [
        str(cell.metadata.get("evercell", {}).get("status", "")) for cell in cells if cell.cell_type == "code"
    ]


def test_what_is_replayed_together_is_as_if_each_cell_had_been_run(folder: Path) -> None:
    names = [*CELLS]
    write(
        folder,
        [CELLS[name] for name in names],
        last="raise ValueError('not yet')",
        setup=names.index("function"),
    )
    first = run_command("run", "in.ipynb", "--name", "r")
    assert "ValueError" in first.stderr, first.stderr
    executed = shown(folder)
    again = run_command("resume", "r")
    assert "ValueError" in again.stderr, again.stderr
    assert set(fates(folder)[:-1]) <= {"replayed", ""}, fates(folder)
    for replayed, ran in zip(shown(folder), executed, strict=True):
        assert replayed == ran


def test_what_changed_between_others_is_executed_and_what_does_not_hang_on_it_is_replayed(
    folder: Path, counter: Counter
) -> None:
    cells = [f"{counter.cell(f'n{n}')}\na{n} = {n}\nprint(a{n})" for n in range(12)]
    cells[8] = f"{counter.cell('n8')}\na8 = a4 + 4\nprint(a8)"
    write(folder, cells, last="raise ValueError('not yet')")
    run_command("run", "in.ipynb", "--name", "r")
    cells[4] = f"{counter.cell('n4')}\na4 = 40\nprint(a4)"
    write(folder, cells, last="sum([a4, a8, a11])")
    assert run_command("resume", "r").returncode == 0
    assert counter.words() == [*(f"n{n}" for n in range(12)), "n4", "n8"]
    assert fates(folder) == [
        *["replayed"] * 4,
        "completed",
        *["replayed"] * 3,
        "completed",
        *["replayed"] * 3,
        "completed",
    ]
    last = nbformat.read(folder / "in.out.ipynb", as_version=4).cells[-1]
    assert last.outputs[0]["data"]["text/plain"] == "95"
    assert last.execution_count == 13


KILLS = """
class Deadly:
    def __getstate__(self):
        return {{'x': 1}}
    def __setstate__(self, state):
        import os, pathlib, signal
        flag = pathlib.Path({flag!r})
        if flag.exists():
            whom = int(flag.read_text()) or os.getpid()
            flag.unlink()
            os.kill(whom, signal.SIGKILL)
deadly = Deadly()
"""


@pytest.mark.parametrize("whom", ["kernel", "runner"])
def test_what_is_killed_in_the_middle_of_replays_costs_no_step_its_place(
    folder: Path, counter: Counter, whom: str
) -> None:
    flag = folder / "flag"
    cells = [f"{counter.cell(f'n{n}')}\na{n} = {n}" for n in range(8)]
    cells[4] += KILLS.format(flag=str(flag))
    write(folder, cells, last="raise ValueError('not yet')")
    run_command("run", "in.ipynb", "--name", "r")
    write(folder, cells, last=f"{counter.cell('last')}\nsum([a0, a3, a7])")
    command = [str(Path(sys.executable).with_name("evercell")), "resume", "r"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        flag.write_text(f"{process.pid if whom == 'runner' else 0}")
        _, told = process.communicate(timeout=120)
    if whom == "kernel":
        assert "kernel died" in told, told
    else:
        assert process.returncode == -signal.SIGKILL
        assert run_command("resume", "r").returncode == 0
    assert not flag.exists()
    assert counter.words() == [*(f"n{n}" for n in range(8)), "last"]
    assert fates(folder) == [*["replayed"] * 8, "completed"]
    assert run_command("verify").returncode == 0


def test_a_process_killed_among_replays_leaves_no_place_to_go_on_from(tmp_path: Path) -> None:
    """The kernel may be at any of the cells that were asked for: whoever comes next begins with a new one."""
    mark = RunnerMark.take(tmp_path / "kernel.runner", is_new=True)
    assert mark is not None
    mark.note(Place(cell=7, seen=100))
    assert mark.place == Place(cell=7, seen=100)
    mark.forget()
    assert mark.place is None
    mark.let_go()
    another = RunnerMark.take(tmp_path / "kernel.runner")
    assert another is not None
    assert another.place is None
    another.remove()
