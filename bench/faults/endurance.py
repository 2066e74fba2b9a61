"""Many steps in one kernel, and many runs on one store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from bench.faults.chaos import completed_steps, home_of_its_own
from bench.faults.stores import FaultyStore
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.kernels import Kernel

_LOOKS = 5
_MEGABYTE = 1 << 20
_GROWTH = 20
"""Megabytes that a kernel may grow by, after its first steps: its history and its journal of cells grow, too."""

WORKER = """
import sys, threading
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from tests.unit.sessions import Notebook

def work(number):
    with open_workspace(resolve_settings(sys.argv[1])) as workspace:
        notebook = Notebook(workspace)
        notebook.step('begin', 'rows = []')
        for step in range(int(sys.argv[3])):
            notebook.step(f's{step}', f'rows.append({step}); blob = bytes([{number}]) * 100_000')
        assert notebook['rows'] == list(range(int(sys.argv[3])))
        notebook.session.detach()

threads = [threading.Thread(target=work, args=(n,)) for n in range(int(sys.argv[2]))]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def shared(store: FaultyStore, *, processes: int, runs: int, steps: int) -> tuple[bool, list[str]]:
    """Let ``processes`` processes have ``runs`` runs each at once, on one store."""
    with home_of_its_own():
        command = [sys.executable, "-W", "ignore", "-c", WORKER, store.url, str(runs), str(steps)]
        workers = [
            subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.PIPE, text=True)
            for _ in range(processes)
        ]
        errors = [worker.communicate(timeout=600)[1] for worker in workers]
        with open_workspace(resolve_settings(store.url)) as workspace:
            report = verify_store(workspace)
            found = workspace.store.runs.all()
            completed = sum(len(completed_steps(workspace.store, run)) for run in found)
    problems = [line for text in errors for line in text.splitlines()[-3:]]
    problems += [f"{p.where}: {p.what}" for run in report.runs for p in run.problems]
    expected = processes * runs * (steps + 1)
    good = completed == expected and not problems
    return good, [f"{len(found)} runs in {processes} processes: {completed} of {expected} steps", *problems]


def endurance(store: FaultyStore, *, steps: int) -> tuple[bool, list[str]]:
    """Run ``steps`` steps in one kernel, and look at its process now and then."""
    looks: list[tuple[int, float, int, int]] = []
    with home_of_its_own() as folder:
        environ = {"EVERCELL_STORE": store.url, "EVERCELL_NOTEBOOK": str(folder / "nb.ipynb")}
        kernel = Kernel(cwd=folder, environ=environ)
        try:
            kernel.run("%load_ext evercell\nrows = []")
            process = psutil.Process(kernel.pid)
            for step in range(1, steps + 1):
                assert kernel.run(f"%%step s{step}\nrows.append({step})\nprint({step})").status == "ok"
                if step % max(1, steps // _LOOKS) == 0:
                    memory = process.memory_info().rss / _MEGABYTE
                    looks.append((step, memory, process.num_fds(), process.num_threads()))
        finally:
            kernel.shut_down()
    first, last = looks[0], looks[-1]
    good = last[1] - first[1] < _GROWTH and last[2] <= first[2] + 2 and last[3] <= first[3] + 1
    lines = [
        f"{n} steps: {memory:.0f} MB, {fds} descriptors, {threads} threads"
        for n, memory, fds, threads in looks
    ]
    return good, lines
