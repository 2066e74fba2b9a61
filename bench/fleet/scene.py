"""The processes of a fleet, each in a group of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import psutil

from tests.clusters import DaskCluster

_PATIENCE = 60.0
"""Seconds that what is needed no more has to be gone in."""

_CUT_SECONDS = 15.0


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
        self._timers: list[threading.Timer] = []
        self._keeper = threading.Thread(target=self._keep, name="keeper")

    def __enter__(self) -> Scene:
        self._keeper.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._keeper.join()
        for timer in self._timers:
            timer.join()
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
        if self.cluster.network is not None:
            found["link"] = [partial(self._cut, host) for host in self.cluster.network.hosts]
        return {name: kills for name, kills in found.items() if kills}

    def _cut(self, host: str) -> None:
        """Cut a worker off for longer than its leases live."""
        network = self.cluster.network
        assert network is not None
        network.cut(host)
        timer = threading.Timer(_CUT_SECONDS, network.mend, [host])
        self._timers.append(timer)
        timer.start()

    def leftovers(self) -> list[str]:
        """What is left of runners and kernels when all runs are over, after it had time to go."""
        until = time.monotonic() + _PATIENCE
        while (found := [*self.runners(), *self.kernels()]) and time.monotonic() < until:
            time.sleep(0.5)  # what ends by itself tells nobody
        files = sorted(path.name for path in Path(os.environ["JUPYTER_RUNTIME_DIR"]).iterdir())
        processes = [f"a process is left: {process.pid}" for process in found]
        return [*processes, *([f"{len(files)} files are left of kernels: {files[:6]}"] if files else [])]

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
