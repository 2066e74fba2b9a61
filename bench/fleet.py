"""Servers, a Dask cluster, PostgreSQL, and runs; one after the other of all that is killed: no run loses its place.

    python -m bench.fleet --runs 300 --seconds 600 --seed 1

Prints what was killed, and whether every run completed, every effect that is promised once happened once, and every
journal verifies. Ends with 1 where one did not.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psutil
import psycopg
from sqlalchemy.engine import make_url

from bench.faults.chaos import home_of_its_own
from bench.faults.run import Answerer
from bench.faults.stores import FaultyStore, postgres_store
from evercell.core.errors import EvercellError
from evercell.core.queueing import Place
from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.queueing import parse_limit
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from tests.clusters import DaskCluster

EFFECTS = 4
"""Of each run, each in a transaction of a database that is not the store's."""

_SETUP = """
import evercell, sqlalchemy as sa
engine = sa.create_engine({url!r})
@evercell.transaction(engine)
def act(connection, run, what):
    connection.execute(sa.text("INSERT INTO effects VALUES (:run, :what)"), dict(run=run, what=what))
"""

_MIDDLE = {
    "plain": "made = sum(range(n))",
    "approval": "evercell.approve('Go on?')",
    "timer": "evercell.sleep(3)",
    "signal": "evercell.wait_for('go')",
    "limit": "import time; time.sleep(0.2)",
}

ENVIRON = {"EVERCELL_LEASE_SECONDS": "8", "EVERCELL_WAIT_GRACE": "0.5s", "EVERCELL_ORPHAN_SECONDS": "3"}


@dataclass
class SoakReport:
    """What came of it."""

    runs: int
    completed: int = 0
    seconds: float = 0.0
    killed: Counter[str] = field(default_factory=Counter)
    effects: int = 0
    entries: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.completed == self.runs and not self.problems

    def lines(self) -> list[str]:
        """For a terminal."""
        killed = ", ".join(f"{name} {count}" for name, count in sorted(self.killed.items()))
        return [
            f"killed: {killed or 'nothing'}",
            f"{self.completed} of {self.runs} runs completed in {self.seconds:.0f} s; {self.effects} effects, "
            f"{EFFECTS} of each run that completed; {self.entries} journal entries verify",
            *self.problems[:20],
        ]


def soak(
    store: FaultyStore, *, runs: int, servers: int, workers: int, seconds: float, seed: int, every: float,
    kills: int,
) -> SoakReport:  # fmt: skip
    """Let servers and a cluster execute ``runs`` runs while something is killed every ``every`` seconds or so, up to
    ``kills`` times. (Where kills come faster than this machine starts kernels, nothing ever ends.)
    """
    report, began, chance = SoakReport(runs), time.monotonic(), random.Random(seed)
    with home_of_its_own() as folder, _effects(store) as effects:
        os.environ.update(ENVIRON)
        environ = {**ENVIRON, "EVERCELL_STORE": store.url}
        with open_workspace(resolve_settings(store.url)) as workspace:
            _queue(workspace, folder, effects, runs)
        cluster = DaskCluster(folder, environ, workers, threads=1)
        scene = Scene(folder, cluster, environ, servers, jobs=workers + 1)
        with scene, Answerer(resolve_settings(store.url)) as answerer:
            left = _kill_until_done(scene, store, report, chance, every, kills, began + seconds)
        report.problems += [*left, *answerer.errors]
        report.seconds = time.monotonic() - began
        _judge(store, effects, report)
        if not report.is_good:
            report.problems += scene.last_words()
    return report


class Scene:
    """The processes, each in a group of its own; what died is started again."""

    def __init__(
        self, folder: Path, cluster: DaskCluster, environ: dict[str, str], servers: int, *, jobs: int
    ) -> None:
        self.cluster = cluster
        self._folder, self._environ, self._jobs = folder, environ, jobs
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self._names = [f"serve-{n}" for n in range(servers)]
        self._over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    def __enter__(self) -> Scene:
        self._keeper.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._keeper.join()
        for process in self.servers.values():
            process.kill()
            process.wait()
        self.cluster.end()
        for process in [*self.runners(), *self.kernels()]:
            with suppress(psutil.Error):
                process.kill()

    def _keep(self) -> None:
        """As systemd would."""
        while not self._over.is_set():
            with suppress(AssertionError):  # the scheduler was killed while it started
                self.cluster.start()
            for name in self._names:
                if name not in self.servers or self.servers[name].poll() is not None:
                    self.servers[name] = self._serve(name)
            self._over.wait(1)

    def _serve(self, name: str) -> subprocess.Popen[bytes]:
        words = ["serve", "--on", self.cluster.address, "--jobs", str(self._jobs)]
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [str(Path(sys.executable).with_name("evercell")), *words],
                cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self._environ}, start_new_session=True,
            )  # fmt: skip

    def runners(self) -> list[psutil.Process]:
        """The processes that execute runs, those whose worker has died among them."""
        return _processes("evercell.headless.fleet_runner")

    def kernels(self) -> list[psutil.Process]:
        """The kernels of this soak, known by where their connection files are."""
        return _processes(os.environ["JUPYTER_RUNTIME_DIR"])

    def victims(self) -> dict[str, list[Callable[[], None]]]:
        """What can be killed now, and how."""
        dask = dict(self.cluster.processes)
        found: dict[str, list[Callable[[], None]]] = {
            "kernel": [process.kill for process in self.kernels()],
            "runner": [process.kill for process in self.runners()],
            "worker": [p.kill for name, p in dask.items() if name != "scheduler" and p.poll() is None],
            "scheduler": [p.kill for name, p in dask.items() if name == "scheduler" and p.poll() is None],
            "serve": [p.kill for p in list(self.servers.values()) if p.poll() is None],
        }
        return {name: kills for name, kills in found.items() if kills}

    def last_words(self) -> list[str]:
        """Of the logs, for whoever looks for the reason."""
        logs = sorted(self._folder.glob("*.log"))
        return [
            f"{log.name}: {line}"
            for log in logs
            for line in log.read_text(errors="replace").splitlines()[-4:]
        ]


