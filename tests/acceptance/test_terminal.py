"""Commands on a store that others write to: nothing that they named or said commands the terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evercell.core.records import NewRun, Run
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.calls.suspension import Suspended
from evercell.engine.scheduling import NewSchedule, add_schedule
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.commands import run_program
from tests.forked import Forked
from tests.unit.sessions import Notebook
from tests.unit.test_views import COMMANDS, has_command

EVERCELL = str(Path(sys.executable).with_name("evercell"))
NAME = f"run{COMMANDS}!"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def workspace(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.setenv("EVERCELL_USER", f"eve{COMMANDS}")
    monkeypatch.setenv("EVERCELL_WAIT_GRACE", "1ms")
    with open_workspace(resolve_settings()) as opened:
        yield opened


@pytest.fixture
def run(workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of which everything that people give it holds commands; an older evercell took such names."""
    monkeypatch.setattr("evercell.store.runs.require_name", lambda name, what: name)
    made = workspace.store.runs.create(
        NewRun(
            notebook=str(tmp_path / f"nb{COMMANDS}.ipynb"), name=NAME, params={"topic": COMMANDS},
            created_by=f"eve{COMMANDS}",
        )
    )  # fmt: skip
    notebook = Notebook(workspace, made.id)
    notebook.step("speak", f"print({COMMANDS + 'spoken'!r})\nvalue = 1")
    notebook.step("fail", f"raise ValueError({COMMANDS + 'failed'!r})")
    notebook.plain("import evercell")
    for number in (1, 2):
        form = {COMMANDS: COMMANDS}
        ask = f"evercell.approve({f'{number} {COMMANDS}?'!r}, details={COMMANDS!r}, form={form!r})"
        with pytest.raises(Suspended):
            notebook.step(f"ask-{number}", ask)
    notebook.session.detach()
    schedule_all(workspace, tmp_path)
    first = waiting_for(workspace)[0]
    answer(workspace, first.id, "Reject", by=f"eve{COMMANDS}", via="web page", comment=COMMANDS)
    return made


def schedule_all(workspace: Workspace, folder: Path) -> None:
    """A schedule of which everything that people give it holds commands."""
    new = NewSchedule(
        "0 2 * * *", folder / f"nb{COMMANDS}.ipynb", name="s", params={COMMANDS: COMMANDS}, kernel=COMMANDS
    )
    add_schedule(workspace, replace(new, output=folder / f"{COMMANDS}.ipynb"))
    workspace.store.schedules.note("s", COMMANDS, workspace.clock())


@pytest.fixture
def command(workspace: Workspace, tmp_path: Path) -> Command:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return run_program(
            [EVERCELL, *words], capture_output=True, text=True, cwd=tmp_path, timeout=60, check=False
        )

    return run


def test_no_command_prints_what_a_terminal_obeys(command: Command, run: Run, workspace: Workspace) -> None:
    (pending,) = waiting_for(workspace)
    said: dict[tuple[str, ...], subprocess.CompletedProcess[str]] = {}
    for words in [
        ("runs",), ("runs", "--json"), ("show", run.id), ("show", run.id, "--json"), ("show", run.id, "--calls"),
        ("timeline", run.id), ("log", run.id), ("show", f"{run.id}@speak"),
        ("show", f"{run.id}@speak", "--json"), ("inspect", run.id), ("inspect", run.id, "--json"), ("inbox",),
        ("inbox", "--all"), ("inbox", "--all", "--json"), ("send", run.id, f"go{COMMANDS}", '"x"'),
        ("send", run.id, f"go{COMMANDS}", '"x"'), ("approve", pending.id, "--comment", COMMANDS),
        ("approve", pending.id), ("branch", run.id, "--from", "speak", "--name", f"b{COMMANDS}"), ("pause", run.id),
        ("resume", run.id), ("unpause", run.id), ("resume", run.id), ("cancel", run.id), ("cancel", run.id),
        ("schedule", "list"), ("doctor",),
        ("show", COMMANDS), ("show", f"{run.id}@{COMMANDS}"), ("run", f"{COMMANDS}.ipynb"),
    ]:  # fmt: skip
        said[words] = command(*words)
    for words, done in said.items():
        assert "Traceback" not in done.stderr, (words, done.stderr)
        assert not has_command(done.stdout + done.stderr), (words, done.stdout, done.stderr)
    assert "spoken" in said["show", f"{run.id}@speak"].stdout
    assert r"ValueError: \x1b[2J\x1b]0;owned\x07" in said["show", run.id].stdout, "shown, and not obeyed"
    assert json.loads(said["runs", "--json"].stdout)[0]["name"] == NAME, "JSON keeps what it escapes"
    listed = json.loads(said["inbox", "--all", "--json"].stdout)
    assert [(a["values"], bool(a["decision"])) for a in listed] == [
        ({COMMANDS: COMMANDS}, d) for d in (True, False)
    ]


def in_a_terminal(*words: str, columns: int = 120) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with os.fdopen(ours, "rb", buffering=0) as reading:
        process = Forked([EVERCELL, *words], stdout=theirs, stderr=theirs, stdin=theirs)
        os.close(theirs)
        written = b""
        while part := _read(reading):
            written += part
        process.wait(timeout=60)
    return written.decode()


def _read(reading: Any) -> bytes:
    try:
        return bytes(reading.read(65536))
    except OSError:  # the other end was closed
        return b""


def test_a_terminal_gets_colours_at_most(run: Run) -> None:
    for words in (("runs",), ("show", run.id), ("show", f"{run.id}@speak"), ("inbox",)):
        text = in_a_terminal(*words)
        assert "run" in text or "spoken" in text
        for harm in ("\x1b[2J", "\x1b]", "\x1bc", "\x9b", "\x07", "\x08", "\u202e"):
            assert harm not in text, (words, text)


def test_a_listing_in_a_pipe_is_not_wrapped(command: Command, run: Run) -> None:
    lines = command("inbox").stdout.splitlines()
    assert len(lines) == 2 and lines[0].split()[:4] == ["id", "run", "step", "title"]


def test_names_of_runs_are_whole_in_a_terminal_of_80_columns(workspace: Workspace) -> None:
    name = "weather-analysis-of-oslo-2026-12"
    workspace.store.runs.create(
        NewRun(notebook=f"/home/ann/{'long/' * 20}weather-analysis.ipynb", name=name, created_by="ann")
    )
    lines = in_a_terminal("runs", columns=80).replace("\r", "").splitlines()
    assert any(line.startswith(f"{name} ") for line in lines), lines
    assert len(lines) <= 3 and all(len(_COLOUR.sub("", line)) <= 80 for line in lines)
    narrow = in_a_terminal("runs", columns=50)
    assert name in narrow and "interrupted" in narrow
