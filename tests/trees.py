"""A tree of notebooks that start notebooks, executed while kernels, their runners and the server are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import nbformat
import psutil
import sqlalchemy as sa

from evercell.core.records import EventKind, Run
from evercell.core.statuses import ENDED, RunStatus
from evercell.engine.leasing import is_live
from evercell.engine.workspace import Workspace

EFFECT = """
import evercell, sqlalchemy as sa
@evercell.transaction(sa.create_engine("sqlite:///{path}", connect_args={{"timeout": 60}}))
def effect(connection, name):
    connection.execute(sa.text("INSERT INTO effects VALUES (:name)"), {{"name": name}})
effect(name)
"""
BELOW = """
def child(n):  # its kernels may die more often than a run takes by itself
    return evercell.run_notebook("{notebook}", {{"name": f"{{name}}/{{n}}"}}, retries=1000)
made = evercell.map(child, range({width}))
"""
RETURN = "evercell.returns(1 + sum(r.value for r in made))"

_RUNNERS = ("evercell.headless.hosting", "evercell.headless.admitted")
"""Modules whose processes drive the kernels of runs; the word behind is a run's id."""


def write(path: Path, *cells: str) -> None:
    """A notebook whose first cell has its parameters."""
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "python3"}}
    )
    notebook.cells = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, path)


def start(*words: str) -> subprocess.Popen[bytes]:
    """``evercell WORDS``, beside the test."""
    command = [str(Path(sys.executable).with_name("evercell")), *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Tree:
    """A notebook that starts notebooks that start notebooks, each with an effect in a database of the user's."""

    def __init__(self, folder: Path, workspace: Workspace, *, levels: int, width: int) -> None:
        self.workspace, self._effects = workspace, folder / "effects.db"
        with self._effects_open() as connection:
            connection.execute(sa.text("CREATE TABLE effects (name TEXT)"))
        effect = EFFECT.format(path=self._effects)
        for level in range(levels + 1):
            below = BELOW.format(notebook=f"level{level + 1}.ipynb", width=width)
            cells = [effect, below if level < levels else "made = []", RETURN]
            write(folder / f"level{level}.ipynb", 'name = "root"', *cells)
        self.size = sum(width**level for level in range(levels + 1))

    @contextmanager
    def _effects_open(self) -> Iterator[sa.Connection]:
        engine = sa.create_engine(f"sqlite:///{self._effects}", poolclass=sa.NullPool)
        with engine.begin() as connection:
            yield connection
        engine.dispose()

    def effects(self) -> list[str]:
        with self._effects_open() as connection:
            return sorted(connection.execute(sa.text("SELECT name FROM effects")).scalars())

    def root(self) -> Run | None:
        found = [run for run in self.workspace.store.runs.all() if run.notebook and "level0" in run.notebook]
        return found[0] if found else None

    def completed(self) -> int:
        return sum(run.status is RunStatus.COMPLETED for run in self.workspace.store.runs.all())

    def unfinished(self) -> list[tuple[str, str, str]]:
        """The runs that are not completed, how they stand, and why."""
        left = [run for run in self.workspace.store.runs.all() if run.status is not RunStatus.COMPLETED]
        return [(run.name, str(run.status), self.reason(run)) for run in left]

    def reason(self, run: Run) -> str:
        """Why the run stands as it does."""
        newest = self.workspace.store.journal.newest(run.id, (EventKind.RUN_STATUS,))
        return next((str(event.data.get("reason") or "") for event in newest), "")

    def kernels(self) -> list[int]:
        """The processes that are on a run: kernels, and runners whose kernel has not come yet."""
        leases = self.workspace.store.leases.all().values()
        return [lease.holder.pid for lease in leases if is_live(self.workspace, lease)]


def runners_of(workspace: Workspace) -> list[int]:
    """The processes that drive kernels of a store's runs, but for commands that somebody typed."""
    ids = {run.id for run in workspace.store.runs.all()}
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = {*(process.info["cmdline"] or ())}
        if words & {*_RUNNERS} and words & ids and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process.pid)
    return found


