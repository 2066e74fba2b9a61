"""`evercell stats`: what takes space and time, and what fails."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from evercell.cli.app import app
from evercell.engine.branching import create_branch
from evercell.engine.settings import Settings
from evercell.engine.statistics import read_statistics
from evercell.engine.workspace import open_workspace
from tests.unit.sessions import Notebook

CALLS = """
import evercell
@evercell.step
def ask(n):
    if n > 1:
        raise ValueError('no')
    return n
ask(1)
for _ in range(2):
    try:
        ask(2)
    except ValueError:
        pass
"""


def test_space_is_counted_once_where_it_was_first_taken(store_url: str, tmp_path: Path) -> None:
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        notebook = Notebook(workspace)
        notebook.step("load", "import random\nrows = random.Random(1).randbytes(300_000)\nprint('loaded')")
        notebook.step("copy", "again = bytes(rows)")
        notebook.step("agent", CALLS)
        notebook.step("agent2", "raise ValueError('no')")
        notebook.session.detach()
        run = notebook.session.require_run()
        create_branch(workspace, workspace.store.runs.find(run.id), step="load", name="child")
        found = read_statistics(workspace)
        assert found.unread == []
        assert found.by_run.keys() == {run.name}
        assert 300_000 < found.by_step["load"] < 315_000
        assert found.by_step["copy"] < 10_000, "it has the same content"
        assert found.by_variable["rows"] > 299_000 and found.by_variable["(outputs)"] > 0
        assert found.stored == sum(found.by_run.values()) == sum(found.by_step.values())
        assert found.ratio is not None and 1.9 < found.ratio < 2.2
        assert {times.step for times in found.slowest} == {"load", "copy", "agent"}
        assert (found.steps["agent2"].failed, found.steps["agent2"].rate) == (1, 1.0)
        (asked,) = (one for name, one in found.callees.items() if "ask" in name)
        assert (asked.completed, asked.failed) == (1, 2)
        assert read_statistics(workspace, "child").stored == 0
    words = ["--store", store_url, "stats"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0 and "Slowest steps" in said.output and "rows" in said.output
    said = CliRunner().invoke(app, [*words, run.name, "--json"])
    assert json.loads(said.output)["by_run"].keys() == {run.name}
    assert CliRunner().invoke(app, [*words, "nothing"]).exit_code == 1


def test_an_empty_store_has_no_figures(store_url: str, tmp_path: Path) -> None:
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        assert read_statistics(workspace).as_json()["stored"] == 0
    assert CliRunner().invoke(app, ["--store", store_url, "stats"]).exit_code == 0
