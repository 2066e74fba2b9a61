"""What durability costs a headless notebook, beside plain papermill on the same machine at the same time.

    python -m bench.headless [--rounds 5] [--only start,rate,resume,cpu] [--json]

``start``   seconds from the command to the first cell's first line, of `papermill --engine evercell` and `papermill`.
``rate``    notebooks of three cells per minute, one command after the other in a shell's loop.
``resume``  seconds from `evercell resume` to the last of 200 cells, beside those that a kernel needs to come up.
``cpu``     the processor's time of all processes of a real notebook (150 cells, pandas and Matplotlib).

The two sides take turns, and figures are medians with their quotient: other programs on the machine slow both. Evercell
is compiled beforehand, as it is where pip installed it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nbformat
from jupyter_client.manager import start_new_kernel

from bench import compile_package

BIN = Path(sys.executable).parent
REAL = Path(__file__).parent.parent / "tests" / "notebooks" / "others" / "tools_pandas.ipynb"
CELLS = 200
STAMP = "import time, pathlib\npathlib.Path({!r}).write_text(str(time.time()))"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="start,rate,resume,cpu")
    parser.add_argument("--json", action="store_true")
    words = parser.parse_args()
    compile_package()
    figures = {}
    for name in words.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["EVERCELL_STORE"] = f"{folder}/store.db"
            figures[name] = MEASURES[name](Path(folder), words.rounds)
        if not words.json:
            print(
                f"{name:8}",
                "  ".join(f"{key} {value:.2f}" for key, value in figures[name].items()),
                flush=True,
            )
    if words.json:
        print(json.dumps(figures, indent=2))


def start(folder: Path, rounds: int) -> dict[str, float]:
    """Until the first line of the first cell."""
    stamp = folder / "stamp"
    _write(folder / "in.ipynb", [STAMP.format(str(stamp)), "x = 1"])

    def once(*engine: str) -> float:
        began = time.time()
        _papermill(folder, *engine)
        return float(stamp.read_text()) - began

    return _compared(rounds, once)


def rate(folder: Path, rounds: int) -> dict[str, float]:
    """Runs per minute: ``quotient`` is that of ours to plain ones."""
    _write(folder / "in.ipynb", ["rows = list(range(1000))", "total = sum(rows)", "print(total)"])

    def once(*engine: str) -> float:
        began = time.time()
        _papermill(folder, *engine)
        return time.time() - began

    seconds = _compared(rounds, once)
    return {
        "plain": 60 / seconds["plain"],
        "evercell": 60 / seconds["evercell"],
        "quotient": seconds["plain"] / seconds["evercell"],
    }


def resume(folder: Path, rounds: int) -> dict[str, float]:
    """Until the last cell of many begins, the others being replayed."""
    stamp = folder / "stamp"
    cells = [f"rows_{n} = list(range({n}, {n} + 50))\nprint(rows_{n}[0])" for n in range(CELLS - 1)]
    _write(folder / "in.ipynb", [*cells, f"{STAMP.format(str(stamp))}\nraise ValueError"])
    _run(folder, "evercell", "run", "in.ipynb", "--name", "r", "--quiet")
    resumed, kernels = [], []
    for _ in range(rounds):
        began = time.time()
        _run(folder, "evercell", "resume", "r", "--quiet")
        resumed.append(float(stamp.read_text()) - began)
        began = time.time()
        manager, client = start_new_kernel(kernel_name="python3")
        client.execute_interactive("1", output_hook=lambda _: None)
        kernels.append(time.time() - began)
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    ours, kernel = statistics.median(resumed), statistics.median(kernels)
    return {"kernel": kernel, "evercell": ours, "quotient": ours / kernel}


def cpu(folder: Path, rounds: int) -> dict[str, float]:
    """Of the command and its kernel together, user and system."""
    (folder / "in.ipynb").write_bytes(REAL.read_bytes())
    return _compared(rounds, lambda *engine: _papermill(folder, *engine))


MEASURES: dict[str, Callable[[Path, int], dict[str, float]]] = {
    "start": start, "rate": rate, "resume": resume, "cpu": cpu,
}  # fmt: skip


def _compared(rounds: int, once: Callable[..., float]) -> dict[str, float]:
    once(), once("--engine", "evercell")  # files are read for the first time
    plain, ours = [], []
    for _ in range(rounds):
        plain.append(once())
        ours.append(once("--engine", "evercell"))
    a, b = statistics.median(plain), statistics.median(ours)
    return {"plain": a, "evercell": b, "quotient": b / a}


def _papermill(folder: Path, *engine: str) -> float:
    """The processor's time of a command that executes the notebook."""
    return _run(folder, "papermill", "in.ipynb", "out.ipynb", "-k", "python3", "--no-progress-bar", *engine)


def _run(folder: Path, *words: str) -> float:
    process = subprocess.Popen(
        [str(BIN / words[0]), *words[1:]], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return usage.ru_utime + usage.ru_stime


def _write(path: Path, cells: list[str]) -> None:
    spec = {"name": "python3", "display_name": "python3"}
    made = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    made.cells = [nbformat.v4.new_code_cell(source) for source in cells]
    nbformat.write(made, path)


if __name__ == "__main__":
    main()