class Soak:
    """Executes a tree to its end, and kills ``kills`` times meanwhile, at random.

    Now a server executes it, now nobody serves the store. So that neither the tree nor the kills come to an end too
    early, on whatever machine, the kills go with what was completed: a few ahead, and the last when a fifth is left.
    """

    def __init__(self, tree: Tree, chance: random.Random, *, kills: int) -> None:
        self.tree, self._chance, self._kills = tree, chance, kills
        self.made: Counter[str] = Counter()
        """Kills by what was killed."""
        self.resumed = 0
        """How often somebody had to resume the root: all of the tree that looked after it was killed."""
        self._command = start("run", "level0.ipynb", *_WORDS)
        self._server: subprocess.Popen[bytes] | None = None
        self._next_kill = time.monotonic() + 3
        self._next_server = time.monotonic() + chance.uniform(5, 20)
        self._quiet_since = time.monotonic()

    def run(self, *, seconds: float) -> None:
        """Until the root has completed. Nothing is left of what was started here."""
        deadline, moved, completed = time.monotonic() + seconds, time.monotonic(), 0
        try:
            while (root := self.tree.root()) is None or root.status is not RunStatus.COMPLETED:
                now = time.monotonic()
                if completed != (completed := self.tree.completed()):
                    moved = now
                assert now < min(deadline, moved + _LONGEST_REST), (dict(self.made), self.tree.unfinished())
                self._serve(now)
                self._kill(now, completed)
                if root is not None:
                    self._resume(root, now)
                time.sleep(0.1)  # what is killed tells nobody: looked at again
            self._command.wait(60)
        finally:
            for process in (self._command, self._server):
                if process is not None:
                    process.kill()
                    process.wait()

    # -- who executes it -------------------------------------------------------------------------

    def _serve(self, now: float) -> None:
        """A server comes some time after the last one was killed."""
        if self._server is None and now > self._next_server:
            self._server = start("serve", "--jobs", "2")
            self._quiet_since = now

    def _resume(self, root: Run, now: float) -> None:
        """As somebody would who sees that nothing goes on: whoever looked after the root was killed, too."""
        if self._command.poll() is None or self._server is not None or self.tree.kernels():
            self._quiet_since = now
        is_over = root.status in ENDED
        assert not is_over or "kernel" in self.tree.reason(root), self.tree.reason(root)
        if is_over or now - self._quiet_since > _QUIET:
            self._command.wait(60)
            self._command, self._quiet_since = start("resume", root.name, *_WORDS), now
            self.resumed += 1

    # -- killing ---------------------------------------------------------------------------------

    def _kill(self, now: float, completed: int) -> None:
        share, made = completed / self.tree.size, self.made.total()
        if now < self._next_kill or made >= min(self._kills, self._kills * (share + _AHEAD) + 1):
            return
        victims = self._victims()
        if not victims:
            return
        kind = self._chance.choices([*victims], [_WEIGHTS[kind] for kind in victims])[0]
        with suppress(ProcessLookupError):
            os.kill(self._chance.choice(victims[kind]), signal.SIGKILL)
            self.made[kind] += 1
        if kind == "server" and self._server is not None:
            self._server.wait()
            self._server, self._next_server = None, now + self._chance.uniform(5, 30)
        is_late = made < self._kills * share / _LAST
        few = _FEW if sum(map(len, victims.values())) < _FEW else 1
        self._next_kill = now + few * (
            self._chance.uniform(0.2, 1) if is_late else self._chance.uniform(0.5, 3)
        )

    def _victims(self) -> dict[str, list[int]]:
        """What there is to be killed. (A runner that holds a run for a kernel to come is a runner.)"""
        runners = runners_of(self.tree.workspace)
        if self._command.poll() is None:
            runners.append(self._command.pid)
        kernels = [pid for pid in self.tree.kernels() if pid not in runners]
        server = [self._server.pid] if self._server is not None else []
        found = {"kernel": kernels, "runner": runners, "server": server}
        return {kind: pids for kind, pids in found.items() if pids}


_WORDS = ("--wait-grace", "2s", "--max-restarts", "10", "-q")
_WEIGHTS = {"kernel": 5, "runner": 4, "server": 1}
_FEW = 3
"""Processes of a tree: while there are less, they are killed more seldom by as much, or none ever starts a child."""
_AHEAD, _LAST = 0.15, 0.8
"""Of all kills, so many may be ahead of what was completed; all are made when so much of it is."""
_QUIET = 3.0
"""Seconds without anything going on, after which somebody resumes the root."""
_LONGEST_REST = 600.0
"""Seconds within which some run or other completes."""
