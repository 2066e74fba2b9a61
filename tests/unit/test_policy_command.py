"""``evercell policy`` as one types it: what would be asked about or denied is said, and nothing is executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner, Result

import evercell
from evercell.cli.app import app
from evercell.core.clock import system_clock
from evercell.core.records import NewRun
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable
from tests.unit.sessions import Notebook

RULES = """
deny = ["shell(command=rm *)", "%%step deploy*"]
ask = ["transfer(amount>100)"]
"""


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("EVERCELL_USER", "agent")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str) -> Result:
    return CliRunner().invoke(app, ["policy", *words])


def rows(*words: str) -> list[list[str]]:
    found = json.loads(command("check", *words, "--json").output)
    return [[row["effect"], row["step"], row["call"], row["then"]] for row in found]


SOURCES = (
    "@evercell.step\ndef transfer(amount, to='me'): return amount\n@evercell.step\ndef shell(command): return command",
    "%%step agent\ntransfer(1)\ntransfer(1000)\ntransfer(amount=n)\n"
    "shell('ls')\nshell(command='rm -rf /')\nprint(transfer)",
    "%%step deploy-it --retries 3\nevercell.map(shell, commands)",
    "%%step <b>x\n1",
    "%matplotlib inline\n!ls\nthis is no python",
)


def write_notebook(path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in SOURCES]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def test_a_notebook_is_checked_before_it_runs(folder: Path) -> None:
    (folder / "policy.toml").write_text(RULES)
    write_notebook(folder / "a <b>.ipynb")
    assert rows("a <b>.ipynb") == [
        ["allow", "agent", "", ""],
        ["allow", "agent", "transfer", ""],
        ["ask", "agent", "transfer", ""],
        ["perhaps ask", "agent", "transfer", ""],
        ["allow", "agent", "shell", ""],
        ["deny", "agent", "shell", ""],
        ["deny", "deploy-it", "", ""],
        ["perhaps deny", "deploy-it", "shell", ""],
        ["allow", "<b>x", "", ""],
    ]
    said = command("check", "a <b>.ipynb")
    assert said.exit_code == 3 and "4 of 9 steps and calls are allowed." in said.output
    assert "ask transfer(amount>100)" in said.output and "shell('ls')" not in said.output
    (folder / "policy.toml").unlink()
    assert command("check", "a <b>.ipynb").exit_code == 0


def test_a_check_says_why_a_hook_cannot_decide(folder: Path) -> None:
    (folder / "policy.toml").write_text('hooks = ["limits-of-nobody"]')
    write_notebook(folder / "a.ipynb")
    said = command("check", "a.ipynb")
    assert (
        said.exit_code == 3 and "The policy's hook 'limits-of-nobody' is not there. Install it" in said.output
    )
    assert "\\n" not in said.output and "UsageError" not in said.output
    assert all(
        "is not there" in row["why"] for row in json.loads(command("check", "a.ipynb", "--json").output)
    )


@evercell.step
def transfer(amount: int, to: str = "me") -> int:
    return amount


@evercell.step
def shell(command: str) -> str:
    return command


def run_agent(folder: Path) -> str:
    """Calls that were made when no policy counted."""
    with open_workspace(resolve_settings()) as workspace:
        durable = Durable(workspace, system_clock)  # type: ignore[arg-type]
        write_notebook(folder / "nb.ipynb")
        new = NewRun(notebook=str(folder / "nb.ipynb"), created_by="agent")
        durable.run = workspace.store.runs.create(new)

        def agent() -> None:
            evercell.now()
            transfer(1)
            transfer(1000)
            shell("rm -rf /")
            shell("x" * 1000)

        durable.step("agent", agent)
        return durable.run.name


def test_recorded_calls_are_decided_on_as_they_would_be_now(folder: Path) -> None:
    name = run_agent(folder)
    assert {row[0] for row in rows(name)} == {"allow"}
    (folder / "policy.toml").write_text(RULES)
    assert rows(name) == [
        ["allow", "agent", "transfer#0", ""],
        ["ask", "agent", "transfer#1", ""],
        ["deny", "agent", "shell#0", ""],
        ["perhaps deny", "agent", "shell#1", ""],  # its argument is not kept whole
    ]
    (folder / "policy.toml").write_text("deny = [")
    broken = command("check", name)
    assert broken.exit_code == 2 and "policy.toml is no TOML" in broken.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("check", "nowhere"), "There is no run"),
        (("check", "nowhere.ipynb"), "There is no notebook"),
        (("check", "empty.ipynb"), "no notebook that can be read"),
        (("show", "nowhere"), "There is no run"),
        (("release", "nowhere", "abcd"), "There is no run"),
    ],
)
def test_what_is_not_there_is_named(folder: Path, words: tuple[str, ...], said: str) -> None:
    run_agent(folder)
    (folder / "empty.ipynb").touch()
    done = command(*words)
    assert done.exit_code in (1, 2) and said in done.output


def test_the_rules_that_count_are_listed_with_their_places_and_somebody_else_releases_a_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "No policy counts here" in command("show").output
    (folder / "policy.toml").write_text('deny = ["shell(command=<b>*)"]')
    with open_workspace(resolve_settings()) as workspace:
        notebook = Notebook(workspace)
        notebook.step("one", "x = 1")
        name = notebook.session.require_run().name
        notebook.session.detach()
    shown = command("show").output
    assert "shell(command=<b>*)" in shown and str(folder / "policy.toml") in shown
    (folder / "policy.toml").unlink()
    (policy,) = json.loads(command("show", name, "--json").output)
    assert policy["deny"] == ["shell(command=<b>*)"] and "frozen" in command("show", name).output
    own = command("release", name, policy["digest"][:8])
    assert own.exit_code == 1 and "agent may not release" in own.output
    monkeypatch.setenv("EVERCELL_USER", "ann")
    assert "has no policies whose digest" in command("release", name, "zzzz").output
    assert command("release", name, policy["digest"][:8]).exit_code == 0
    assert json.loads(command("show", name, "--json").output) == []
    said: Any = CliRunner().invoke(app, ["log", name]).output
    assert "ann released it from the policy" in said and "counts for it from now on" in said
