"""The notebooks that come with evercell do what they say."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from evercell.headless.demo import shipped_notebook
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel
ROOT = Path(__file__).parents[2]
FIVE_MINUTES = 300.0


def _code_cells(name: str, **parameters: object) -> list[tuple[str, str]]:
    notebook = nbformat.read(shipped_notebook(name), as_version=4)
    cells = [(cell.id, cell.source) for cell in notebook.cells if cell.cell_type == "code"]
    values = "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    return [(key, source + values if key == "parameters" else source) for key, source in cells]


@pytest.mark.parametrize(
    ("name", "cells"), [("quickstart.ipynb", 6), ("agent_loop.ipynb", 7), ("what_if.ipynb", 9)]
)
def test_a_notebook_shows_what_its_stored_outputs_say(tmp_path: Path, name: str, cells: int) -> None:
    shutil.copy(shipped_notebook(name), tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path / name)],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{cells} passed" in done.stdout


def test_the_agent_loop_asks_nothing_twice_though_its_kernel_is_killed(
    new_kernel: Callable[..., Kernel],
) -> None:
    cells = _code_cells("agent_loop.ipynb")
    kernel = new_kernel(load=False, EVERCELL_FAULT="after_call_commit:3")  # within the second step

    def run_all(kernel: Kernel) -> None:
        for cell_id, source in cells:
            shown = kernel.run(source, cell_id=cell_id)
            assert shown.status == "ok", shown.error
            assert "not kept" not in shown.notes, "clients of a setup cell are no part of the state"

    with pytest.raises(KernelGone):
        run_all(kernel)
    kernel = new_kernel(load=False)
    run_all(kernel)
    assert kernel.value("(sorted(densities), report)") == (["Oslo", "Quito", "Rome"], "Densest is Quito.")
    calls = "get_ipython().evercell_extension.session"
    tries = kernel.value(f"{calls}.store.calls.tries({calls}.run.id, 'work')")
    assert all(len(found) == 1 for found in tries.values()) and len(tries) == 4


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_research_agent_replays_in_the_same_kernel_in_a_new_one_and_after_resume(
    new_kernel: Callable[..., Kernel],
) -> None:
    cells = _code_cells("research_agent.ipynb", topic="wine", budget=15)

    def run_all(kernel: Kernel) -> list[str]:
        notes = []
        for cell_id, source in cells:
            shown = kernel.run(source, cell_id=cell_id)
            assert shown.status == "ok", shown.error
            notes += [shown.notes] if shown.notes else []
        return notes

    kernel = new_kernel(load=False)
    assert run_all(kernel) == []
    log = kernel.value("agent.log")
    assert run_all(kernel) == [], "nothing changed: nothing executes again"
    kernel.kill()
    kernel = new_kernel(load=False)
    assert run_all(kernel) == []
    assert kernel.value("agent.log") == log
    kernel.kill()
    kernel = new_kernel()
    kernel.run("%resume")
    assert kernel.value("(type(agent) is Researcher, agent.log)") == (True, log)
    assert run_all(kernel) == []


@pytest.mark.timeout(2 * FIVE_MINUTES)
def test_five_minutes_are_enough_for_a_newcomer_to_see_a_killed_run_complete(tmp_path: Path) -> None:
    """The README's first command, in an empty virtual environment, timed: from there to the end of the demo."""
    checkout = tmp_path / "evercell"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "build", "tests", "__pycache__"))
    command = re.findall(r"```sh\n(.*evercell demo)\n```", (ROOT / "README.md").read_text())
    assert len(command) == 1
    venv.create(tmp_path / "venv", with_pip=True)
    own = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV", "EVERCELL_STORE")}
    own["PATH"] = f"{tmp_path / 'venv' / 'bin'}:{own['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command[0]], cwd=checkout, env=own, capture_output=True, text=True, check=False,
        timeout=FIVE_MINUTES,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed with SIGKILL in the middle of step evaluate" in done.stdout
    demo = checkout / "evercell-demo"
    report = (demo / "report.md").read_text()
    assert "data:image/png;base64," in report
    shown = subprocess.run(
        [tmp_path / "venv/bin/evercell", "--store", demo / "store.db", "show", "research_agent-1", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    run = json.loads(shown.stdout)
    steps = {step["name"]: step for step in run["steps"]}
    assert run["status"] == "completed"
    assert all(step["versions"] == 1 for step in steps.values()), "each completed once"
    assert steps["evaluate"]["attempts"] == 2
    assert [name for name, step in steps.items() if step["attempts"] != 1] == ["evaluate"]
    shipped = ("kernels/evercell/kernel.json", "labextensions/evercell/package.json")
    assert all((tmp_path / "venv/share/jupyter" / name).exists() for name in shipped)
