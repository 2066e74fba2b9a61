"""``evercell queue``, ``limit`` and ``serve`` as one types them, and what they say."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner, Result

from evercell.cli.app import app
from evercell.core.errors import UsageError
from evercell.core.queueing import Limit
from evercell.engine.queueing import parse_limit, parse_rate, place_of
from evercell.store import open_store


@pytest.fixture
def folder(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVERCELL_STORE", f"sqlite:///{tmp_path / 'store.db'}")
    monkeypatch.setenv("EVERCELL_USER", "ana")
    monkeypatch.chdir(tmp_path)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]), tmp_path / "n <b>.ipynb")
    return tmp_path


def evercell(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_a_queued_run_is_shown_with_its_place_its_output_and_that_nobody_serves(folder: Path) -> None:
    done = evercell("run", "n <b>.ipynb", "--queue", "--priority", "7", "--limit", "gpu=2", "-p", "x", "1")
    assert done.exit_code == 0, done.output
    assert "run n <b>-1 is queued" in done.output
    assert "nobody serves this store" in done.output
    evercell("run", "n <b>.ipynb", "out.ipynb", "--queue", "--share", "bo", "--name", "second")
    shown = evercell("queue")
    assert "Nobody serves this store" in shown.output
    listing = json.loads(evercell("queue", "--json").output)
    assert [(row["run"], row["position"], row["share"], row["limits"]) for row in listing["runs"]] == [
        ("n <b>-1", 1, "ana", ["gpu"]), ("second", 2, "bo", []),
    ]  # fmt: skip
    assert listing["servers"] == []
    with open_store(f"sqlite:///{folder / 'store.db'}") as store:
        outputs = {run.name: run.output for run in store.runs.all()}
    assert outputs == {
        "n <b>-1": str(folder / "n <b>.n <b>-1.ipynb"), "second": str(folder / "out.ipynb")
    }  # fmt: skip
    assert "left the queue" in evercell("queue", "remove", "second").output
    assert "was not in the queue" in evercell("queue", "remove", "second").output


def test_a_full_queue_and_options_that_mean_nothing_are_refused_before_anything_is_made(folder: Path) -> None:
    evercell("run", "n <b>.ipynb", "--queue")
    full = evercell("run", "n <b>.ipynb", "--queue", "--max-queued", "1")
    assert full.exit_code == 1
    assert "1 runs wait to be started, and no more than 1 may" in full.output
    assert "is about runs in the queue" in evercell("run", "n <b>.ipynb", "--priority", "3").output
    assert (
        "Priority 101 is no priority" in evercell("run", "n <b>.ipynb", "--queue", "--priority", "101").output
    )
    assert "no notebook" in evercell("run", "absent.ipynb", "--queue").output.lower()
    assert len(json.loads(evercell("runs", "--json").output)) == 1


def test_a_parameter_that_the_notebook_does_not_know_is_told_and_set_all_the_same(folder: Path) -> None:
    cell = nbformat.v4.new_code_cell("day = 1", metadata={"tags": ["parameters"]})
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "nightly.ipynb")
    done = evercell("run", "nightly.ipynb", "--queue", "-p", "dya", "3")
    assert done.exit_code == 0, done.output
    assert "The parameters cell of nightly.ipynb has no dya. Did you mean day?" in done.output
    assert "has no" not in evercell("run", "nightly.ipynb", "--queue", "-p", "day", "3").output


def test_a_start_with_a_key_is_queued_once(folder: Path) -> None:
    for _ in range(2):
        assert evercell("run", "n <b>.ipynb", "--queue", "--run-key", "nightly").exit_code == 0
    assert len(json.loads(evercell("queue", "--json").output)["runs"]) == 1


def test_limits_are_set_listed_and_removed(folder: Path) -> None:
    assert "No limits yet" in evercell("limit").output
    assert "What is the limit?" in evercell("limit", "set", "openai").output
    assert evercell("limit", "set", "openai", "--at-once", "4", "--rate", "10/min").exit_code == 0
    assert json.loads(evercell("limit", "--json").output) == [
        {"key": "openai", "at_once": 4, "rate": "10/min", "held": 0, "wanted": 0, "begun": 0}
    ]
    assert "Did you mean 'openai'?" in evercell("limit", "remove", "opena").output
    assert evercell("limit", "remove", "openai").exit_code == 0


def test_a_unit_names_the_command_and_the_store_and_no_password(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unit = evercell("serve", "--jobs", "3", "--print-unit").output
    assert "KillMode=process" in unit
    assert "serve --jobs 3" in unit
    assert f"Environment=EVERCELL_STORE=sqlite:///{folder / 'store.db'}" in unit
    assert "--until-idle" in unit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("openai=4", Limit("openai", 4)),
        ("openai=10/min", Limit("openai", None, 10, 60.0)),
        ("openai=4,10/h", Limit("openai", 4, 10, 3600.0)),
        ("a b=3/10s", Limit("a b", None, 3, 10.0)),
    ],
)
def test_a_limit_is_read_as_one_types_it(text: str, expected: Limit) -> None:
    assert parse_limit(text) == expected


@pytest.mark.parametrize(
    "text", ["openai", "openai=", "=4", "openai=0", "openai=-1", "openai=ten", "k=1/", "k=1/year"]
)
def test_what_is_no_limit_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_limit(text)


def test_what_is_no_rate_or_place_is_refused() -> None:
    for text in ("", "10", "0/min", "10/0s", "a/min", "10/min/s"):
        with pytest.raises(UsageError):
            parse_rate(text)
    with pytest.raises(UsageError):
        place_of(priority=101)
    with pytest.raises(UsageError):
        place_of(limits=["a\nb"])
    assert place_of(limits=["a", "a"], share="x" * 500).share == "x" * 200
