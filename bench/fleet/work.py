"""What a fleet executes, and what is to come of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
import psycopg
from sqlalchemy.engine import make_url

from bench.faults.stores import FaultyStore
from evercell.core.queueing import Place
from evercell.core.records import NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.queueing import parse_limit
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace

EFFECTS = 4
"""Of each run, each in a transaction of a database that is not the store's."""

SETUP = """
import evercell, sqlalchemy as sa
engine = sa.create_engine({url!r})
@evercell.transaction(engine, retries=20, longest_backoff=5, retry_on=sa.exc.DBAPIError)  # it is restarted
def act(connection, run, what):
    connection.execute(sa.text("INSERT INTO effects VALUES (:run, :what)"), dict(run=run, what=what))
"""
"""A cell: ``act(run, what)`` is an effect."""

_MIDDLE = {
    "plain": "made = sum(range(n))",
    "approval": "evercell.approve('Go on?')",
    "timer": "evercell.sleep(3)",
    "signal": "evercell.wait_for('go')",
    "limit": "import time; time.sleep(0.2)",
}

_SHOWN = 40
"""Problems that are told."""


@dataclass
class SoakReport:
    """What came of it."""

    runs: int
    completed: int = 0
    seconds: float = 0.0
    processor: float = 0.0
    """Seconds of it, of all processes whose end was heard of."""
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
            f"killed {self.killed.total()}: {killed or 'nothing'}",
            f"{self.completed} of {self.runs} runs completed in {self.seconds:.0f} s "
            f"({60 * self.completed / max(1, self.seconds):.0f} a minute, {self.processor / self.runs:.1f} s of the "
            f"processor each); {self.effects} effects, {EFFECTS} of each run that completed; "
            f"{self.entries} journal entries verify",
            *self.problems[:_SHOWN],
        ]


def queue_runs(workspace: Workspace, folder: Path, effects: str, runs: int) -> None:
    """Notebooks of each kind, and as many runs of them."""
    workspace.store.limits.set(parse_limit("api=3"), by="soak")
    for kind, middle in _MIDDLE.items():
        cells = ["n = 0", SETUP.format(url=effects), "act(n, 'begin')", middle, "act(n, 'middle')",
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
def database_of_effects(store: FaultyStore) -> Iterator[str]:
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


def judge(store: FaultyStore, effects: str, report: SoakReport) -> None:
    """Whether every run completed, every effect that is promised once happened once, every journal verifies, and
    nothing is left of anybody.
    """
    with open_workspace(resolve_settings(store.url)) as workspace:
        runs = workspace.store.runs.all()
        completed = [r for r in runs if r.status is RunStatus.COMPLETED]
        report.completed = len(completed)
        for run in runs:
            if run.status in (RunStatus.FAILED, RunStatus.CANCELLED):
                report.problems += _story(workspace, run)
        others = Counter(str(run.status) for run in runs if run.status is not RunStatus.COMPLETED)
        report.problems += [f"{count} runs are {status}" for status, count in others.items()]
        verified = verify_store(workspace)
        report.entries = sum(found.checked.entries for found in verified.runs)
        report.problems += [f"{p.where}: {p.what}" for found in verified.runs for p in found.problems]
        report.problems += [f"{p.where}: {p.what}" for p in verified.problems]
        if len(completed) == len(runs):
            report.problems += _held(workspace)
    report.problems += _judge_effects(effects, completed, report)


def _held(workspace: Workspace) -> list[str]:
    """What somebody still seems to hold of runs that are over."""
    store = workspace.store
    leases = [f"run {run} is held by {lease.holder}" for run, lease in store.leases.all().items()]
    slots = [f"a slot is held: {slot}" for slot in store.limits.slots() if slot.is_held or slot.is_wanted]
    return [*leases, *slots, *(f"run {entry.name} is in the queue" for entry in store.queue.look().entries)]


def count_effects(effects: str) -> Counter[tuple[int, str]]:
    """How often each effect happened, by run and effect."""
    own = make_url(effects).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(own) as connection:
        return Counter(connection.execute("SELECT run, what FROM effects").fetchall())


def _judge_effects(effects: str, completed: list[Run], report: SoakReport) -> list[str]:
    happened = count_effects(effects)
    report.effects = happened.total()
    problems = [f"effect {effect} happened {times} times" for effect, times in happened.items() if times > 1]
    for run in completed:
        missing = EFFECTS - sum(key[0] == run.params["n"] for key in happened)
        if missing:
            problems.append(f"run {run.name} completed without {missing} of its effects")
    return problems
