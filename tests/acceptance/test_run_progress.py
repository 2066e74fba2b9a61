"""`evercell run` says how far it is: live in a terminal, in plain lines elsewhere, and not at all where asked."""

from __future__ import annotations

import json
import os
import pty
import re
import sys
from pathlib import Path

import nbformat
import pytest

from tests.commands import SECONDS, run_command, run_program
from tests.forked import Forked

pytestmark = pytest.mark.kernel
EVERCELL = str(Path(sys.executable).with_name("evercell"))

# calls that take their time: progress is told of what lasts
CELLS = (
    "import evercell, time\n@evercell.step\ndef ask(n):\n    time.sleep(0.2)\n    return n",
    "%%step plan\nx = 1",
    "%%step research\nevercell.map(ask, range(16), max_concurrency=2)",
    "%%setup\ny = 2",
)


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in CELLS])
    made.cells.insert(1, nbformat.v4.new_markdown_cell("words"))
    nbformat.write(made, tmp_path / "nb.ipynb")
    return tmp_path / "nb.ipynb"


def in_terminal(*words: str) -> str:
    """All that a command writes to a terminal of its own."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = Forked([EVERCELL, *words], stdout=theirs, stderr=theirs, stdin=theirs, env=environ)
    os.close(theirs)
    written = b""
    try:
        while part := os.read(ours, 1 << 16):
            written += part
    except OSError:  # the terminal's last user has gone
        pass
    os.close(ours)
    assert process.wait(SECONDS) == 0, written.decode()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode()).replace("\r", "\n")


def test_a_terminal_shows_the_step_under_way_and_those_that_ended(notebook: Path) -> None:
    seen = in_terminal("run", str(notebook))
    assert re.search(r"cell 3 of 4 research", seen), seen
    assert re.search(r"\d+ of 16 calls · running ask · 1 s", seen), seen
    assert re.search(r"✓ research completed · 16 calls · \d", seen), seen
    assert seen.strip().splitlines()[-1].startswith("run nb-1 completed: 3 steps completed")


def test_a_log_has_a_line_for_each_step_and_its_calls(notebook: Path) -> None:
    done = run_command("run", str(notebook), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "completed"
    lines = done.stderr.splitlines()
    assert [line.partition(" · ")[0] for line in lines] == [
        "cell 1 of 4, cell-1: completed",
        "cell 2 of 4, plan: completed",
        "cell 3 of 4, research: completed",
    ]
    assert " · 16 calls · " in lines[2]
    again = run_command("resume", "nb-1")
    assert "cell 3 of 4, research: replayed" in again.stderr
    quiet = run_command("resume", "nb-1", "--quiet")
    assert quiet.returncode == 0 and quiet.stderr == ""


def test_a_kernel_that_dies_is_told_of_and_the_steps_that_it_completed_are_replayed(notebook: Path) -> None:
    made = nbformat.read(notebook, as_version=4)
    made.cells = [
        nbformat.v4.new_code_cell(s) for s in ("%%step one\nx = 1", "import os\nos.kill(os.getpid(), 9)")
    ]
    nbformat.write(made, notebook)
    dead = run_command("run", str(notebook), "--max-restarts", "1")
    assert dead.returncode == 138
    said = [line.partition(" · ")[0] for line in dead.stderr.splitlines()]
    assert said[:2] == ["cell 1 of 2, one: completed", "the kernel died; a new one goes on"], said
    assert said[2:4] == ["cell 1 of 2, one: replayed", "the kernel died (so far 2 times)"], said


def test_the_notebook_that_is_made_keeps_one_quiet_line_of_a_long_step(notebook: Path) -> None:
    assert run_command("run", str(notebook)).returncode == 0
    made = nbformat.read(notebook.with_suffix(".out.ipynb"), as_version=4)
    ours = [o for cell in made.cells for o in cell.get("outputs", []) if "evercell" in o.get("metadata", {})]
    assert [o.data["text/plain"].partition(" · ")[0] for o in ours] == ["evercell: saved"]
    assert "16 calls" in ours[0].data["text/html"]
    to_html = [sys.executable, "-m", "nbconvert", "--to", "html", str(notebook.with_suffix(".out.ipynb"))]
    run_program(to_html, check=True, capture_output=True, timeout=SECONDS)
    page = notebook.with_suffix(".out.html").read_text()
    assert "saved · 16 calls" in page and "running ask" not in page


def test_the_settings_of_a_folder_are_listed_with_where_they_come_from(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.evercell]\nstore = 'postgresql://ann:hunter2@db/x'\n")
    listed = run_command("config", str(tmp_path))
    assert listed.returncode == 0 and "hunter2" not in listed.stdout
    assert f"postgresql://ann:***@db/x  {tmp_path / 'pyproject.toml'} [tool.evercell]" in listed.stdout
    rows = {row["setting"]: row for row in json.loads(run_command("config", str(tmp_path), "--json").stdout)}
    assert rows["marks"] == {"setting": "marks", "value": "on", "from": "default"}
    (tmp_path / "pyproject.toml").write_text("[tool.evercell]\nstor = 3\n")
    refused = run_command("config", str(tmp_path))
    assert (
        refused.returncode == 2
        and "Did you mean store?" in refused.stderr
        and "Traceback" not in refused.stderr
    )
