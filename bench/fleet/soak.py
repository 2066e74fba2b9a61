"""Runs, and one after the other of all that is killed while they go on."""

from __future__ import annotations

import os
import random
import resource
import threading
import time
from contextlib import suppress

import psutil

from bench.faults.chaos import home_of_its_own
from bench.faults.run import Answerer
from bench.faults.stores import FaultyStore
from bench.fleet.scene import Scene
from bench.fleet.work import SoakReport, database_of_effects, judge, queue_runs
from evercell.core.errors import EvercellError
from evercell.core.statuses import ENDED
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from tests.clusters import DaskCluster
from tests.namespaces import Network

ENVIRON = {"EVERCELL_LEASE_SECONDS": "8", "EVERCELL_WAIT_GRACE": "0.5s", "EVERCELL_ORPHAN_SECONDS": "3"}


def soak(
    store: FaultyStore, *, runs: int, servers: int, workers: int, seconds: float, seed: int, every: float,
    kills: int, network: Network | None = None,
) -> SoakReport:  # fmt: skip
    """Let servers and a cluster execute ``runs`` runs while something is killed every ``every`` seconds or so, up to
    ``kills`` times. (Where kills come faster than this machine starts kernels, nothing ever ends.) With a network each
    worker is a host of its own, whose link is cut now and then, too.
    """
    report, began, used, chance = SoakReport(runs), time.monotonic(), _processor(), random.Random(seed)
    with home_of_its_own() as folder, database_of_effects(store) as effects:
        os.environ.update(ENVIRON)
        environ = {**ENVIRON, "EVERCELL_STORE": store.url}
        with open_workspace(resolve_settings(store.url)) as workspace:
            queue_runs(workspace, folder, effects, runs)
        cluster = DaskCluster(folder, environ, workers, threads=1, network=network)
        scene = Scene(folder, cluster, environ, servers, jobs=workers + 1)
        with scene, Answerer(resolve_settings(store.url)) as answerer:
            _kill_until_done(scene, store, report, chance, every, kills, began + seconds)
            report.seconds = time.monotonic() - began
            report.problems += [*answerer.errors, *scene.leftovers()]
        report.processor = _processor() - used
        judge(store, effects, report)
        if not report.is_good:
            report.problems += scene.last_words()
    return report


def _processor() -> float:
    """Seconds of the processor's time of all children that ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _kill_until_done(
    scene: Scene, store: FaultyStore, report: SoakReport, chance: random.Random, every: float,
    kills: int, end: float,
) -> None:  # fmt: skip
    over, settings = threading.Event(), resolve_settings(store.url)
    next_kill = time.monotonic() + every
    while time.monotonic() < end:
        over.wait(1)
        with suppress(EvercellError), open_workspace(settings) as workspace:
            with workspace.store.outages.nobody_waits():
                statuses = {run.status for run in workspace.store.runs.all()}
            if statuses <= ENDED:
                return
        if time.monotonic() >= next_kill and report.killed.total() < kills:
            _kill_one(scene, store, report, chance, over)
            next_kill = time.monotonic() + chance.uniform(0.5, 1.5) * every


def _kill_one(
    scene: Scene, store: FaultyStore, report: SoakReport, chance: random.Random, over: threading.Event
) -> None:
    victims = scene.victims()
    name = chance.choice([*sorted(victims), "PostgreSQL"])
    if name == "PostgreSQL":
        store.faults()["server restarted"](chance, over)
    else:
        with suppress(psutil.Error):
            chance.choice(victims[name])()
    report.killed[name] += 1
