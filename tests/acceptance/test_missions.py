"""A notebook's mission: approved by somebody else, gone on with by another kernel, and closed; and a headless one."""

from __future__ import annotations

import json
import subprocess
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
from tests.commands import run_command
from tests.forked import EVERCELL, Forked
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
