"""Stores that older versions wrote: brought up to date, resumed, gone on with, or refused by name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from tests.commands import run_command
from tests.kernels import Kernel

GOLDEN = Path(__file__).parents[1] / "golden"
HOME = Path("/tmp/evercell-golden")
"""Where the stored state refers to files: they have to be there again."""

KEY = "golden stores are signed with this key"


def _expected(name: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((GOLDEN / name / "expected.json").read_text())
    return entries


_FORMAT_2 = [pytest.param(entry, id=entry["resume"]) for entry in _expected("format2")]


@pytest.fixture
def golden_store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A copy of an old store, and around it the files that it was saved among."""
    source = GOLDEN / request.param
    for path in source.glob("store.db*"):
        (shutil.copytree if path.is_dir() else shutil.copyfile)(path, tmp_path / path.name)
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir()
    if (source / "files").is_dir():
        shutil.copytree(source / "files", HOME, dirs_exist_ok=True)
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("EVERCELL_KEY", KEY)
    monkeypatch.setenv("EVERCELL_USER", "golden")
    yield tmp_path / "store.db"
    shutil.rmtree(HOME)


def _kernel(entry: dict[str, Any]) -> Kernel:
    folder = Path(entry["folder"])
    folder.mkdir(parents=True, exist_ok=True)
    kernel = Kernel(cwd=folder, environ={**os.environ, "EVERCELL_NOTEBOOK": entry["notebook"]})
    loaded = kernel.run("%load_ext evercell")
    assert loaded.status == "ok", loaded.error
    return kernel


def _value(kernel: Kernel, expression: str) -> str:
    shown = kernel.run(f"print('VALUE', repr(({expression})))")
    assert shown.status == "ok", f"{expression}\n{shown.error}"
    return shown.text.partition("VALUE ")[2].rstrip("\n")


def _answer_all() -> None:
    with open_workspace(resolve_settings()) as workspace:
        for asked in waiting_for(workspace):
            values = {"copies": 3} if asked.question.form else None
            answer(
                workspace, asked.id, asked.question.choices[0], by="ann", via="command line", comment="fine",
                values=values,
            )  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize("golden_store", ["format2"], indirect=True)
@pytest.mark.parametrize("entry", _FORMAT_2)
def test_a_store_of_format_2_is_resumed_and_gone_on_with(golden_store: Path, entry: dict[str, Any]) -> None:
    kernel = _kernel(entry)
    try:
        resumed = kernel.run(f"%resume {entry['resume']}")
        assert resumed.status == "ok" and "resumed" in resumed.text, resumed.text + resumed.error
        found = [[expression, _value(kernel, expression)] for expression, _ in entry["expressions"]]
        assert found == entry["expressions"]
        for expression, _ in entry.get("not_kept", ()):
            assert "NotKept" in kernel.run(f"({expression}).anything").error, expression
        if "unfinished" in entry:
            _go_on(kernel, entry["unfinished"])
        saved = kernel.run("%%step by_today\nby_today = 1")
        assert saved.status == "ok", saved.error
    finally:
        kernel.shut_down()


def _go_on(kernel: Kernel, unfinished: dict[str, Any]) -> None:
    """The step that was killed: its recorded calls replay, and it comes to its end."""
    for source in unfinished["plain"]:
        assert kernel.run(source).status == "ok"
    _answer_all()
    shown = kernel.run(unfinished["step"], on_message=lambda *_: None)
    assert shown.status == "ok", shown.error
    found = [[expression, _value(kernel, expression)] for expression, _ in unfinished["expressions"]]
    assert found == unfinished["expressions"]


@pytest.mark.kernel
@pytest.mark.parametrize("golden_store", ["format1"], indirect=True)
def test_a_store_of_format_1_can_be_read_and_is_too_old_to_resume(golden_store: Path) -> None:
    entries = _expected("format1")
    for entry in (e for e in entries if "run" in e):
        steps = json.loads(run_command("show", entry["run"], "--json").stdout)["steps"]
        assert [[s["name"], s["versions"]] for s in steps] == [[name, n] for name, _, n in entry["steps"]]
        for ref, text in entry["shown"]:
            assert run_command("show", f"{entry['run']}@{ref}").stdout == text
    entry = next(e for e in entries if "resume" in e)
    kernel = _kernel(entry)
    try:
        refused = kernel.run(f"%resume {entry['resume']}")
        assert "StateTooOld" in refused.error and "Run All" in refused.error
        assert "Traceback" not in refused.error
        assert kernel.run("%evercell new").status == "ok"
        assert kernel.run("%%step load\nrows = [1]").status == "ok"
    finally:
        kernel.shut_down()
