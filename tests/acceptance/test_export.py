"""A run as a notebook again: each cell as it was executed in that history, with what it showed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.records import NewRun, Output
from evercell.engine.settings import Settings
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.steps import run_step
from evercell.engine.workspace import open_workspace
from tests.commands import run_command
from tests.database import open_database
from tests.kernels import Kernel
from tests.unit.sessions import Notebook, PlainExecutor

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]


@pytest.fixture(autouse=True)
def _on_the_store(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERCELL_STORE", store_url)


def write(path: Path, *cells: Any) -> None:
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "python3"}}
    )
    for number, cell in enumerate(cells):
        made = nbformat.v4.new_code_cell(cell) if isinstance(cell, str) else cell
        made.id = f"c{number}"
        notebook.cells.append(made)
    nbformat.write(notebook, path)


def exported(path: Path) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def sources(notebook: Any) -> list[str]:
    return [cell.source for cell in notebook.cells]


def text_of(cell: Any) -> str:
    return "".join(output.get("text", "") for output in cell.get("outputs", ()))


def test_a_history_is_exported_as_it_was_executed_whatever_became_of_the_notebook(
    new_kernel: NewKernel, tmp_path: Path
) -> None:
    kernel = new_kernel()
    for cell_id, source in (
        ("c2", "%%step load\n%matplotlib inline\nrows = [1, 2]\nprint('loaded', rows)\nrows"),
        ("c3", "%%step fit --retries 2\n# small\nmodel = sum(rows)\nprint('first', model)"),
    ):
        assert kernel.run(source, cell_id=cell_id).status == "ok"
    kernel.run("%branch --from fit --name other")
    assert (
        kernel.run("%%step fit --retries 2\nmodel = 99\nprint('second', model)", cell_id="c3").status == "ok"
    )
    write(
        tmp_path / "nb.ipynb",
        nbformat.v4.new_markdown_cell("# A title"),
        "import math",
        "%%step load\n%matplotlib inline\nrows = [1, 2]\nprint('loaded', rows)\nrows",
        "%%step fit --retries 2\nmodel = 99\nprint('second', model)",
        "%%step never\nprint('not yet')",
    )
    done = run_command("export", "nb-1", str(tmp_path / "first.ipynb"))
    assert done.returncode == 0 and "2 steps as executed" in done.stdout, done.stderr
    first = exported(tmp_path / "first.ipynb")
    assert sources(first)[:2] == ["# A title", "import math"]
    assert sources(first)[3] == "%%step fit --retries 2\n# small\nmodel = sum(rows)\nprint('first', model)"
    assert [text_of(cell) for cell in first.cells] == ["", "", "loaded [1, 2]\n", "first 3\n", ""]
    assert first.cells[2].outputs[1].data["text/plain"] == "[1, 2]"
    assert [cell.id for cell in first.cells] == ["c0", "c1", "c2", "c3", "c4"]
    assert first.cells[4].metadata.evercell == {"step": "never", "status": "pending"}
    assert first.metadata.kernelspec.name == "python3" and first.metadata.evercell.name == "nb-1"
    assert run_command("export", "other", str(tmp_path / "second.ipynb")).returncode == 0
    assert text_of(exported(tmp_path / "second.ipynb").cells[3]) == "second 99\n"
    assert run_command("export", "other@fit@1", str(tmp_path / "version.ipynb")).returncode == 0
    assert text_of(exported(tmp_path / "version.ipynb").cells[3]) == "first 3\n"
    assert run_command("export", "nb-1@load", str(tmp_path / "early.ipynb")).returncode == 0
    early = exported(tmp_path / "early.ipynb")
    assert [text_of(cell) for cell in early.cells] == ["", "", "loaded [1, 2]\n", "", ""]
    (tmp_path / "nb.ipynb").unlink()
    alone = run_command("export", "nb-1", str(tmp_path / "alone.ipynb"))
    assert alone.returncode == 0 and "order in which they were executed" in alone.stderr
    assert sources(exported(tmp_path / "alone.ipynb")) == [
        "%%step load\n%matplotlib inline\nrows = [1, 2]\nprint('loaded', rows)\nrows",
        "%%step fit --retries 2\n# small\nmodel = sum(rows)\nprint('first', model)",
    ]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_headless_run_is_exported_with_its_parameters_and_what_failed(tmp_path: Path) -> None:
    parameters = nbformat.v4.new_code_cell("rate = 1\napi_key = ''", metadata={"tags": ["parameters"]})
    write(
        tmp_path / "in.ipynb",
        parameters,
        "%%setup\nimport math",
        "%%time\nx = rate * 2\nprint('x', x)",
        "# step: train\nprint('training')\nraise ValueError('no luck')",
    )
    words = (
        "run",
        str(tmp_path / "in.ipynb"),
        "--name",
        "r",
        "-q",
        "-p",
        "rate",
        "3",
        "-p",
        "api_key",
        "k-1234567",
    )
    assert run_command(*words).returncode == 1
    assert run_command("export", "r", str(tmp_path / "out.ipynb")).returncode == 0
    notebook = exported(tmp_path / "out.ipynb")
    assert sources(notebook)[1] == "# Parameters\nrate = 3\napi_key = '***'"
    assert sources(notebook)[2:4] == ["%%setup\nimport math", "%%time\nx = rate * 2\nprint('x', x)"]
    assert text_of(notebook.cells[3]).startswith("x 6\n")
    failed = notebook.cells[4]
    assert failed.metadata.evercell.status == "failed" and text_of(failed) == "training\n"
    assert [o.ename for o in failed.outputs if o.output_type == "error"] == ["ValueError"]
    again = run_command("run", str(tmp_path / "out.ipynb"), str(tmp_path / "again.ipynb"), "-q")
    assert "no luck" in again.stderr, "what was exported can be executed again"


REFUSED = [
    (["nowhere", "out.ipynb"], 1, "There is no run 'nowhere'"),
    (["r@on", "out.ipynb"], 1, "Did you mean 'one'"),
    (["r@one@7", "out.ipynb"], 1, "has no version 7"),
    (["r", "missing/out.ipynb"], 1, "has no folder to be in"),
    (["r", "."], 1, "is a folder"),
    (["r", "in.ipynb"], 2, "is the notebook of run r itself"),
    (["r", "link.ipynb"], 2, "is the notebook of run r itself"),
    (["other", "in.ipynb"], 2, "a notebook that other runs are made from"),
    (["r", "page.html"], 2, "evercell report"),
]


def test_bad_input_is_refused_and_the_notebook_is_not_overwritten(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in.ipynb", "x = 1")
    (tmp_path / "link.ipynb").symlink_to("in.ipynb")
    before = (tmp_path / "in.ipynb").read_bytes()
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        runs = workspace.store.runs
        run = runs.create(NewRun(str(tmp_path / "in.ipynb"), name="r"))
        runs.create(NewRun(str(tmp_path / "elsewhere.ipynb"), name="other"))
        made = Notebook(workspace, "r")
        made.step("one", "x = 1")
        made.session.detach()
    for words, code, said in REFUSED:
        done = CliRunner().invoke(app, ["export", *words])
        assert (done.exit_code, said in done.stderr, "→" in done.stderr) == (code, True, True), done.stderr
    assert (tmp_path / "in.ipynb").read_bytes() == before
    assert CliRunner().invoke(app, ["export", "r", "in.ipynb", "--force"]).exit_code == 0
    assert exported(tmp_path / "in.ipynb").metadata.evercell.run == run.id


def test_a_session_without_a_notebook_is_exported_whatever_it_showed(store_url: str, tmp_path: Path) -> None:
    class Odd(PlainExecutor):
        def recorded(self) -> list[Output]:
            return [
                Output("stream", {"name": "stdout", "text": "half \ud83d a character\n"}),
                Output("stream", {"name": "stdout", "text": "x" * 50_000_000}),
                Output(
                    "display_data", {"data": {"text/plain": 5, "image/svg+xml": {"a": 1}}, "metadata": {}}
                ),
                Output("display_data", {"data": {"text/html": "y" * 6_000_000}, "metadata": {}}),
            ]

    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        notebook = Notebook(workspace)
        for name in ("one", "two", "one"):
            notebook.step(name, f"x = {notebook.variables.get('x', 0) + 1}  # '{name}' ü")
        run = notebook.session.require_run()
        cell = "y = 2"
        asyncio.run(
            run_step(
                notebook.session, StepSpec("odd"), CellPlace("In [9]", "not an id!"), cell, Odd(cell, {})
            )
        )
        notebook.step("gone", "z = 1")
        notebook.session.detach()
    with open_database(store_url) as database:
        database.exec_driver_sql("UPDATE checkpoints SET outputs = '[1, [\"00\"]]' WHERE step = 'gone'")
    done = run_command("export", run.name, str(tmp_path / "out.ipynb"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    made = exported(tmp_path / "out.ipynb")
    assert sources(made)[:2] == ["%%step one\nx = 3  # 'one' ü", "%%step two\nx = 2  # 'two' ü"]
    assert (tmp_path / "out.ipynb").stat().st_size < 10_000_000
    assert f"evercell show {run.name}@odd shows all" in text_of(made.cells[2])
    assert len({cell.id for cell in made.cells}) == len(made.cells)
    assert told["executed"] >= 3 and told["notes"], "what is damaged is named"
