"""P1, P7: jobs of JupyterLab's own dialog are durable runs."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nbformat
import pytest

from evercell.engine.approvals.deciding import answer
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from tests.conftest import Counter
from tests.servers import TOKEN, JupyterServer, jupyter_server
from tests.waiting import wait_until

pytestmark = [pytest.mark.kernel]

CONFIGURATION = {
    "SchedulerApp": {"scheduler_class": "evercell.headless.jupyter_jobs.DurableScheduler"},
    "DurableTaskRunner": {"poll_interval": 1},
}


class Jobs:
    """The jobs of a Jupyter server, as its dialog makes them and its list shows them."""

    def __init__(self, server: JupyterServer) -> None:
        self._server = server

    def _ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._server.url}/scheduler/{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.loads(reply.read() or b"null")

    def create(self, name: str, *cells: str, **parameters: str) -> str:
        """A job of a notebook with these cells, the first one of which has the parameters' defaults."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        notebook.cells[0].metadata["tags"] = ["parameters"]
        notebook.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python 3",
            "language": "python",
        }
        nbformat.write(notebook, self._server.folder / f"{name}.ipynb")
        job = {
            "input_uri": f"{name}.ipynb",
            "runtime_environment_name": "python",
            "name": name,
            "output_formats": ["ipynb", "html"],
            "parameters": parameters,
        }
        return str(self._ask("jobs", job)["job_id"])

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(f"jobs/{job_id}")
        return found

    def wait_for(self, job_id: str, status: str) -> dict[str, Any]:
        """The job, once it has this status."""
        seen: dict[str, Any] = {}

        def has_it() -> bool:
            seen.update(self.job(job_id))
            # (one whose process has not begun is stopped, too, and does not say why)
            return bool(seen["status"] == status and (status != "STOPPED" or seen.get("status_message")))

        wait_until(lambda: bool(self.job(job_id).get("start_time")), "the job's process")
        try:
            wait_until(has_it, f"status {status}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {seen.get('status')} {seen.get('status_message')}") from None
        return self.job(job_id)

    def stop(self, job_id: str) -> None:
        self._ask(f"jobs/{job_id}", {"status": "STOPPED"}, "PATCH")


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def jobs(tmp_path: Path, home: Path, store_url: str) -> Iterator[Jobs]:
    config = home / "jupyter_config_dir"
    config.mkdir(parents=True)
    (config / "jupyter_server_config.json").write_text(json.dumps(CONFIGURATION))
    folder = tmp_path / "root"
    folder.mkdir()
    with jupyter_server(folder, EVERCELL_STORE=store_url, EVERCELL_WAIT_GRACE="0.5s") as server:
        yield Jobs(server)


def _outputs(home: Path, job_id: str) -> str:
    """What the job's executed notebook shows."""
    found = list((home / "jupyter_data_dir" / "scheduler_staging_area" / job_id).glob("*-20*.ipynb"))
    return "".join(
        output.get("text", "")
        for cell in nbformat.read(found[0], as_version=4).cells
        for output in cell.get("outputs", ())
    )


def _pid_of(home: Path, job_id: str) -> int:
    with closing(sqlite3.connect(home / "jupyter_data_dir" / "scheduler.sqlite")) as database:
        return int(database.execute("SELECT pid FROM jobs WHERE job_id = ?", (job_id,)).fetchone()[0])


def test_a_job_waits_without_a_process_and_goes_on_when_it_is_answered(
    jobs: Jobs, counter: Counter, store_url: str, home: Path
) -> None:
    job_id = jobs.create(
        "waits",
        "n, who = 1, 'nobody'",
        counter.cell("first"),
        "import evercell\nevercell.approve('Send <b>all</b>?')",
        f"print('n is', n, 'for', who)\n{counter.cell('last')}",
        n="5",
        who="'Anna' + 'bel'",
    )
    stopped = jobs.wait_for(job_id, "STOPPED")
    assert "Send <b>all</b>?" in stopped["status_message"] and "evercell resume" in stopped["status_message"]
    assert counter.words() == ["first"]
    with open_workspace(resolve_settings(store_url)) as workspace:
        (approval,) = workspace.store.approvals.pending()
        answer(workspace, approval.id, approval.question.choices[0], by="boss", via="test")
    done = jobs.wait_for(job_id, "COMPLETED")
    assert not done.get("status_message")
    assert counter.words() == ["first", "last"]
    assert "n is 5 for Annabel" in _outputs(home, job_id)


def test_a_job_whose_process_is_killed_goes_on_and_one_that_is_stopped_or_fails_says_so(
    jobs: Jobs, counter: Counter, tmp_path: Path, home: Path
) -> None:
    go = tmp_path / "go"
    wait = f"import os, time\nwhile not os.path.exists({str(go)!r}): time.sleep(0.05)"
    cells = ("n = 1", counter.cell("first"), f"{counter.cell('second')}\n{wait}", "print('n is', n)")
    killed, stopped = (jobs.create(name, *cells, n="[1, 2]") for name in ("killed", "stopped"))
    failing = jobs.create("fails", "n = 1", "1 / 0")
    wait_until(lambda: counter.times("second") == 2, "both second cells")
    os.kill(_pid_of(home, killed), signal.SIGKILL)
    jobs.stop(stopped)
    go.touch()
    jobs.wait_for(killed, "COMPLETED")
    assert "n is [1, 2]" in _outputs(home, killed)
    assert jobs.job(stopped)["status"] == "STOPPED"
    failed = jobs.wait_for(failing, "FAILED")
    assert "ZeroDivisionError: division by zero" in failed["status_message"]
    assert "evercell resume" in failed["status_message"]
    assert counter.times("first") == 2, "no step that completed is executed again"
