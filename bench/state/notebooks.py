"""Real kernels with nothing in them, or with evercell: what a cell takes, what memory it needs, what it stores."""

from __future__ import annotations

import ast
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from bench.state.workloads import INSTALL
from bench.steps import REPLY_SECONDS, BenchError, execute

PROJECT = Path(__file__).parents[2]


class Notebook:
    """One kernel and a client on it. Its process is started at once, and can be waited for later."""

    def __init__(
        self, folder: Path, *, python: str | None, environment: Mapping[str, str], opening: Sequence[str]
    ) -> None:
        """``opening``: cells to execute before anything else."""
        self._folder = folder
        self._python = python
        paths = [str(PROJECT), os.environ.get("PYTHONPATH", "")]
        self._environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), **environment}
        self._opening = [INSTALL, *opening]
        self._is_ready = False
        self._launch()

    def _launch(self) -> None:
        self._manager = KernelManager(kernel_name="python3")
        if self._python is not None and self._manager.kernel_spec is not None:
            self._manager.kernel_spec.argv = [self._python, *self._manager.kernel_spec.argv[1:]]
        environment = {**os.environ, **self._environment}
        with self._log.open("wb") as log:
            self._manager.start_kernel(cwd=str(self._folder), env=environment, stderr=log)
        self.client: BlockingKernelClient = self._manager.blocking_client()
        self.client.start_channels()
        self._process = Path("/proc") / str(getattr(self._manager.provisioner, "pid", ""))

    def ready(self) -> None:
        """Wait until the kernel is there and has executed its opening cells."""
        if self._is_ready:
            return
        for again in (True, True, False):  # somebody may have taken one of the ports it was told
            try:
                self.client.wait_for_ready(timeout=60)
                break
            except RuntimeError as error:
                if not again:
                    last = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
                    raise BenchError(f"A kernel did not start: {error}. It said: {last}") from error
                self.close()
                self._launch()
        for code in self._opening:
            execute(self.client, code)
        self._is_ready = True

    def close(self) -> None:
        """Kill the kernel."""
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    @property
    def _log(self) -> Path:
        return self._folder / "kernel.log"

    def run(self, code: str) -> float:
        """Execute a cell; returns the seconds from the request until reply and idle were there."""
        self.ready()
        return execute(self.client, code)

    def run_all(self, codes: Sequence[str]) -> None:
        """Execute cells as "run all" does: sent at once, executed one after the other."""
        for code in codes[:-1]:
            self.client.execute(code)
        self.run(codes[-1])

    def value(self, expression: str) -> Any:
        """The value of an expression (literals only), asked for beside the cells."""
        asked = self.client.execute("", silent=True, user_expressions={"value": expression})
        while True:
            reply = self.client.get_shell_msg(timeout=REPLY_SECONDS)
            if reply["parent_header"].get("msg_id") == asked:
                break
        found = reply["content"]["user_expressions"]["value"]
        if found["status"] != "ok":
            raise BenchError(f"{expression!r} has no value: {found['ename']}: {found['evalue']}")
        return ast.literal_eval(found["data"]["text/plain"])

    def resident(self) -> int:
        """Bytes of memory that the kernel has now."""
        return self._status("VmRSS")

    def reset_peak(self) -> None:
        """Let `peak` count from here."""
        (self._process / "clear_refs").write_text("5")

    def peak(self) -> int:
        """The most bytes of memory that the kernel had since `reset_peak`."""
        return self._status("VmHWM")

    def _status(self, key: str) -> int:
        for line in (self._process / "status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"This system does not tell {key} of a process.")


@contextmanager
def notebook(
    folder: Path, *, python: str | None = None, opening: Sequence[str] = (), **environment: str
) -> Iterator[Notebook]:
    """A fresh kernel that works in ``folder``; gone afterwards, killed, whatever happened."""
    opened = Notebook(folder, python=python, environment=environment, opening=opening)
    try:
        yield opened
    finally:
        opened.close()


class Durable:
    """A notebook with evercell; every measured cell is a step of its own."""

    def __init__(self, opened: Notebook, store: Store) -> None:
        self.opened = opened
        self.store = store
        self._numbers = count(1)

    def step(self, body: str) -> float:
        """Execute a cell as a step that never was there before, so that it is not replayed."""
        before = self.store.steps()
        took = self.opened.run(f"%%step s{next(self._numbers)}_{before}\n{body}")
        if self.store.steps() != before + 1:
            raise BenchError(f"The step {body!r} left no checkpoint.")
        return took


@contextmanager
def durable(folder: Path) -> Iterator[Durable]:
    """A kernel with evercell on the notebook and the store in ``folder``."""
    with evercell_kernel(folder, opening=["%load_ext evercell"]) as opened:
        yield Durable(opened, Store(folder / "store.db"))


@contextmanager
def evercell_kernel(folder: Path, *, opening: Sequence[str] = ()) -> Iterator[Notebook]:
    """A kernel that would find them, but has not loaded evercell."""
    names = {
        "EVERCELL_STORE": f"sqlite:///{folder / 'store.db'}",
        "EVERCELL_NOTEBOOK": str(folder / "notebook.ipynb"),
    }
    with notebook(folder, opening=opening, **names) as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class Store:
    """The store's database, seen without evercell."""

    path: Path

    def bytes(self) -> int:
        """Chunks as they lie in packs and rows, and manifests. Not: indexes, outputs, the journal."""
        return self._ask("SELECT coalesce(sum(length), 0) FROM chunks") + self._ask(
            "SELECT coalesce(sum(length(manifest)), 0) FROM checkpoints"
        )

    def steps(self) -> int:
        """How many steps were completed. (What plain cells made has checkpoints of its own.)"""
        return self._ask("SELECT count(*) FROM checkpoints WHERE attempt_id IS NOT NULL")

    def _ask(self, query: str) -> int:
        if not self.path.exists():
            return 0
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30)) as connection:
            try:
                return int(connection.execute(query).fetchone()[0])
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):
                    return 0
                raise
