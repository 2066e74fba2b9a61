"""A store that goes away for minutes while many runs go on: all of them wait for it, and nothing happens twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import nbformat

from bench.faults.chaos import home_of_its_own
from bench.faults.stores import FaultyStore
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.waiting import wait_until

_CALLS = 25
_BEGIN = """import evercell, time
@evercell.step
def work(number):
    open({effects!r}, "a").write({name!r} + f"-{{number}}\\n")
    time.sleep(1)
    return number"""
_WORK = f"done = [work(number) for number in range({_CALLS})]"
_EVERCELL = str(Path(sys.executable).with_name("evercell"))


def away(store: FaultyStore, *, runs: int, seconds: float) -> tuple[bool, list[str]]:
    """Serve ``runs`` notebooks of durable calls at once, and have the store away for so long in the middle of them."""
    with home_of_its_own() as folder:
        environ = {**os.environ, "EVERCELL_STORE": store.url}
        for number in range(runs):
            _queue(folder, f"n{number}", environ)
        with (folder / "log").open("w") as log:
            server = subprocess.Popen(
                [_EVERCELL, "serve", "--jobs", str(runs), "--until-idle"], cwd=folder, env=environ, stderr=log
            )
        try:
            wait_until(lambda: len(_begun(folder)) == runs, "the beginning of all runs")
            store.be_away(seconds, threading.Event())
            server.wait(120 + 10 * runs)
        finally:
            server.kill()
            server.wait()
        return _judged(store, folder, runs)


def _queue(folder: Path, name: str, environ: dict[str, str]) -> None:
    spec = {"name": "python3", "display_name": "python3"}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": spec})
    begin = _BEGIN.format(effects=str(folder / "effects"), name=name)
    notebook.cells = [nbformat.v4.new_code_cell(source) for source in (begin, _WORK)]
    nbformat.write(notebook, folder / f"{name}.ipynb")
    command = [_EVERCELL, "run", f"{name}.ipynb", "--name", name, "--queue"]
    subprocess.run(command, cwd=folder, env=environ, check=True, capture_output=True)


def _effects(folder: Path) -> list[str]:
    path = folder / "effects"
    return path.read_text().split() if path.exists() else []


def _begun(folder: Path) -> set[str]:
    return {word.partition("-")[0] for word in _effects(folder)}


def _judged(store: FaultyStore, folder: Path, runs: int) -> tuple[bool, list[str]]:
    effects = Counter(_effects(folder))
    again = {name: count for name, count in effects.items() if count > 1}
    with open_workspace(resolve_settings(store.url)) as workspace:
        found = verify_store(workspace)
        statuses = Counter(str(run.status) for run in workspace.store.runs.all())
    problems = [f"{p.where}: {p.what}" for run in found.runs for p in run.problems]
    good = statuses == {"completed": runs} and len(effects) == runs * _CALLS and not again and not problems
    said = [line for line in (folder / "log").read_text().splitlines() if "away" in line or "back" in line]
    told = ", ".join(f"{status} {count}" for status, count in statuses.items())
    line = f"{runs} runs: {told}; {len(effects)} of {runs * _CALLS} calls made, {len(again)} of them again"
    return good, [line, *said, *problems]
