"""P2 for the queue: a kill at any line of it that writes loses no run, and has none started twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

import evercell.store.queue
from evercell.core.clock import system_clock
from evercell.core.queueing import Place
from evercell.core.records import NewRun
from evercell.core.statuses import RunStatus
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.serving import Server

PLACES = [
    "before_enqueue_commit",
    "after_enqueue_commit",
    "before_admission_commit",
    "after_admission_commit",
]

ROOT = Path(__file__).parents[2]
NIGHTLY = NewRun("/n/nb.ipynb", output="/n/nb.out.ipynb", status=RunStatus.QUEUED, run_key="nightly")


class Desk:
    """Writes down whom it is to start, where it outlives the server."""

    def __init__(self, started: Path) -> None:
        self._file = started
        self._living: set[str] = set()

    def start(self, run_id: str) -> None:
        with self._file.open("a") as file:
            file.write(f"{run_id}\n")
        self._living.add(run_id)

    def alive(self) -> set[str]:
        return self._living

    def close(self) -> None:
        self._living.clear()


def serve_once(settings: Settings, started: Path) -> str:
    """A run is put into the queue, and a server looks at it twice; returns the run's id."""
    with open_workspace(settings) as workspace:
        run = workspace.store.queue.put_new(NIGHTLY, Place("ann"), at_most=9)
        server = Server(workspace, Desk(started), jobs=2)
        server.tick()
        server.tick()
        return run.id


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key", timedelta(seconds=30))) as opened:
        yield opened


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_any_line_that_writes_loses_no_run_and_starts_none_twice(
    workspace: Workspace, tmp_path: Path, place: str
) -> None:
    settings, started = workspace.settings, tmp_path / "started"
    killed = subprocess.run(
        [sys.executable, "-m", __name__, settings.store_url, str(settings.key_path), str(started)],
        env={**os.environ, "EVERCELL_FAULT": place}, cwd=ROOT, check=False, timeout=120,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert not started.exists(), "it came to no start"
    is_made = place != "before_enqueue_commit"
    assert len(workspace.store.runs.all()) == is_made, "all of it, or nothing"
    run_id = serve_once(settings, started)
    assert [run.id for run in workspace.store.runs.all()] == [run_id]
    assert started.read_text().split() == [run_id]
    (entry,) = workspace.store.queue.look().entries
    assert entry.run_id == run_id and entry.admitted_at is not None
    assert entry.admitted_at <= system_clock()
    workspace.store.journal.verify(run_id)


def test_the_places_of_kills_are_all_lines_that_write() -> None:
    source = Path(evercell.store.queue.__file__).read_text()
    named = {line.split('reach("')[1].split('"')[0] for line in source.splitlines() if 'reach("' in line}
    assert named == set(PLACES)


if __name__ == "__main__":
    url, key, file = sys.argv[1:]
    serve_once(Settings(url, Path(key), timedelta(seconds=30)), Path(file))
