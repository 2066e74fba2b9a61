"""P1, P6: runs on a Dask cluster are executed once, whatever of it is killed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest

from evercell.core.errors import FleetAway
from evercell.core.queueing import Place
from evercell.core.records import NewRun
from evercell.core.statuses import RunStatus
from evercell.engine.clusters import parse_cluster
from evercell.engine.leasing import take_lease
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.fleet import Fleet
from evercell.headless.serving import Server
from tests.clusters import DaskCluster, dask_cluster
from tests.conftest import Counter, postgres_database
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.kernel]


@pytest.fixture
def workspace(postgres_server: str) -> Iterator[Workspace]:
    databases = postgres_database(postgres_server)
    with open_workspace(resolve_settings(next(databases))) as opened:
        yield opened
    next(databases, None)


@pytest.fixture
def cluster(workspace: Workspace, tmp_path: Path) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path, {"EVERCELL_STORE": workspace.settings.store_url}) as made:
        yield made


@pytest.fixture
def fleet(cluster: DaskCluster, workspace: Workspace) -> Iterator[Fleet]:
    opened = Fleet(parse_cluster(cluster.address), workspace.settings.store_url)
    yield opened
    opened.close()


def _queued(workspace: Workspace, folder: Path, name: str, *cells: str) -> str:
    """A run that nobody executes yet."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / f"{name}.ipynb")
    new = NewRun(str(folder / f"{name}.ipynb"), status=RunStatus.QUEUED)
    return workspace.store.queue.put_new(new, Place(share="test"), at_most=100).id


def _verify(workspace: Workspace) -> None:
    report = verify_store(workspace)
    assert not report.problems and not any(found.problems for found in report.runs)


class Served:
    """Within, a server hands runs out, in a thread of the test."""

    def __init__(self, workspace: Workspace, fleet: Fleet) -> None:
        self._stop = threading.Event()
        server = Server(workspace, fleet, jobs=4, runs_on=fleet.runs_on, say=print)
        self._thread = threading.Thread(target=server.serve, args=(self._stop,), name="server")

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def served(workspace: Workspace, fleet: Fleet) -> Iterator[None]:
    with Served(workspace, fleet):
        yield


def _wait_for_ends(workspace: Workspace, *runs: str) -> None:
    def are_over() -> bool:
        return all(workspace.store.runs.find(run).status is RunStatus.COMPLETED for run in runs)

    wait_until(are_over, "the end of all runs")


def _holder(cluster: DaskCluster) -> tuple[str, list[psutil.Process]]:
    """The worker that executes something, and the processes that it does so with."""
    for name, process in cluster.processes.items():
        below = psutil.Process(process.pid).children(recursive=True)
        if name.startswith("worker") and below:
            return name, below
    raise AssertionError("no worker executes anything")


def test_a_run_that_is_delivered_again_and_again_is_executed_once(
    workspace: Workspace, fleet: Fleet, served: None, tmp_path: Path, counter: Counter
) -> None:
    runs = [_queued(workspace, tmp_path, f"nb{n}", "n = 1", counter.cell(f"run{n}")) for n in range(2)]
    for _ in range(3):  # whoever else thinks that it is to hand them out
        for run in runs:
            fleet.start(run)
    _wait_for_ends(workspace, *runs)
    fleet.start(runs[0])
    wait_until(lambda: not fleet.alive(), "Dask's word")
    assert sorted(counter.words()) == ["run0", "run1"]
    _verify(workspace)


def test_a_worker_and_a_scheduler_that_are_killed_cost_no_run_its_place(
    workspace: Workspace, cluster: DaskCluster, fleet: Fleet, served: None, tmp_path: Path, counter: Counter
) -> None:
    go = tmp_path / "go"
    run = _queued(
        workspace,
        tmp_path,
        "nb",
        counter.cell("first"),
        f"{counter.cell('second')}\nimport os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)",
        counter.cell("third"),
    )
    wait_until(lambda: "second" in counter.words(), "the second cell")
    name, below = _holder(cluster)
    cluster.kill(name)
    _, left = psutil.wait_procs(below, timeout=60)
    assert not left, "what the worker had started ends with it"
    cluster.kill("scheduler")
    go.touch()
    with pytest.raises(FleetAway, match="No Dask scheduler answers"):
        wait_until(lambda: bool(fleet.start(run)), "what cannot come")
    for worker in [w for w in cluster.processes if w != "scheduler"]:
        cluster.processes[worker].wait(timeout=60)  # one ends with its scheduler
    cluster.start()
    _wait_for_ends(workspace, run)
    assert counter.times("first") == 1 and counter.times("third") == 1
    # Dask may have handed it to the second worker, which ends with its scheduler, too.
    assert counter.times("second") in (2, 3), "the cell that was killed is begun again, once for each kill"
    _verify(workspace)


def test_the_processes_of_a_run_that_was_taken_over_end(
    workspace: Workspace, cluster: DaskCluster, fleet: Fleet, served: None, tmp_path: Path, counter: Counter
) -> None:
    run = _queued(workspace, tmp_path, "nb", f"{counter.cell('begun')}\nimport time\ntime.sleep(3600)")
    wait_until(lambda: "begun" in counter.words(), "the cell")
    _, below = _holder(cluster)
    held = take_lease(workspace, run, take_over=True)
    _, left = psutil.wait_procs(below, timeout=60)
    assert not left
    workspace.store.runs.set_status(held.lease, run, RunStatus.CANCELLED)
    held.release()
    wait_until(lambda: not fleet.alive(), "Dask's word")
