"""P1, P6: a worker that is cut off for longer than its lease loses its run to another one, and changes nothing more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import nbformat
import psutil
import pytest

from bench.faults.stores import FaultyStore, postgres_store
from bench.fleet.work import SETUP, count_effects, database_of_effects
from evercell.core.queueing import Place
from evercell.core.records import EventKind, NewRun
from evercell.core.statuses import RunStatus
from evercell.engine.clusters import parse_cluster
from evercell.engine.settings import resolve_settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from evercell.headless.fleet import Fleet
from tests.acceptance.test_fleet import Served
from tests.clusters import dask_cluster, worker_names
from tests.namespaces import Network, network, why_no_networks
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.kernel, pytest.mark.long]
"""Not beside other tests: it makes network interfaces, and a browser that hears of one drops what it was loading."""


@pytest.fixture
def hosts() -> Iterator[Network]:
    if (why := why_no_networks()) is not None:
        pytest.skip(f"needs networks of its own: {why}")
    with network(worker_names(2)) as made:
        yield made


@pytest.fixture
def store(hosts: Network) -> Iterator[FaultyStore]:
    with postgres_store(hosts.address) as made:
        yield made


@pytest.fixture
def workspace(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_LEASE_SECONDS", "6")
    with open_workspace(resolve_settings(store.url)) as opened:
        yield opened


def _queue(workspace: Workspace, folder: Path, effects: str) -> str:
    begun, go = str(folder / "begun"), str(folder / "go")
    cells = [
        "n = 0",
        SETUP.format(url=effects),
        "act(n, 'first')",
        f"import os, socket, time\nwith open({begun!r}, 'a') as file: print(socket.gethostname(), file=file)\n"
        f"while not os.path.exists({go!r}): time.sleep(0.05)\nact(n, 'second')",
        "act(n, 'third')",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, folder / "nb.ipynb")
    new = NewRun(str(folder / "nb.ipynb"), status=RunStatus.QUEUED)
    return workspace.store.queue.put_new(new, Place(share="test"), at_most=1).id


def test_the_run_of_a_worker_that_is_cut_off_goes_on_elsewhere_and_the_worker_is_fenced_when_its_link_is_back(
    hosts: Network, store: FaultyStore, workspace: Workspace, tmp_path: Path
) -> None:
    begun = tmp_path / "begun"

    def begun_on() -> list[str]:
        return begun.read_text().split() if begun.exists() else []

    with (
        database_of_effects(store) as effects,
        dask_cluster(tmp_path, {"EVERCELL_STORE": store.url}, network=hosts) as cluster,
        closing(Fleet(parse_cluster(cluster.address), store.url)) as fleet,
        Served(workspace, fleet),
    ):
        run = _queue(workspace, tmp_path, effects)
        wait_until(lambda: len(begun_on()) == 1, "the cell on the first worker")
        (first,) = begun_on()
        cut_off = _runner(cluster.processes[first].pid)
        hosts.cut(first)
        wait_until(lambda: len(begun_on()) == 2, "the cell on another worker")
        assert all(process.is_running() for process in cut_off), "the one that is cut off knows of nothing"
        (tmp_path / "go").touch()  # for both
        wait_until(lambda: workspace.store.runs.find(run).status is RunStatus.COMPLETED, "the run's end")
        hosts.mend(first)
        _, left = psutil.wait_procs(cut_off, timeout=60)
        assert not left, "the processes of the one that was cut off"
        assert count_effects(effects) == Counter({(0, what): 1 for what in ("first", "second", "third")})
        assert _writers(workspace, run)[-1] != first == begun_on()[0]
        report = verify_store(workspace)
        assert not report.problems and not any(found.problems for found in report.runs)


def _runner(worker: int) -> list[psutil.Process]:
    """The runner on a worker, and its kernel."""
    below = psutil.Process(worker).children(recursive=True)
    found = [p for p in below if any("evercell" in word for word in p.cmdline())]
    assert len(found) == 2, [p.cmdline() for p in below]
    return found


def _writers(workspace: Workspace, run: str) -> list[str]:
    """The hosts whose kernels wrote to a run, in order."""
    events = workspace.store.journal.events(run)
    return [str(event.data["host"]) for event in events if event.kind is EventKind.LEASE_TAKEN]
