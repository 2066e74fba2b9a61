"""The kernel "Python 3 (evercell)": every cell is a step, and a restart or a crash loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import pytest

from tests.commands import run_program
from tests.conftest import Counter, isolated_home
from tests.kernels import Kernel, KernelGone

pytestmark = pytest.mark.kernel

DIE = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture
def start(new_kernel: Callable[..., Kernel]) -> Callable[..., Kernel]:
    return lambda **environ: new_kernel(load=False, name="evercell", **environ)


@pytest.mark.parametrize("now", [False, True], ids=["restart", "crash"])
def test_after_a_restart_memory_is_there_before_the_first_prompt(
    start: Callable[..., Kernel], now: bool, tmp_path: Path
) -> None:
    counter = Counter(tmp_path / "effects")
    kernel = start()
    cells = {
        "a1": "import math\nrows = [1, 2]",
        "b2": "# step: fit\nlines = (i for i in rows)\nmodel = math.fsum(rows)\nprint('fitted', model)\n"
        + counter.cell("fit"),
        "c3": "def scaled(x):\n    return x * model",
    }
    for cell_id, source in cells.items():
        assert kernel.run(source, cell_id=cell_id).status == "ok"
    kernel.restart(now=now)
    shown = kernel.run("scaled(2), rows", cell_id="d4")
    assert shown.text.endswith("(6.0, [1, 2])")
    assert (
        "evercell: resumed from step 3, `def scaled(x):`, " in shown.notes
        and "; not kept: `lines`" in shown.notes
    )
    again = kernel.run(cells["b2"], cell_id="b2")
    assert again.is_replayed and "fitted 3.0" in again.text and again.notes == ""
    assert counter.times("fit") == 1


def test_a_kernel_that_dies_in_its_first_cell_finds_what_was_made_before_it(
    start: Callable[..., Kernel],
) -> None:
    kernel = start()
    kernel.run("import json\nfactor = 3", cell_id="a1", metadata={"tags": ["no-step"]})
    with pytest.raises(KernelGone):
        kernel.run(DIE, cell_id="b2")
    kernel.shut_down()
    kernel = start()
    shown = kernel.run("json.dumps(factor)", cell_id="c3")
    assert "resumed what plain cells made before the first step" in shown.notes and "'3'" in shown.text


@pytest.mark.parametrize("name", ["evercell", "python3"])
def test_what_is_imported_to_put_state_back_finds_itself_in_a_notebook(
    new_kernel: Callable[..., Kernel], name: str, tmp_path: Path
) -> None:
    """pandas shows frames otherwise in a terminal, and decides so when it is imported."""
    (tmp_path / "asking.py").write_text(
        "class Thing: pass\ntry: where = type(get_ipython()).__name__\nexcept NameError: where = 'a terminal'\n"
    )
    for _ in range(2):  # resumed before the first prompt by the one kernel, replayed by the other
        kernel = new_kernel(load=name == "python3", name=name)
        kernel.run("%%step ask\nimport asking\nthing = asking.Thing()", cell_id="a1")
        assert kernel.value("asking.where") == "ZMQInteractiveShell"
        kernel.kill()


def test_what_a_cell_is_called_and_which_are_plain(start: Callable[..., Kernel]) -> None:
    kernel = start()
    kernel.run("# step: plan\nplan = 1", cell_id="0a1b2c3d-9")
    kernel.run("fit = 2", cell_id="11111111-2", metadata={"tags": ["step:fit"]})
    kernel.run("other = 3", cell_id="22222222-3")
    kernel.run("%%step named --retries 1\nnamed = 4", cell_id="33333333-4")
    kernel.run("plain = 5", cell_id="44444444-5", metadata={"tags": ["no-step"]})
    kernel.run("plan?", cell_id="55555555-6")
    kernel.run("", cell_id="66666666-7")
    kernel.run("%matplotlib inline", cell_id="77777777-8")
    names = [line.split()[0] for line in kernel.run("%steps").text.splitlines()[2:]]
    assert names == ["plan", "fit", "cell-22222222", "named", "cell-77777777"]
    assert kernel.run("plan = 1", cell_id="88888888-9").status == "ok"
    refused = kernel.run("# step: plan\nplan = 7", cell_id="99999999-0")
    assert "Two cells are named 'plan'" in refused.error


def test_an_edited_cell_executes_and_so_does_what_reads_what_it_made_in_few_words(
    start: Callable[..., Kernel],
) -> None:
    kernel = start()
    kernel.run("base = 1", cell_id="a")
    kernel.run("top = base + 1\nprint(top)", cell_id="b")
    edited = kernel.run("base = 10", cell_id="a")
    assert edited.status == "ok" and edited.notes == ""
    below = kernel.run("top = base + 1\nprint(top)", cell_id="b")
    assert "11" in below.text and "its input base was made otherwise in `base = 10`" in below.notes


def test_two_cells_of_one_source_are_two_steps(start: Callable[..., Kernel], tmp_path: Path) -> None:
    counter = Counter(tmp_path / "effects")
    cell = counter.cell("same")
    kernel = start()
    for _ in range(2):
        for cell_id in ("a", "b", "a"):
            kernel.run(cell, cell_id=cell_id)
        assert counter.times("same") == 2
        kernel.restart(now=True)


def test_a_store_that_cannot_be_opened_leaves_a_kernel_and_says_why(
    start: Callable[..., Kernel], tmp_path: Path
) -> None:
    (tmp_path / "text.db").write_text("no database, but a text of some length " * 100)
    kernel = start(EVERCELL_STORE=f"sqlite:///{tmp_path}/text.db")
    shown = kernel.run("print(1 + 1)", cell_id="a")
    assert (
        "2" in shown.text
        and "evercell: not loaded." in shown.text
        and "%load_ext evercell tries again" in shown.text
    )
    assert kernel.run("print(2 + 2)", cell_id="a").text == "4\n"


def test_a_run_that_another_kernel_holds_is_read_and_not_taken(start: Callable[..., Kernel]) -> None:
    first = start()
    first.run("x = 1", cell_id="a")
    second = start()
    shown = second.run("%load_ext evercell", cell_id="b")
    assert "is held by another session" in shown.notes and "is held by another session" in shown.text
    assert (
        second.run("print('x' in globals())", cell_id="c", metadata={"tags": ["no-step"]}).text == "False\n"
    )
    assert first.run("y = x", cell_id="d").status == "ok"


@pytest.mark.parametrize("engine", [None, "evercell"])
def test_papermill_executes_a_notebook_of_this_kernel(
    tmp_path: Path, engine: str | None, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the engine the runner says which run it is; without, the kernel finds none, and is a kernel."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    for name, value in isolated_home(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    counter = Counter(tmp_path / "effects")
    spec = {"kernelspec": {"name": "evercell", "display_name": "Python 3 (evercell)", "language": "python"}}
    cells = [
        nbformat.v4.new_code_cell(source) for source in (f"x = 1\n{counter.cell('first')}", "print(x + 1)")
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), tmp_path / "in.ipynb")
    options = {"engine_name": engine} if engine else {}
    done = papermill.execute_notebook(
        tmp_path / "in.ipynb", tmp_path / "out.ipynb", cwd=tmp_path, progress_bar=False, **options
    )
    assert [o.text for o in done.cells[1].outputs if o.output_type == "stream"] == ["2\n"]
    assert counter.times("first") == 1


def test_the_kernel_is_installed_where_it_is_told(tmp_path: Path) -> None:
    def install(*options: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("evercell")), "kernel", "install", *options]
        return run_program(command, capture_output=True, text=True, timeout=60)

    done = install("--prefix", str(tmp_path), "--name", "mine", "--display-name", "Mine")
    assert done.returncode == 0, done.stderr
    place = tmp_path / "share" / "jupyter" / "kernels" / "mine"
    spec = json.loads((place / "kernel.json").read_text())
    assert spec["argv"][0] == sys.executable and spec["display_name"] == "Mine"
    assert str(place) in done.stdout.replace("\n", "") and (place / "logo-svg.svg").exists()
    for options in (["--user", "--prefix", "x"], ["--prefix", str(tmp_path), "--name", "not a name"]):
        refused = install(*options)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr
