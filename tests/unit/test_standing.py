"""How a run stands: one judgement for every listing, from the stored status and what is known of the kernel."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from evercell.core.records import Holder, NewRun, Run
from evercell.core.statuses import RunStatus
from evercell.engine.holder import this_holder
from evercell.engine.listing import list_runs, list_steps, run_row
from evercell.engine.pausing import pause
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.unit.sessions import Notebook


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    yield made
    made.session.detach()


def shown(workspace: Workspace, run: Run | str) -> str:
    """How a run stands, looked up by itself and in a list, which agree."""
    found = workspace.store.runs.find(run if isinstance(run, str) else run.id)
    (listed,) = [row for row in list_runs(workspace) if row.run.id == found.id]
    row = run_row(workspace, found)
    assert row == listed
    assert row.as_json()["standing"] == str(row.standing)
    return str(row.standing)


def a_dead_process() -> Holder:
    """The holder of a process that lived and ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    holder = dataclasses.replace(
        this_holder(), pid=process.pid, started=psutil.Process(process.pid).create_time()
    )
    process.communicate(b"\n")
    return holder


def died_with_a_step_under_way(workspace: Workspace, run: Run) -> None:
    lease = workspace.store.leases.acquire(
        run.id, session_id="s", holder=a_dead_process(), ttl=timedelta(hours=1)
    )
    workspace.store.steps.begin(lease, step="fit", cell_id=None, key=b"k" * 32)


def test_a_run_is_running_only_while_a_step_is_under_way(notebook: Notebook) -> None:
    workspace = notebook.session.workspace
    seen: list[str] = []
    notebook.variables["look"] = lambda: seen.append(shown(workspace, notebook.session.require_run()))
    notebook.step("fit", "look()")
    assert seen == ["running"]
    run = notebook.session.require_run()
    assert shown(workspace, run) == "idle (kernel attached)"
    notebook.session.detach()
    assert shown(workspace, run) == "paused"


def test_a_run_that_is_replayed_is_not_paused(notebook: Notebook) -> None:
    """Neither once it is resumed, nor after a replay that lands beside the head."""
    notebook.step("make", "items = [1]")
    notebook.step("change", "items.append(2)")
    notebook.session.detach()
    workspace, run = notebook.session.workspace, notebook.session.require_run()
    again = Notebook(workspace, run.id)
    assert shown(workspace, run) == "paused"
    again.resume()
    assert shown(workspace, run) == "idle (kernel attached)"
    again.step("make", "items = [1]")
    assert shown(workspace, run) == "idle (kernel attached)"
    assert workspace.store.runs.find(run.id).status is RunStatus.RUNNING
    again.session.detach()


def test_a_run_whose_kernel_died_is_interrupted_and_so_is_its_step(workspace: Workspace) -> None:
    run = workspace.store.runs.create(NewRun(notebook=None, created_by="test"))
    died_with_a_step_under_way(workspace, run)
    assert shown(workspace, run) == "interrupted (kernel gone)"
    row = run_row(workspace, workspace.store.runs.find(run.id)).as_json()
    assert (row["status"], row["kernel"], row["is_abandoned"]) == ("running", "gone", True)
    assert [step.status for step in list_steps(workspace, run)] == ["interrupted"]


def test_an_expired_lease_of_another_machine_is_a_kernel_that_is_gone(workspace: Workspace) -> None:
    run = workspace.store.runs.create(NewRun(notebook=None, created_by="test"))
    elsewhere = dataclasses.replace(this_holder(), boot="another boot")
    lease = workspace.store.leases.acquire(run.id, session_id="s", holder=elsewhere, ttl=timedelta(hours=1))
    workspace.store.steps.begin(lease, step="fit", cell_id=None, key=b"k" * 32)
    assert shown(workspace, run) == "running"
    workspace.store.leases.renew(lease, ttl=timedelta(0))
    assert shown(workspace, run) == "interrupted (kernel gone)"


def test_a_run_that_somebody_paused_says_so_with_its_kernel_on_it(notebook: Notebook) -> None:
    notebook.step("one", "x = 1")
    workspace, run = notebook.session.workspace, notebook.session.require_run()
    pause(workspace, run.name, by="ann")
    assert shown(workspace, run) == "paused (kernel attached)"
    notebook.session.detach()
    assert shown(workspace, run) == "paused"


@pytest.mark.parametrize("status", ["queued", "completed", "failed", "cancelled", "waiting", "paused"])
def test_a_run_that_nobody_is_on_stands_as_it_is_stored(workspace: Workspace, status: str) -> None:
    run = workspace.store.runs.create(NewRun(notebook=None, created_by="test", status=RunStatus(status)))
    assert shown(workspace, run) == status
