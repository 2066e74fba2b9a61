"""P8 from the command line: branches that go on at once, several at a time, each into a notebook of its own."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest

from tests.commands import run_command
from tests.conftest import Counter

pytestmark = pytest.mark.kernel


@pytest.fixture
def parent(store_url: str, counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a completed run: load, which reads no parameter, and fit, which fails for 3."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.chdir(tmp_path)
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "python3"}}
    )
    cells = [
        "rate = 1\nmodel = 'large'",
        f"# step: load\n{counter.cell('load')}\nrows = [1, 2]",
        f"# step: fit\n{counter.cell('fit')}\nif rate == 3: raise ValueError('three')\nprint(model, rate * len(rows))",
    ]
    notebook.cells = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
    notebook.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    done = run_command("run", "in.ipynb", "--name", "r", "-q")
    assert done.returncode == 0, done.stderr
    return "r"


def printed(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", ()))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_several_values_make_branches_that_run_at_a_time_and_a_table_tells_what_came_of_each(
    parent: str, counter: Counter, tmp_path: Path
) -> None:
    before = json.loads(run_command("show", parent, "--json").stdout)
    words = (
        "branch",
        parent,
        "--from",
        "load",
        "-p",
        "rate",
        "2",
        "3",
        "4",
        "--parallel",
        "3",
        "-o",
        "out.ipynb",
    )
    done = run_command(*words)
    assert done.returncode == 1, "one of them failed"
    assert counter.times("load") == 1 and counter.times("fit") == 4
    lines = done.stdout.splitlines()
    assert lines[0] == "3 branches of r from load"
    assert lines[1].split() == ["run", "rate", "status", "took", "executed", "notebook", "why"]
    assert [line.split()[1:4] for line in lines[2:5]] == [
        ["2", "✓", "completed"], ["3", "✗", "failed"], ["4", "✓", "completed"],
    ]  # fmt: skip
    assert "ValueError: three" in lines[3] and "evercell resume" in lines[5]
    assert printed(tmp_path / "out.rate=2.ipynb") == "large 4\n"
    assert printed(tmp_path / "out.rate=4.ipynb") == "large 8\n"
    after = json.loads(run_command("show", parent, "--json").stdout)
    assert after | {"updated_at": before["updated_at"]} == before, "the parent is as it was"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_branch_is_executed_at_once_where_its_notebook_is_named_and_made_only_otherwise(
    parent: str, counter: Counter, tmp_path: Path
) -> None:
    made = run_command("branch", parent, "--from", "load", "-p", "model", "small", "--name", "later")
    assert made.returncode == 0 and "evercell resume later" in made.stdout
    assert counter.times("fit") == 1
    words = ("branch", parent, "--from", "load", "-p", "model", "small", "-o", "small.ipynb", "--json", "-q")
    done = run_command(*words)
    assert done.returncode == 0, done.stderr
    assert (
        printed(tmp_path / "small.ipynb") == "small 2\n" and json.loads(done.stdout)["status"] == "completed"
    )
    only = run_command("branch", parent, "--from", "load", "-p", "rate", "5", "6", "--no-run", "--json")
    assert [row["params"] for row in json.loads(only.stdout)] == [{"rate": 5}, {"rate": 6}]
    assert [row["status"] for row in json.loads(only.stdout)] == ["queued", "queued"]
    assert counter.words() == ["load", "fit", "fit"]
    for bad, said in (
        (["--from", "lod", "-p", "rate", "1", "2"], "Did you mean 'load'"),
        (["--from", "load", "-o", "in.ipynb"], "would overwrite the notebook"),
        (["--from", "load", "-p", "rate", "1", "2", "-o", "no/out.ipynb"], "has no folder to be in"),
        (["--from", "load", "-p", "rate", "1", "2", "--name", "later"], ""),
    ):
        refused = run_command("branch", parent, *bad, *([] if said else ["--no-run"]))
        assert (refused.returncode != 0) == bool(said) and said in refused.stderr
    names = [row["name"] for row in json.loads(run_command("runs", "--json").stdout)]
    assert len(names) == 7 and {"later-1", "later-2"} <= set(names), "what was refused made no run"
