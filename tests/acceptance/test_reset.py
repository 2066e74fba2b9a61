"""Reset: runs go on from before a step with corrected code, the old history stays, a kill costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

from evercell.cli.app import app
from tests.commands import run_command
from tests.conftest import Counter
from tests.forked import Forked
from tests.waiting import wait_until

pytestmark = pytest.mark.kernel


@pytest.fixture
def write(
    store_url: str, counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], None]:
    """Writes the notebook with this code in its step fit, behind a step that is paid for."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.chdir(tmp_path)

    def write_notebook(fit: str) -> None:
        cells = [
            "k = 0",
            f"# step: load\n{counter.cell('load')}\nrows = [1, 2]",
            f"# step: fit\n{counter.cell('fit')}\n{fit}",
            f"# step: report\n{counter.cell('report')}\nif k == 2 and m < 0: raise ValueError('lost')\nprint(m)",
        ]
        notebook = nbformat.v4.new_notebook(
            metadata={"kernelspec": {"name": "python3", "display_name": "python3"}}
        )
        notebook.cells = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
        notebook.cells[0].metadata["tags"] = ["parameters"]
        nbformat.write(notebook, tmp_path / "in.ipynb")

    write_notebook("m = -k")
    for number in (1, 2):
        run_command(
            "run", "in.ipynb", f"{number}.ipynb", "-p", "k", str(number), "--name", f"r{number}", "-q"
        )
    return write_notebook


def rows_of(*words: str) -> list[dict[str, Any]]:
    done = run_command(*words, "--json")
    rows: list[dict[str, Any]] = json.loads(done.stdout)
    return rows


def outputs(path: Path) -> str:
    cells = nbformat.read(path, as_version=4).cells
    return "".join(o.get("text", "") for cell in cells for o in cell.get("outputs", ()))


REFUSED = (
    ("nowhere --to fit", "There is no run 'nowhere'"),
    ("r1 --to fitt", "has no completed step 'fitt'"),
    ("r1", "evercell show r1"),
    ("", "--where step=STEP"),
    ("r1 --to fit --where status=failed", "not both"),
    ("--where step=nope", "No run that fits"),
    ("--where setp=fit", "Did you mean step"),
    ("--where step=fit status=fialed", "Did you mean failed"),
    ("--where step=fit since=yesterday", "is no time"),
    ("--where step=fit source=xyz", "RUN@STEP"),
    ("--where status=failed", "names no step"),
    ("r1 r2 --to fit --name one", "are of one run"),
    ("r1 --to fit --notebook missing.ipynb", "There is no notebook"),
    ("r1 --to fit -o in.ipynb", "would overwrite"),
    ("r1 --to fit --name r2", "exists already"),
)


def refuse_all() -> None:
    for words, said in REFUSED:
        refused = CliRunner().invoke(app, ["reset", *words.split()])
        assert refused.exit_code in (1, 2) and said in refused.stderr, (words, refused.stderr)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_run_goes_on_from_before_a_step_with_the_corrected_notebook_and_stays_what_it_was(
    write: Callable[[str], None], counter: Counter, tmp_path: Path
) -> None:
    refuse_all()
    before = rows_of("show", "r2")
    write("m = 10 * k")
    dry = run_command("reset", "r2", "--to", "fit", "--dry-run")
    assert dry.returncode == 0 and "nothing was done" in dry.stdout
    assert dry.stdout.splitlines()[2].split()[:2] == ["r2", "failed"] and "changed" in dry.stdout
    assert len(rows_of("runs")) == 2
    done = run_command("reset", "r2", "--to", "fit", "--name", "mended", "-o", "mended.ipynb", "-q")
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path / "mended.ipynb") == "20\n"
    assert counter.times("load") == 2, "what came before is not paid for again"
    assert counter.times("fit") == 3 and counter.times("report") == 3
    after = rows_of("show", "r2")
    assert {**after, "updated_at": 0} == {**before, "updated_at": 0}, "the old history stays"  # type: ignore[dict-item]
    again = run_command("reset", "r2", "--to", "report", "-q")
    assert again.returncode == 0, "to a step that only failed"
    assert counter.times("fit") == 4, "its code is another one by now"
    first = run_command("reset", "mended", "--to", "load", "-q")
    assert first.returncode == 0 and counter.times("load") == 3, "to the first step"


def test_a_batch_that_was_killed_is_gone_on_with_and_done_once(
    write: Callable[[str], None], counter: Counter, tmp_path: Path
) -> None:
    # a cell that is at work until the test has killed who drives it
    write("import pathlib, time\nwhile not pathlib.Path('go').exists(): time.sleep(.05)\nm = 10 * k")
    where = ("--where", "step=fit", "source=r1@fit", "since=1h")
    plan = rows_of("reset", *where, "--dry-run")
    assert [(row["run"], row["after"], row["cell"]) for row in plan] == [
        ("r1", "load", "changed"), ("r2", "load", "changed"),
    ]  # fmt: skip
    program = str(Path(sys.executable).with_name("evercell"))
    with Forked(
        [program, "reset", *where, "-q"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as killed:
        wait_until(lambda: counter.times("fit") == 3, "the second branch")
        os.kill(killed.pid, signal.SIGKILL)
    wait_until(lambda: all(row["kernel"] == "none" for row in rows_of("runs")), "the end of the kernels")
    left = {row["name"]: row["status"] for row in rows_of("runs") if row["parent"]}
    assert sorted(left.values()) == ["paused", "queued"], left
    (tmp_path / "go").touch()
    done = run_command("reset", *where, "-q")
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr.count("which an earlier reset made") == 2
    assert {row["name"]: row["status"] for row in rows_of("runs") if row["parent"]} == dict.fromkeys(
        left, "completed"
    )
    assert counter.times("load") == 2 and counter.times("fit") == 5
    third = run_command("reset", *where)
    assert third.returncode == 0 and third.stderr.count("completed with this very notebook") == 2
    assert counter.times("fit") == 5 and len(rows_of("runs")) == 4
