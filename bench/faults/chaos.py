"""Faults in random order over runs that go on at once: nothing that completed is lost or done twice."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from jupyter_core.utils import ensure_event_loop

from bench.faults.run import STEPS, Answerer, DrivenRun
from bench.faults.stores import FaultyStore
from evercell.core.records import Run
from evercell.engine.settings import Settings, resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from evercell.store import Store
from tests.conftest import isolated_home


@dataclass
class ChaosReport:
    """What came of it."""

    faults: Counter[str] = field(default_factory=Counter)
    kernels: int = 0
    acknowledged: int = 0
    """Steps that a front end was told of as completed."""
    lost: int = 0
    """Of these, those that the store does not have."""
    doubled: int = 0
    """Effects that happened again after their step was acknowledged."""
    entries: int = 0
    """Of journals that verify."""
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.problems)

    def lines(self) -> list[str]:
        """For a terminal."""
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return [
            f"faults: {faults}",
            f"{self.kernels} kernels, {self.acknowledged} steps acknowledged in {self.seconds:.0f} s: "
            f"lost {self.lost}, doubled {self.doubled}; {self.entries} journal entries verify",
            *self.problems,
        ]


@contextmanager
def home_of_its_own() -> Iterator[Path]:
    """A folder, with Jupyter's and IPython's folders below it."""
    with (
        tempfile.TemporaryDirectory(prefix="evercell-faults-") as folder,
        patch.dict(os.environ, isolated_home(Path(folder) / "home")),
    ):
        yield Path(folder)


def completed_steps(store: Store, run: Run) -> list[str]:
    """The steps that a run has, each as often as it was executed."""
    return [c.step for c in store.checkpoints.visible(store.runs.lineage(run.id)) if c.is_execution]


def wrong_clock() -> str | None:
    """The library that gives a process a wrong clock (Debian's libfaketime), where it is installed."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    return str(found[0]) if found else None


def chaos(store: FaultyStore, *, runs: int, faults: int, seed: int, longest: float) -> ChaosReport:
    """Drive ``runs`` runs at once, one after the other, while faults happen; then let them come to their ends.

    ``longest`` is in seconds, for all of it.
    """
    began, report = time.monotonic(), ChaosReport()
    with home_of_its_own() as folder:
        settings = resolve_settings(store.url)
        lanes = [_Lane(n, folder, store.url, seed, began + longest) for n in range(runs)]
        with Answerer(settings) as answerer:
            try:
                _injure(store, lanes, report, faults, random.Random(seed), began + longest)
            finally:
                for lane in lanes:
                    lane.end()
        report.problems += answerer.errors
        _judge(settings, [run for lane in lanes for run in lane.driven], report)
    report.seconds = time.monotonic() - began
    return report


class _Lane:
    """One run after the other, until nothing is to be injured any more."""

    def __init__(self, number: int, folder: Path, url: str, seed: int, deadline: float) -> None:
        self._number, self._folder, self._url, self._seed = number, folder, url, seed
        self._deadline = deadline
        self._is_over = threading.Event()
        self.driven: list[DrivenRun] = []
        self._thread = threading.Thread(target=self._work, name=f"lane {number}")
        self._thread.start()

    def _work(self) -> None:
        try:
            while not self.driven or not self._is_over.is_set():
                name = f"run{self._number}-{len(self.driven)}"
                chance = random.Random(f"{self._seed} {name}")
                self.driven.append(DrivenRun(name, self._folder, self._url, chance, wrong_clock()))
                self.driven[-1].drive(self._deadline)
        finally:
            ensure_event_loop().close()  # the clients made it for this thread

    def end(self) -> None:
        """Let the present run come to its end."""
        self._is_over.set()
        self._thread.join()


def _injure(
    store: FaultyStore,
    lanes: list[_Lane],
    report: ChaosReport,
    faults: int,
    chance: random.Random,
    end: float,
) -> None:
    over = threading.Event()
    for _ in range(faults):
        if time.monotonic() > end:
            return
        over.wait(chance.uniform(0.5, 2))
        alive = [lane.driven[-1] for lane in lanes if lane.driven]
        if not alive:
            continue
        victim = chance.choice(alive)
        possible = {**store.faults(), "kernel killed": victim.kill, "kernel frozen": victim.freeze}
        name = chance.choice(sorted(possible))
        possible[name](chance, over)
        report.faults[name] += 1


def _judge(settings: Settings, driven: list[DrivenRun], report: ChaosReport) -> None:
    with open_workspace(settings) as workspace:
        store = workspace.store
        for run in driven:
            report.kernels += run.kernels
            report.acknowledged += len(run.acknowledged)
            report.doubled += run.repeated.total()
            report.problems += run.problems
            stored = [
                found for found in store.runs.all() if (found.notebook or "").endswith(f"/{run.name}.ipynb")
            ]
            if len(stored) != 1:
                report.problems.append(f"{run.name} is {len(stored)} runs")
            steps = [step for found in stored for step in completed_steps(store, found)]
            if run.acknowledged - set(steps):  # the last may wait in its file for whoever comes next
                run.look_in()
                steps = [
                    step for found in stored for step in completed_steps(store, store.runs.find(found.id))
                ]
            report.lost += len(run.acknowledged - set(steps))
            if sorted(steps) != [f"s{n}" for n in range(STEPS)]:
                report.problems.append(f"{run.name} completed {steps}")
        verified = verify_store(workspace)
        report.entries = sum(found.checked.entries for found in verified.runs)
        report.problems += [f"{p.where}: {p.what}" for found in verified.runs for p in found.problems]
        report.problems += [f"{p.where}: {p.what}" for p in verified.problems]
