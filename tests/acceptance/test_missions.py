"""A notebook's mission: approved by somebody else, gone on with by another kernel, and closed; and a headless one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest

from evercell.core.clock import system_clock
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.headless.endings import ExitCode
from tests.commands import run_command, run_program
from tests.forked import EVERCELL, PAPERMILL, Forked
from tests.kernels import Kernel, KernelGone
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel

MISSION = """
objective = "Pay <i>all</i> invoices"
tools = ["transfer(amount<=10)"]
plan = "plan"
"""

SETUP = """%%setup
import evercell
@evercell.step
def transfer(amount):
    with open("effects", "a") as file:
        print(amount, file=file)
    return amount
"""


def mission_of(run: str) -> Any:
    return json.loads(run_command("mission", run, "--json").stdout)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_notebooks_mission_is_planned_approved_gone_on_with_after_a_kill_and_closed(
    new_kernel: Callable[..., Kernel], tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mission.toml").write_text(MISSION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.setenv("EVERCELL_USER", "agent")
    effects = tmp_path / "effects"
    asked: list[str] = []

    def answered_by_bob(kind: str, content: dict[str, Any]) -> None:
        pending = (
            json.loads(run_command("inbox", "--json").stdout) if kind == "display_data" and not asked else []
        )
        for one in pending:
            asked.append(one["details"])
            assert run_command("approve", one["id"]).returncode == 1
            monkeypatch.setenv("EVERCELL_USER", "bob")
            assert run_command("approve", one["id"]).returncode == 0
            monkeypatch.setenv("EVERCELL_USER", "agent")

    kernel = new_kernel(EVERCELL_FAULT="before_mission_commit:5")  # dies on its way to IN_PROGRESS
    kernel.run(SETUP)
    shown = kernel.run("%mission mission.toml")
    assert "CREATED (agent" in shown.text and "tools: transfer(amount<=10)" in shown.text
    assert "CREATED (agent" in kernel.run("%mission mission.toml").text, "the same file launches nothing anew"
    early = kernel.run("%%step pay\ntransfer(1)")
    assert early.error.startswith("MissionNotApproved: Step pay is not executed")
    kernel.run("%%step plan\nprint('first <1>, then 10')")
    with pytest.raises(KernelGone):
        kernel.run("%%step pay\ntransfer(1)", on_message=answered_by_bob)
    assert len(asked) == 1 and "plan:\nfirst <1>, then 10" in asked[0] and not effects.exists()
    assert mission_of("nb-1")["state"] == "PENDING_EXECUTION"

    again = new_kernel()
    again.run(SETUP)
    again.run("%resume")
    assert again.run("%%step pay\ntransfer(1)").status == "ok"
    refused = again.run("%%step more\ntransfer(11)")
    assert "transfer() is not allowed" in refused.error and "tools are transfer(amount<=10)" in refused.error
    (tmp_path / "mission.toml").write_text(MISSION.replace("10", "99"))
    assert "launched with other words (tools)" in again.run("%mission mission.toml").error
    closed = again.run("%mission --close")
    assert "CLOSED: executed (agent" in closed.text
    assert again.run("%%step late\ntransfer(2)").error.startswith("MissionClosed: ")
    assert effects.read_text().split() == ["1"]
    assert [one["by"] for one in mission_of("nb-1")["states"]] == [*["agent"] * 3, "bob", *["agent"] * 4]
    assert run_command("verify").returncode == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_headless_mission_waits_for_its_approval_and_ends_when_its_time_is_over(
    tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"STORE": store_url, "USER": "agent", "WAIT_GRACE": "100ms"}.items():
        monkeypatch.setenv(f"EVERCELL_{name}", value)
    monkeypatch.chdir(tmp_path)
    cells = [
        "%load_ext evercell",
        SETUP.replace("%%setup\n", ""),
        "transfer(5)\nimport time\ntime.sleep(600)",
    ]
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(made, tmp_path / "nb.ipynb")
    (tmp_path / "mission.toml").write_text(MISSION.replace("plan =", "timeout = '1h' #"))
    waits = run_command("run", "nb.ipynb", "--mission", "mission.toml")
    assert waits.returncode == 75 and "approval of 'Mission: Pay" in waits.stderr
    monkeypatch.setenv("EVERCELL_USER", "bob")
    assert run_command("approve", "nb-1").returncode == 0
    monkeypatch.setenv("EVERCELL_USER", "agent")

    runner = Forked([EVERCELL, "resume", "nb-1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with runner:
        wait_until((tmp_path / "effects").exists, "the call was made")

        def later() -> datetime:
            return system_clock() + timedelta(hours=2)

        with open_workspace(resolve_settings(), clock=later) as workspace:  # another machine serves the store
            assert workspace.store.missions.expire(workspace.store.runs.find("nb-1").id)
        assert runner.wait(120) == ExitCode.CANCELLED
    mission = mission_of("nb-1")
    assert mission["outcome"] == "expired" and mission["states"][-1]["prev"] == "IN_PROGRESS"
    assert (tmp_path / "effects").read_text().split() == ["5"]
    again = run_command("resume", "nb-1")
    assert again.returncode == 1 and "mission of run nb-1 is expired" in again.stderr
    assert run_command("verify").returncode == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_cells_above_the_plan_prepare_it_and_call_nothing(
    tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"STORE": store_url, "USER": "agent", "WAIT_GRACE": "100ms"}.items():
        monkeypatch.setenv(f"EVERCELL_{name}", value)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mission.toml").write_text(MISSION)

    def launched(name: str, *cells: str) -> subprocess.CompletedProcess[str]:
        made = [nbformat.v4.new_code_cell(cell) for cell in (SETUP.replace("%%setup\n", ""), *cells)]
        nbformat.write(nbformat.v4.new_notebook(cells=made), tmp_path / "nb.ipynb")
        return run_command("run", "nb.ipynb", "--mission", "mission.toml", "--name", name)

    early = launched("early", "transfer(1)", "# step: plan\nprint('5')")
    assert (
        early.returncode == 1
        and "transfer() is not called: the mission of run early is PLANNING" in early.stderr
    )
    waits = launched("right", "# step: plan\nprint('5')", "transfer(5)")
    assert waits.returncode == 75 and "approval of 'Mission: Pay" in waits.stderr
    monkeypatch.setenv("EVERCELL_USER", "bob")
    assert run_command("approve", "right").returncode == 0
    late = run_command("reject", "right")
    assert late.returncode == 1 and "was decided already: Approve, by bob on 20" in late.stderr
    assert run_command("resume", "right").returncode == 0
    assert (mission_of("right")["outcome"], mission_of("early")["outcome"]) == ("executed", "failed")
    assert (tmp_path / "effects").read_text().split() == ["5"]
    assert run_command("verify").returncode == 0


@pytest.fixture
def in_folder(tmp_path: Path, store_url: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which an agent works; there is a notebook that pays 5, and its mission."""
    for name, value in {"STORE": store_url, "USER": "agent", "WAIT_GRACE": "100ms"}.items():
        monkeypatch.setenv(f"EVERCELL_{name}", value)
    monkeypatch.chdir(tmp_path)
    write_notebook(
        tmp_path / "pay.ipynb", SETUP.replace("%%setup\n", ""), "# step: plan\nprint('5')", "transfer(5)"
    )
    (tmp_path / "mission.toml").write_text(MISSION)
    return tmp_path


