"""``evercell schedule``: what can be typed, what is said, and what is refused before anything is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.statuses import RunStatus
from evercell.engine.scheduling import fire_due
from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.views.quantities import ahead_text

Type = Callable[..., Any]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVERCELL_STORE", str(tmp_path / "store.db"))
    monkeypatch.setenv("COLUMNS", "300")
    write(Path("nb.ipynb"), "topic = 'x'\nn: int = 1")
    write(Path("plain.ipynb"), None)
    with open_workspace(resolve_settings()) as opened:
        yield opened


def write(path: Path, parameters: str | None) -> None:
    cells = [nbformat.v4.new_code_cell("print(1)")]
    if parameters is not None:
        cells.insert(0, nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


@pytest.fixture
def typed(workspace: Workspace) -> Type:
    """What ``evercell schedule …`` prints; its exit code is 0 unless said otherwise."""

    def run(*words: str, fails: int = 0) -> str:
        result = CliRunner().invoke(app, ["schedule", *words])
        assert result.exit_code == fails, result.output
        return result.output

    return run


def test_a_schedule_from_its_making_to_its_removal(workspace: Workspace, typed: Type) -> None:
    Path("p.yaml").write_text("topic: gold\nn: 3\n")
    words = ("-f", "p.yaml", "-p", "topic", "fusion", "--tz", "Europe/Berlin", "--limit", "openai=4")
    made = typed("add", "0 2 * * *", "nb.ipynb", *words, "--priority", "5")
    assert "schedule nb: At 02:00 every day (Europe/Berlin)" in made and " 02:00 CE" in made
    (listed,) = json.loads(typed("list", "--json"))
    assert listed["params"] == {"topic": "fusion", "n": 3} and listed["limits"] == ["openai"]
    assert (listed["catch_up"], listed["overlap"], listed["priority"]) == ("last", "skip", 5)
    assert Path(listed["notebook"]).is_absolute()
    assert workspace.store.limits.all()["openai"].at_once == 4
    table = typed("list")
    assert "0 2 * * * (Europe/Berlin)" in table and ", in " in table
    assert len(typed("next", "nb", "-n", "3").splitlines()) == 5
    following = [datetime.fromisoformat(at) for at in json.loads(typed("next", "nb", "--json"))]
    assert len(following) == 5 and all(at.hour == 2 for at in following)
    assert "is in the queue" in typed("run", "nb")
    (run,) = workspace.store.runs.all()
    assert run.name in typed("list") and run.params == {"topic": "fusion", "n": 3}
    assert "paused" in typed("pause", "nb") and "paused" in typed("list")
    fire_due(workspace, datetime.now(UTC) + timedelta(days=3))
    assert len(workspace.store.runs.all()) == 1
    assert "fires again" in typed("resume", "nb")
    assert "Nobody paused" in typed("resume", "nb", fails=2)
    assert "removed" in typed("remove", "nb") and "No schedules yet" in typed("list")
    assert "no schedule 'nb'" in typed("next", "nb", fails=1)


def test_a_listing_tells_what_was_skipped(workspace: Workspace, typed: Type) -> None:
    typed("add", "* * * * *", "nb.ipynb", "--tz", "UTC")
    now = workspace.clock()
    for minutes in (1, 2, 3):
        fire_due(workspace, now + minutes * timedelta(minutes=1))
    (run,) = workspace.store.runs.all()
    assert run.status is RunStatus.QUEUED
    said = typed("list")
    assert f"was skipped: run {run.name} (queued) had not ended. (2 left out so far)" in said
    (listed,) = json.loads(typed("list", "--json"))
    assert listed["left_out"] == 2 and "skipped" in listed["remark"] and listed["last_run"]["id"] == run.id


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("0 2 30 2 *", "nb.ipynb"), "never fire", 2),
        (("0 2 * *", "nb.ipynb"), "says no times", 2),
        (("@reboot", "nb.ipynb"), "says no times", 2),
        (("0 2 * * *", "nb.ipynb", "--tz", "Europe/Berlni"), "Did you mean Europe/Berlin", 2),
        (("0 2 * * *", "nb.ipynb", "--tz", ""), "no time zone", 2),
        (("0 2 * * *", "no.ipynb"), "There is no notebook", 1),
        (("0 2 * * *", "nb.ipynb", "-p", "topci", "1"), "Did you mean topic?", 2),
        (("0 2 * * *", "nb.ipynb", "-p", "a b", "1"), "can be no parameter", 2),
        (("0 2 * * *", "nb.ipynb", "-f", "no.yaml"), "cannot be read", 2),
        (("0 2 * * *", "nb.ipynb", "-f", "nb.ipynb"), "has no cells", 2),
        (("0 2 * * *", "nb.ipynb", "-f", "list.yaml"), "names no parameters", 2),
        (("0 2 * * *", "nb.ipynb", "-f", "date.yaml"), "which JSON has not", 2),
        (("0 2 * * *", "nb.ipynb", "-f", "bad.yaml"), "is no YAML", 2),
        (("0 2 * * *", "nb.ipynb", "nb.ipynb"), "overwrite the notebook", 2),
        (("0 2 * * *", "nb.ipynb", "no/out.ipynb"), "has no folder", 1),
        (("0 2 * * *", "nb.ipynb", "--kernel", "cobol"), "no kernel 'cobol'", 1),
        (("0 2 * * *", "nb.ipynb", "--name", "a@b"), "cannot be the name", 2),
        (("0 2 * * *", "nb.ipynb", "--priority", "1000"), "is no priority", 2),
        (("0 2 * * *", "nb.ipynb", "--limit", " "), "cannot be the key", 2),
        (("0 2 * * *", "nb.ipynb", "--overlap", "often"), "is not one of", 2),
    ],
)
def test_what_could_not_run_is_refused_before_anything_is_made(
    typed: Type, words: tuple[str, ...], said: str, code: int
) -> None:
    Path("list.yaml").write_text("- topic\n")
    Path("date.yaml").write_text("topic: 2026-11-26\n")
    Path("bad.yaml").write_text("topic: [\n")
    assert said in typed("add", *words, fails=code)
    assert json.loads(typed("list", "--json")) == []


def test_a_run_takes_the_same_files_of_parameters(workspace: Workspace) -> None:
    Path("p.yaml").write_text("topic: gold\nn: 3\n")
    words = ["run", "nb.ipynb", "--queue", "-f", "p.yaml", "-p", "topic", "fusion"]
    assert CliRunner().invoke(app, words).exit_code == 0
    (run,) = workspace.store.runs.all()
    assert run.params == {"topic": "fusion", "n": 3}
    assert CliRunner().invoke(app, [*words, "-f", "no.yaml"]).exit_code == 2


def test_a_notebook_without_a_parameters_cell_takes_any(typed: Type) -> None:
    typed("add", "@daily", "plain.ipynb", "-p", "whatever", "1")
    write(Path("magic.ipynb"), "%matplotlib inline\nx = 1")
    typed("add", "@daily", "magic.ipynb", "-p", "y", "1")


def test_without_a_zone_it_is_that_of_the_machine(typed: Type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    assert "(America/New_York)" in typed("add", "0 2 * * *", "nb.ipynb")


def test_moments_to_come_are_told_in_words() -> None:
    now = datetime(2026, 11, 26, tzinfo=UTC)
    told = {
        0: "now", 42: "in 42 s", 300: "in 5 min", 3 * 3600: "in 3 h", 9600: "in 2 h 40 min", 3599: "in 1 h",
        30 * 3600: "in 30 h", 5 * 86400: "in 5 d", -240: "due 4 min ago",
    }  # fmt: skip
    assert {s: ahead_text(now + timedelta(seconds=s), now) for s in told} == told
