"""A real Dask cluster: a scheduler and workers, each a process (group) of its own, ended and killed by name."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.namespaces import Network
from tests.servers import free_port
from tests.waiting import wait_until


def worker_names(workers: int) -> list[str]:
    """Of a cluster's workers."""
    return [f"worker-{n}" for n in range(workers)]


@dataclass
class DaskCluster:
    """Its scheduler's address, its processes by name, and the environment that they have."""

    folder: Path
    environ: Mapping[str, str]
    workers: int = 2
    threads: int = 1
    port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    network: Network | None = None
    """Where each worker is a host of its own, of its name; without one all are on loopback."""

    @property
    def host(self) -> str:
        """The scheduler's."""
        return self.network.address if self.network is not None else "127.0.0.1"

    @property
    def address(self) -> str:
        return f"dask://{self.host}:{self.port}"

    def start(self) -> None:
        """Start what does not run: the scheduler, and each worker. It comes back when the scheduler listens."""
        for name in ("scheduler", *worker_names(self.workers)):
            found = self.processes.get(name)
            if found is None or found.poll() is not None:
                self.processes[name] = self._start(name)
        wait_until(self._listens, "the scheduler")

    def _listens(self) -> bool:
        assert self.processes["scheduler"].poll() is None, self.log_of("scheduler")
        with suppress(OSError):
            socket.create_connection((self.host, self.port)).close()
            return True
        return False

    def _start(self, name: str) -> subprocess.Popen[bytes]:
        if name == "scheduler":
            words = ["scheduler", "--host", self.host, "--port", str(self.port), "--no-dashboard"]
        else:
            at = self.network.address_of(name) if self.network is not None else "127.0.0.1"
            words = [
                "worker", f"tcp://{self.host}:{self.port}", "--host", at, "--no-dashboard", "--no-nanny",
                "--name", name, "--nthreads", str(self.threads), "--memory-limit", "0",
                "--local-directory", str(self.folder / "dask"),
            ]  # fmt: skip
        command = [sys.executable, "-W", "ignore", "-m", "dask", *words]
        if self.network is not None and name != "scheduler":
            command = self.network.command_on(name, command)
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self.environ}, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL."""
        self.processes[name].kill()
        self.processes[name].wait(timeout=60)

    def log_of(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        """All of it, by force: workers and scheduler that are asked at the same instant wait for each other."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(timeout=60)


@contextmanager
def dask_cluster(
    folder: Path,
    environ: Mapping[str, str],
    *,
    workers: int = 2,
    threads: int = 1,
    network: Network | None = None,
) -> Iterator[DaskCluster]:
    """A cluster whose workers have this environment."""
    cluster = DaskCluster(folder, environ, workers, threads, network=network)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.end()
