"""Runners that are killed, with their kernels or without them: whoever starts the same run again goes on with it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil

from bench.faults.chaos import home_of_its_own
from bench.faults.stores import FaultyStore
from evercell.core.statuses import RunStatus
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.waiting import wait_until

_BIN = Path(sys.executable).parent
_CELLS = 6
_CELL = (
    "import time\nopen('effects', 'a').write('begun{n}\\n')\nmade_{n} = {n}\ntime.sleep({seconds})\n"
    "open('effects', 'a').write('ended{n}\\n')\nprint('cell', {n})"
)
_KILLS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
_ENDS = frozenset((0, 75, 130, 143, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT))
"""What a command may end with that was killed, told to end, or finds the run in other hands."""


@dataclass
class _Report:
    runs: int = 0
    commands: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    again: int = 0
    problems: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        done = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return [
            f"{self.runs} runs, {self.commands} commands; {done}; cells begun again: {self.again}",
            *self.problems,
        ]


def runners(store: FaultyStore, *, runs: int, kills: int, seed: int) -> tuple[bool, list[str]]:
    """Start each of ``runs`` notebooks again and again under one key, and kill what executes it ``kills`` times."""
    chance, report = random.Random(seed), _Report()
    with home_of_its_own() as folder:
        runtime = folder / "runtime"
        environ = {
            **os.environ, "EVERCELL_STORE": store.url, "EVERCELL_ORPHAN_SECONDS": "2",
            "JUPYTER_RUNTIME_DIR": str(runtime),
        }  # fmt: skip
        for number in range(runs):
            place = folder / f"run{number}"
            place.mkdir()
            _Killed(place, {**environ, "EVERCELL_RUN_KEY": place.name}, chance, report).execute(kills)
        with open_workspace(resolve_settings(store.url)) as workspace:
            found = verify_store(workspace)
            report.problems += [f"{p.where}: {p.what}" for run in found.runs for p in run.problems]
            left = [run.name for run in workspace.store.runs.all() if run.status is not RunStatus.COMPLETED]
            report.problems += [f"run {name} did not complete" for name in left]
        wait_until(lambda: not _kernels(runtime), "the end of kernels that nobody drives")
    return not report.problems, report.lines()


def _kernels(runtime: Path) -> list[psutil.Process]:
    """Those whose connection files are in this folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word.startswith(str(runtime)) for word in words) and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


class _Killed:
    """One notebook, whose runners and kernels are killed."""

    def __init__(self, folder: Path, environ: dict[str, str], chance: random.Random, report: _Report) -> None:
        self._folder = folder
        self._environ = environ
        self._chance = chance
        self._report = report
        self._kernels_killed = 0
        cells = [_CELL.format(n=n, seconds=chance.choice([0, 0.1, 0.4])) for n in range(_CELLS)]
        spec = {"name": "python3", "display_name": "python3"}
        notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(notebook, folder / "in.ipynb")

    def execute(self, kills: int) -> None:
        """Kill it so often, and let it come to its end then."""
        self._report.runs += 1
        for _ in range(kills):
            self._command(self._chance.uniform(0.5, 5))
        code, said = self._command(None)
        if code != 0:
            self._report.problems.append(f"{self._folder.name}: the last command ended with {code}: {said}")
        self._look()

    def _command(self, seconds: float | None) -> tuple[int, str]:
        """One command, killed after so many seconds; None: it may come to its end."""
        self._report.commands += 1
        command = [
            str(_BIN / "papermill"),
            "in.ipynb",
            "out.ipynb",
            "--engine",
            "evercell",
            "--no-progress-bar",
        ]
        process = subprocess.Popen(
            command, cwd=self._folder, env=self._environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        try:
            _, said = process.communicate(timeout=seconds or 300)
        except subprocess.TimeoutExpired:
            said = self._kill(process)
        if process.returncode not in _ENDS and "Aborted" not in said:  # Ctrl-C before we are imported
            self._report.problems.append(f"{self._folder.name}: ended with {process.returncode}: {said}")
        return process.returncode, said

    def _kill(self, process: subprocess.Popen[str]) -> str:
        kernels = _kernels(Path(self._environ["JUPYTER_RUNTIME_DIR"]))
        if kernels and self._chance.random() < 0.25:
            with suppress(psutil.NoSuchProcess):
                kernels[-1].kill()
                self._kernels_killed += 1
                self._report.faults["kernel SIGKILL"] += 1
        signum = self._chance.choice(_KILLS)
        self._report.faults[f"runner {signum.name}"] += 1
        process.send_signal(signum)
        return process.communicate(timeout=60)[1]

    def _look(self) -> None:
        effects = Counter((self._folder / "effects").read_text().split())
        self._report.again += sum(effects[f"begun{n}"] - 1 for n in range(_CELLS))
        for n in range(_CELLS):
            if not 1 <= effects[f"ended{n}"] <= 1 + self._kernels_killed:
                self._report.problems.append(
                    f"{self._folder.name}: cell {n} ended {effects[f'ended{n}']} times"
                )
        shown = nbformat.read(self._folder / "out.ipynb", as_version=4)
        texts = ["".join(output.get("text", "") for output in cell.outputs) for cell in shown.cells]
        if texts != [f"cell {n}\n" for n in range(_CELLS)]:
            self._report.problems.append(f"{self._folder.name}: the output notebook shows {texts}")
