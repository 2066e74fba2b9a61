"""``evercell log``: the journal in words, to its end or for as long as the run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.records import Event, NewRun
from evercell.core.statuses import RunStatus
from evercell.engine.journal_reading import follow_journal, read_journal
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.views.journal import event_text
from tests.database import open_database
from tests.unit.sessions import Notebook


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    with open_workspace(resolve_settings()) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    run = workspace.store.runs.create(NewRun("/w/nb.ipynb", name="nightly", run_key="schedule:x@now"))
    made = Notebook(workspace, run.id)
    yield made
    made.session.detach()


def log(*words: str, fails: int = 0) -> str:
    result = CliRunner().invoke(app, ["log", *words])
    assert result.exit_code == fails, result.output
    return result.output


def test_one_line_an_event_with_the_time_here(workspace: Workspace, notebook: Notebook) -> None:
    notebook.step("plan", "x = 1")
    notebook.step("fail", "raise ValueError('no\\nmore')")
    lines = log("nightly").splitlines()
    assert lines[0].endswith(" UTC  the run was made, for schedule:x@now")
    assert [line.partition("  ")[2] for line in lines[2:]] == [
        "step plan began (attempt 1)", "step plan completed (attempt 1)",
        "step fail began (attempt 1)", "step fail failed (attempt 1): ValueError: no\\nmore",
    ]  # fmt: skip
    listed = json.loads(log("nightly", "--json"))
    assert [entry["text"] for entry in listed] == [line.partition("  ")[2] for line in lines]
    assert [entry["seq"] for entry in listed] == list(range(1, len(lines) + 1))
    assert "Did you mean 'nightly'" in log("nightlu", fails=1)


def test_following_ends_when_the_run_has_ended_and_nobody_is_on_it(
    workspace: Workspace, notebook: Notebook
) -> None:
    store, run = workspace.store, notebook.session.require_run()
    acts = [
        lambda: notebook.step("plan", "x = 1"),
        lambda: None,
        lambda: notebook.step("more", "y = 1"),
        lambda: store.runs.set_status(notebook.session.ensure_lease().lease, run.id, RunStatus.COMPLETED),
        notebook.session.detach,
    ]
    followed = [
        event_text(event)
        for event in follow_journal(workspace, run, lambda: acts.pop(0)())
        if isinstance(event, Event)
    ]
    assert acts == [] and followed[-2:] == ["the run was running and is completed", followed[-1]]
    assert "left it" in followed[-1] and "step more completed (attempt 1)" in followed
    assert len(followed) == len(set(followed)), "each once"
    lines = log("nightly", "--follow", "--json").splitlines()
    assert [json.loads(line)["text"] for line in lines] == followed


def test_a_long_journal_is_read_in_pages(
    workspace: Workspace, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evercell.engine.journal_reading._PAGE", 3)
    for number in range(5):
        notebook.step(f"s{number}", "x = 1")
    run = notebook.session.require_run()
    seen = [event.seq for event in read_journal(workspace, run) if isinstance(event, Event)]
    assert seen == list(range(1, workspace.store.journal.end(run.id).seq + 1))


@pytest.mark.parametrize("change", ["kind = 'x'", "data = '{'", "seq = 'x'"])
def test_a_damaged_entry_is_named_and_the_others_are_told(
    workspace: Workspace, notebook: Notebook, change: str
) -> None:
    notebook.step("plan", "x = 1")
    run = notebook.session.require_run()
    with open_database(workspace.settings.store_url) as connection:
        connection.execute(
            sa.text(f"UPDATE events SET {change} WHERE run_id = :id AND seq = 2"), {"id": run.id}
        )
    said = log("nightly")
    assert said.count("is damaged: ") == 1 and "step plan completed" in said
    workspace.store.runs.set_status(notebook.session.ensure_lease().lease, run.id, RunStatus.FAILED)
    notebook.session.detach()
    assert log("nightly", "--follow").count("is damaged: ") == 1


def test_ctrl_c_ends_the_following_and_says_nothing(workspace: Workspace, notebook: Notebook) -> None:
    notebook.step("plan", "x = 1")
    command = [str(Path(sys.executable).with_name("evercell")), "log", "nightly", "--follow"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:  # fmt: skip
        assert process.stdout is not None and process.stderr is not None
        while "step plan completed" not in (line := process.stdout.readline()):
            assert line, process.stderr.read()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 130
        assert process.stderr.read() == ""