def write_notebook(path: Path, *cells: str) -> None:
    made = [nbformat.v4.new_code_cell(cell) for cell in cells]
    nbformat.write(nbformat.v4.new_notebook(cells=made), path)


def approved_by_bob(run: str) -> None:
    done = run_command("approve", run)
    assert done.returncode == 1, "the agent approves nothing of its own"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERCELL_USER", "bob")
        done = run_command("approve", run)
    assert done.returncode == 0, done.stderr


def papermill(*words: str) -> subprocess.CompletedProcess[str]:
    command = [PAPERMILL, "pay.ipynb", "out.ipynb", "--engine", "evercell", *words]
    return run_program(command, capture_output=True, text=True)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_papermill_launches_a_mission_goes_on_with_it_and_with_no_other(
    in_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERCELL_MISSION", "mission.toml")
    waits = papermill()
    assert waits.returncode == 75 and "approval of 'Mission: Pay" in waits.stderr
    assert not (in_folder / "effects").exists()
    (in_folder / "other.toml").write_text(MISSION.replace("10", "99"))
    monkeypatch.setenv("EVERCELL_MISSION", "other.toml")
    other = papermill()
    assert other.returncode and "launched with other words (tools)" in other.stderr
    approved_by_bob("pay-1")
    monkeypatch.delenv("EVERCELL_MISSION")
    assert papermill().returncode == 0, "a run keeps its mission, whether it is named again or not"
    assert (mission_of("pay-1")["outcome"], (in_folder / "effects").read_text().split()) == (
        "executed",
        ["5"],
    )
    monkeypatch.setenv("EVERCELL_MISSION", "missing.toml")
    missing = papermill()
    assert missing.returncode and "missing.toml cannot be read" in missing.stderr

    monkeypatch.delenv("EVERCELL_MISSION")
    monkeypatch.setenv("EVERCELL_USER", "bob")
    started = (
        "import papermill; papermill.execute_notebook('pay.ipynb', 'out.ipynb', engine_name='evercell', "
    )
    words = [sys.executable, "-c", f"{started} mission='mission.toml', progress_bar=False)"]
    run_program(words, capture_output=True, text=True)
    assert mission_of("pay-2")["state"] == "WAITING_APPROVAL"
    rejected = run_command("reject", "pay-2")
    assert rejected.returncode == 1, "bob is the run now"
    monkeypatch.setenv("EVERCELL_USER", "ann")
    assert run_command("reject", "pay-2").returncode == 0
    monkeypatch.setenv("EVERCELL_USER", "bob")
    monkeypatch.setenv("EVERCELL_MISSION", "mission.toml")
    assert papermill().returncode == 75, "what was rejected is over: the same command launches another one"
    assert mission_of("pay-2")["outcome"] == "rejected"
    assert mission_of("pay-3")["state"] == "WAITING_APPROVAL"
    assert run_command("verify").returncode == 0


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_step_starts_a_notebook_as_a_mission_of_its_own(in_folder: Path) -> None:
    asking = "import evercell\nevercell.run_notebook('pay.ipynb', mission='mission.toml').run"
    write_notebook(in_folder / "month.ipynb", asking)
    with Forked([EVERCELL, "run", "month.ipynb", "--wait-grace", "600s", "-q"]) as runner:
        wait_until(lambda: run_command("mission", "pay-1").returncode == 0, "the child")
        wait_until(lambda: "Mission: Pay" in run_command("inbox").stdout, "the child's question")
        assert not (in_folder / "effects").exists()
        approved_by_bob("month-1")
        assert runner.wait(120) == 0
    assert (mission_of("pay-1")["outcome"], mission_of("month-1")) == ("executed", None)
    assert (in_folder / "effects").read_text().split() == ["5"]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_each_run_of_a_schedule_waits_for_an_approval_of_its_own(in_folder: Path) -> None:
    added = run_command("schedule", "add", "0 2 * * *", "pay.ipynb", "--mission", "mission.toml")
    assert added.returncode == 0 and "each run is a mission: Pay <i>all</i> invoices" in added.stdout
    (in_folder / "mission.toml").write_text("not any more")
    refused = run_command(
        "schedule", "add", "0 2 * * *", "pay.ipynb", "--name", "b", "--mission", "mission.toml"
    )
    assert refused.returncode == 2 and "is no TOML" in refused.stderr
    name = json.loads(run_command("schedule", "run", "pay", "--json").stdout)["name"]
    assert mission_of(name)["definition"]["tools"] == {"transfer(amount<=10)": "L1"}
    assert run_command("serve", "--until-idle").returncode == 0
    assert mission_of(name)["state"] == "WAITING_APPROVAL" and not (in_folder / "effects").exists()
    approved_by_bob(name)
    assert run_command("serve", "--until-idle").returncode == 0
    assert (mission_of(name)["outcome"], (in_folder / "effects").read_text().split()) == ("executed", ["5"])