def _processes(word: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            words = process.cmdline()
            is_ours = process.environ().get("JUPYTER_RUNTIME_DIR") == os.environ["JUPYTER_RUNTIME_DIR"]
            if is_ours and any(word in text for text in words) and process.pid != os.getpid():
                found.append(process)
    return found


def _kill_until_done(
    scene: Scene, store: FaultyStore, report: SoakReport, chance: random.Random, every: float,
    kills: int, end: float,
) -> list[str]:  # fmt: skip
    """Returns which runs are left at the end, and how they stand."""
    over, settings = threading.Event(), resolve_settings(store.url)
    next_kill, left = time.monotonic() + every, ["nothing was seen"]
    while time.monotonic() < end:
        over.wait(1)
        with suppress(EvercellError), open_workspace(settings) as workspace:
            with workspace.store.outages.nobody_waits():
                left = _left(workspace)
            if not left or any(line.endswith(RunStatus.FAILED) for line in left):  # that does not change
                return left
        if time.monotonic() >= next_kill and report.killed.total() < kills:
            _kill_one(scene, store, report, chance, over)
            next_kill = time.monotonic() + chance.uniform(0.5, 1.5) * every
    return left


def _left(workspace: Workspace) -> list[str]:
    runs = workspace.store.runs.all()
    return [f"run {run.name} is {run.status}" for run in runs if run.status is not RunStatus.COMPLETED]


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


# -- what is executed, and what is to come of it -------------------------------------------------


def _queue(workspace: Workspace, folder: Path, effects: str, runs: int) -> None:
    workspace.store.limits.set(parse_limit("api=3"), by="soak")
    for kind, middle in _MIDDLE.items():
        cells = ["n = 0", _SETUP.format(url=effects), "act(n, 'begin')", middle, "act(n, 'middle')",
                 "for what in ('nearly', 'end'): act(n, what)"]  # fmt: skip
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(notebook, folder / f"{kind}.ipynb")
    kinds = list(_MIDDLE)
    for n in range(runs):
        kind = kinds[n % len(kinds)]
        new = NewRun(
            str(folder / f"{kind}.ipynb"), output=str(folder / f"{kind}.{n}.out.ipynb"),
            status=RunStatus.QUEUED, params={"n": n},
        )  # fmt: skip
        place = Place(share=f"user{n % 3}", limits=("api",) if kind == "limit" else ())
        workspace.store.queue.put_new(new, place, at_most=runs)


@contextmanager
def _effects(store: FaultyStore) -> Iterator[str]:
    """The URL of the user's own database."""
    url = make_url(store.url)
    admin = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("CREATE DATABASE effects")
    own = url.set(database="effects")
    with psycopg.connect(
        own.set(drivername="postgresql").render_as_string(hide_password=False)
    ) as connection:
        connection.execute("CREATE TABLE effects (run int, what text)")
    yield own.render_as_string(hide_password=False)


def _story(workspace: Workspace, run: Run) -> list[str]:
    """The last of what a run's journal says."""
    events = [*workspace.store.journal.events(run.id)][-12:]
    return [f"{run.name}: {event.seq} {event.kind} {event.data}" for event in events]


def _judge(store: FaultyStore, effects: str, report: SoakReport) -> None:
    with open_workspace(resolve_settings(store.url)) as workspace:
        completed = [r for r in workspace.store.runs.all() if r.status is RunStatus.COMPLETED]
        report.completed = len(completed)
        verified = verify_store(workspace)
        report.entries = sum(found.checked.entries for found in verified.runs)
        report.problems += [f"{p.where}: {p.what}" for found in verified.runs for p in found.problems]
        report.problems += [f"{p.where}: {p.what}" for p in verified.problems]
        for run in workspace.store.runs.all():
            if run.status is RunStatus.FAILED:
                report.problems += _story(workspace, run)
    own = make_url(effects).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own) as connection:
        happened = Counter(connection.execute("SELECT run, what FROM effects").fetchall())
    report.effects = happened.total()
    report.problems += [
        f"effect {effect} happened {times} times" for effect, times in happened.items() if times > 1
    ]
    for run in completed:
        missing = EFFECTS - sum(key[0] == run.params["n"] for key in happened)
        if missing:
            report.problems.append(f"run {run.name} completed without {missing} of its effects")


def main() -> int:
    """Print the figures; 1 where a promise does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench.fleet", description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--servers", type=int, default=3)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--every", type=float, default=4, help="seconds between two kills, more or less")
    parser.add_argument("--kills", type=int, default=120, help="at most")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    print(f"seed: {options.seed}", flush=True)
    with postgres_store() as store:
        report = soak(store, **vars(options))
    print("\n".join(report.lines()))
    return 0 if report.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
