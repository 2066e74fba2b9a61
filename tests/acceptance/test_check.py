"""A changed notebook is replayed against a run: recorded answers, nothing called, and where its way differs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.commands import run_command
from tests.model_server import ModelServer, model_server

pytestmark = pytest.mark.kernel

SETUP = """%%setup
import evercell, httpx
client = evercell.record(httpx.Client(base_url=URL))
@evercell.step
def search(query, most=3):
    with open("effects", "a") as file:
        print("search", query, file=file)
    return [query] * most
@evercell.step
def mail(text):
    with open("effects", "a") as file:
        print("mail", file=file)
def ask(text):
    answer = client.post("/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": text}]})
    return answer.json()["choices"][0]["message"]["content"]
"""

LOAD = """%%step load
with open("effects", "a") as file:
    print("load", file=file)
topic = "fusion"
"""

AGENT = """%%step agent
found = search(topic)
plan = ask(f"What of {topic}?")
moment = evercell.now()
found += search(plan, most=1)
"""

REPORT = """%%step report
mail(f"{plan} {moment:%Y}")
"""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as started:
        yield started


class Checked:
    """A run in a folder, and checks of other notebooks against it."""

    def __init__(self, folder: Path, server: ModelServer) -> None:
        self.folder = folder
        self.server = server
        self.cells = [SETUP.replace("URL", repr(server.url)), LOAD, AGENT, REPORT]
        self.write("nb.ipynb", self.cells)
        done = run_command("run", "nb.ipynb", "--name", "r", "-q")
        assert done.returncode == 0, done.stderr
        self.effects = (folder / "effects").read_text()
        self.requests = len(server.requests)
        self.runs = run_command("runs", "--all", "--json").stdout

    def write(self, name: str, cells: list[str]) -> None:
        metadata = {"kernelspec": {"name": "python3", "display_name": "python3"}}
        made = [nbformat.v4.new_code_cell(source) for source in cells]
        nbformat.write(nbformat.v4.new_notebook(cells=made, metadata=metadata), self.folder / name)

    def check(self, *edits: tuple[str, str]) -> tuple[int, dict[str, Any]]:
        """The exit code and what is said of the notebook with these edits; nothing may have happened."""
        cells = ["\0".join(self.cells)]
        for before, after in edits:
            assert before in cells[0]
            cells = [cells[0].replace(before, after)]
        self.write("changed.ipynb", cells[0].split("\0"))
        done = run_command("check", "r", "changed.ipynb", "--json")
        assert not done.stderr, done.stderr
        assert (self.folder / "effects").read_text() == self.effects
        assert len(self.server.requests) == self.requests
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def checked(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: ModelServer) -> Checked:
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.chdir(tmp_path)
    return Checked(tmp_path, server)


def ways(found: dict[str, Any]) -> list[tuple[str, str, int, int]]:
    return [(step["name"], step["way"], step["recorded"], step["made"]) for step in found["steps"]]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_recorded_answers_are_replayed_against_a_changed_notebook_and_nothing_is_called(
    checked: Checked,
) -> None:
    code, found = checked.check(("most=1)", "most=1)\nrows = len(found)"))
    assert (code, found["divergences"]) == (0, [])
    assert ways(found) == [("load", "unchanged", 0, 0), ("agent", "same", 4, 4), ("report", "same", 1, 1)]

    code, found = checked.check(("What of", "What about"))
    assert code == 3
    (said,) = found["divergences"]
    assert said.startswith("In step agent POST 127.0.0.1/v1/chat/completions(model='m', messages=[")
    assert "What about" in said
    assert "where the run called POST" in said
    assert ways(found) == [
        ("load", "unchanged", 0, 0),
        ("agent", "diverged", 4, 1),
        ("report", "not reached", 1, 0),
    ]

    caught = "try:\n    mail('twice <b>')\nexcept Exception:\n    pass\nplan ="
    code, found = checked.check(("plan =", caught))
    assert code == 3
    assert found["divergences"] == [
        "In step agent mail('twice <b>') is called, and the run has no recorded answer; "
        "the run went on with POST 127.0.0.1/v1/chat/completions(model='m', "
        "messages=[{'role': 'user', 'content': 'What of fusion?'}])."
    ]

    code, found = checked.check(("def ask", "mail('in a setup')\ndef ask"))
    said = "mail() is called outside of a step, where nothing is recorded."
    assert (code, found["divergences"]) == (3, [said])

    connects = "import socket\nsocket.create_connection(('127.0.0.1', 9))\nmoment ="
    code, found = checked.check(("moment =", connects))
    assert (code, found["divergences"]) == (3, [])
    assert "Nothing is connected to while a notebook is checked" in found["error"]
    assert run_command("runs", "--all", "--json").stdout == checked.runs
