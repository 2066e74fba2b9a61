"""Kernels that come back: frozen for longer than their lease, they find their run in other hands."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from bench.faults.chaos import home_of_its_own
from bench.faults.stores import FaultyStore
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from tests.kernels import Kernel

_LEASE_SECONDS = "2"

_BODY = """%%step work
import os, pathlib, time
pathlib.Path({begun!r}).touch()
for _ in range(6000):
    if pathlib.Path({gate!r}).exists(): break
    time.sleep(0.005)
who = {who!r}
print(who)"""


def zombies(store: FaultyStore, *, count: int) -> tuple[bool, list[str]]:
    """Let ``count`` kernels become zombies one after the other: each is refused, and its successor's step holds."""
    refused = held = 0
    problems: list[str] = []
    with home_of_its_own() as folder:
        for number in range(count):
            told, kept = _zombie(store, folder, number)
            refused += told
            held += kept
        with open_workspace(resolve_settings(store.url)) as workspace:
            report = verify_store(workspace)
            problems += [f"{p.where}: {p.what}" for run in report.runs for p in run.problems]
    good = refused == held == count and not problems
    return good, [
        f"{count} zombies: {refused} refused with LeaseLost, {held} successors' steps hold",
        *problems,
    ]


def _zombie(store: FaultyStore, folder: Path, number: int) -> tuple[bool, bool]:
    """Whether the zombie was told, and whether what its successor made holds."""
    environ = {
        "EVERCELL_STORE": store.url,
        "EVERCELL_NOTEBOOK": str(folder / f"nb{number}.ipynb"),
        "EVERCELL_LEASE_SECONDS": _LEASE_SECONDS,
    }
    begun, gate = folder / f"begun{number}", folder / f"gate{number}"
    body = _BODY.format(begun=str(begun), gate=str(gate), who="zombie")
    zombie = Kernel(cwd=folder, environ=environ)
    successor = Kernel(cwd=folder, environ=environ)
    try:
        zombie.run("%load_ext evercell\n")
        zombie.run("%%step first\nx = 1")
        zombie.send(body)
        successor.run(f"import os, time\nwhile not os.path.exists({str(begun)!r}): time.sleep(0.01)")
        os.kill(zombie.pid, signal.SIGSTOP)
        successor.run("%load_ext evercell")
        while successor.run("%resume").status != "ok":
            successor.run("import time; time.sleep(0.2)")
        gate.touch()
        done = successor.run(body.replace("'zombie'", "'successor'"))
        os.kill(zombie.pid, signal.SIGCONT)
        told = "LeaseLost" in zombie.run("%%step after\ny = 2").error
        kept = done.status == "ok" and successor.run("%%step last\nz = who").status == "ok"
        kept = kept and successor.value("(x, z)") == (1, "successor")
        return told, kept
    finally:
        zombie.kill()
        successor.shut_down()
