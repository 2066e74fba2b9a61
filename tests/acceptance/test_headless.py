"""The papermill engine and the commands, on notebooks that never heard of evercell."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pytest
import sqlalchemy as sa

from tests.conftest import Counter
from tests.database import open_database

pytestmark = pytest.mark.kernel
BIN = Path(sys.executable).parent


@pytest.fixture
def command(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command as a user would, on the test's store."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        program = str(BIN / words[0])
        return subprocess.run(
            [program, *words[1:]], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=120
        )

    return run


def write(
    path: Path, cells: list[str], tags: dict[int, str] | None = None, *, kernel: str = "python3"
) -> None:
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": kernel, "display_name": kernel}})
    notebook.cells = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
    for number, tag in (tags or {}).items():
        notebook.cells[number].metadata["tags"] = [tag]
    nbformat.write(notebook, path)


def texts(path: Path) -> list[str]:
    notebook = nbformat.read(path, as_version=4)
    return ["".join(o.get("text", "") for o in cell.get("outputs", ())) for cell in notebook.cells]


def four(counter: Counter, third: str) -> list[str]:
    return [
        f"{counter.cell('one')}\ndata = [1]\nprint('one', data)",
        f"{counter.cell('two')}\ndata.append(2)\nprint('two', data)",
        f"{counter.cell('three')}\n{third}",
        f"{counter.cell('four')}\nprint('four', sum(data))",
    ]


def test_papermill_goes_on_at_the_cell_that_failed(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    papermill = ("papermill", "in.ipynb", "out.ipynb", "--engine", "evercell")
    write(tmp_path / "in.ipynb", four(counter, "raise ValueError('not yet')"))
    failed = command(*papermill)
    assert failed.returncode != 0
    assert "ValueError: not yet" in failed.stderr
    partial = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    marks = [c.metadata.get("evercell", {}).get("status") for c in partial.cells if c.cell_type == "code"]
    assert marks == ["completed", "completed", "failed", None]
    never_run = partial.cells[-1].metadata.papermill["status"]
    assert never_run == "pending", "a cell that never ran is not called completed"
    write(tmp_path / "in.ipynb", four(counter, "data.append(3)"))
    assert command(*papermill).returncode == 0
    assert counter.words() == ["one", "two", "three", "three", "four"]
    assert texts(tmp_path / "out.ipynb") == ["one [1]\n", "two [1, 2]\n", "", "four 6\n"]
    assert command(*papermill).returncode == 0, "a completed run is followed by a new one"
    assert counter.times("one") == 2


def test_a_killed_kernel_is_replaced_and_the_run_goes_on(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    die = (
        f"import os, pathlib, signal\nif not pathlib.Path({str(flag)!r}).exists():\n"
        f"    pathlib.Path({str(flag)!r}).touch()\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    write(tmp_path / "in.ipynb", four(counter, die))
    done = command("evercell", "run", "in.ipynb", "--json")
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert run["status"] == "completed"
    assert counter.words() == ["one", "two", "three", "three", "four"]
    assert {s["name"]: s["attempts"] for s in run["steps"]}["cell-3"] == 2
    assert texts(tmp_path / "in.out.ipynb") == ["one [1]\n", "two [1, 2]\n", "", "four 3\n"]


def test_a_replaced_kernel_has_the_environment_and_settings_that_cells_set(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    cells = [
        "import os, logging, sys\nos.environ['MODE'] = 'fast'\n"
        "logging.basicConfig(level=logging.INFO, format='said: %(message)s', stream=sys.stdout, force=True)",
        "import pathlib, signal\nif not pathlib.Path('flag').exists():\n"
        "    pathlib.Path('flag').touch()\n    os.kill(os.getpid(), signal.SIGKILL)",
        "print(os.environ.get('MODE'))\nlogging.info('hello')",
    ]
    write(tmp_path / "in.ipynb", cells)
    assert command("evercell", "run", "in.ipynb").returncode == 0
    assert texts(tmp_path / "in.out.ipynb")[2] == "fast\nsaid: hello\n"


def test_a_cell_tagged_later_makes_its_client_anew(command: Callable[..., Any], tmp_path: Path) -> None:
    """As the note at the step advises: what the step's checkpoint has instead of it is not put over it."""
    cells = [
        "class Agent: pass\nclient = Agent()\nclient.stream = iter(x for x in 'ab')",
        "client.asked = 1\nprint('asked')",
        "import pathlib\nif not pathlib.Path('flag').exists(): raise ValueError('not yet')\nprint(next(client.stream))",
    ]
    write(tmp_path / "in.ipynb", cells)
    assert command("evercell", "run", "in.ipynb", "--name", "r").returncode != 0
    (tmp_path / "flag").touch()
    write(tmp_path / "in.ipynb", cells, {0: "evercell-setup"})
    resumed = command("evercell", "resume", "r")
    assert resumed.returncode == 0, resumed.stderr
    assert texts(tmp_path / "in.out.ipynb")[2] == "a\n"


def test_a_kernel_that_does_not_come_up_is_replaced_too(
    command: Callable[..., Any], counter: Counter, home: Path, tmp_path: Path
) -> None:
    """As where another program took the port that it was told to use."""
    starting = tmp_path / "starting.sh"
    starting.write_text(f'[ -e flag ] || {{ touch flag; exit 1; }}\nexec {sys.executable} "$@"\n')
    spec = home / "jupyter_data_dir" / "kernels" / "late"
    spec.mkdir(parents=True)
    argv = ["sh", str(starting), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (spec / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "late", "language": "python"})
    )
    write(tmp_path / "in.ipynb", four(counter, "pass"), kernel="late")
    done = command("evercell", "run", "in.ipynb")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "flag").exists()
    assert counter.words() == ["one", "two", "three", "four"]


def test_a_home_that_cannot_be_written_to_is_no_obstacle(
    command: Callable[..., Any], counter: Counter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", "/proc/nowhere")
    write(tmp_path / "in.ipynb", four(counter, "pass"))
    done = command("evercell", "run", "in.ipynb")
    assert done.returncode == 0, done.stderr
    assert counter.words() == ["one", "two", "three", "four"]


def test_runs_that_start_at_once_in_one_folder_do_not_meet(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    write(tmp_path / "in.ipynb", four(counter, "pass"))
    with ThreadPoolExecutor(4) as starting:
        done = list(starting.map(lambda n: command("evercell", "run", "in.ipynb", f"{n}.ipynb"), range(4)))
    assert [one.returncode for one in done] == [0] * 4, done
    assert counter.times("four") == 4
    assert not list(tmp_path.glob("kernel-*")), "no socket is left beside the notebook"


def test_a_kernel_that_keeps_dying_ends_the_run_and_resume_goes_on_after_a_fix(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    write(tmp_path / "in.ipynb", four(counter, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"))
    dead = command("evercell", "run", "in.ipynb", "--max-restarts", "1")
    assert dead.returncode == 1
    assert "died 2 times" in dead.stderr
    assert "evercell resume in-1" in dead.stderr
    write(tmp_path / "in.ipynb", four(counter, "pass"))
    done = command("evercell", "resume", "in-1")
    assert done.returncode == 0, done.stderr
    assert counter.words() == ["one", "two", "three", "three", "three", "four"]


def test_runs_show_and_branch_tell_and_do(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    cells = [
        "size = 2\nmodel = 'large'",
        f"{counter.cell('load')}\ndata = list(range(size))\nprint(data)",
        f"{counter.cell('fit')}\nprint(model, sum(data))",
    ]
    write(tmp_path / "in.ipynb", cells, tags={0: "parameters"})
    assert command("evercell", "run", "in.ipynb", "first.ipynb", "-p", "size", "3").returncode == 0
    (run,) = json.loads(command("evercell", "runs", "--json").stdout)
    assert run["status"] == "completed"
    assert run["params"] == {"size": 3}
    assert {"id", "name", "notebook", "status", "parent", "created_at"} <= run.keys()
    made = command(
        "evercell", "branch", "in-1", "--from", "cell-3", "-p", "model", "small", "--name", "cheap"
    )
    assert made.returncode == 0, made.stderr
    assert counter.words() == ["load", "fit"]
    assert command("evercell", "resume", "cheap").returncode == 0
    assert counter.words() == ["load", "fit", "fit"], "load reads no model, so it is not executed again"
    assert "small 3\n" in texts(tmp_path / "in.cheap.ipynb")
    runs = json.loads(command("evercell", "runs", "--json").stdout)
    assert [(r["name"], r["parent"]) for r in runs] == [("cheap", run["id"]), ("in-1", None)]
    assert "└ cheap" in command("evercell", "runs").stdout
    assert command("evercell", "show", "cheap@cell-4").stdout == "small 3\n"
    shown = json.loads(command("evercell", "show", "cheap", "--json").stdout)
    assert [s["name"] for s in shown["steps"]] == ["cell-3", "cell-4"]


def test_a_setup_cell_and_magics_that_configure_are_no_steps(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    cells = [
        "%load_ext evercell",
        "%%setup\nimport math",
        f"%%step work\n{counter.cell('work')}\nprint(math.pi)",
    ]
    write(tmp_path / "in.ipynb", cells)
    done = command("evercell", "run", "in.ipynb", "--json")
    assert done.returncode == 0, done.stderr
    assert [s["name"] for s in json.loads(done.stdout)["steps"]] == ["work"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "missing.ipynb"], "There is no notebook at missing.ipynb"),
        (["run", "text.ipynb"], "is not a notebook"),
        (["run", "twice.ipynb"], "Two cells are named 'plan': cell 1 and cell 2"),
        (["run", "good.ipynb", "good.ipynb"], "would overwrite the notebook"),
        (["resume", "nowhere"], "There is no run 'nowhere'"),
        (["show", "nowhere"], "There is no run 'nowhere'"),
        (["branch", "nowhere", "--from", "x"], "There is no run 'nowhere'"),
        (["--store", "mysql://x/y", "runs"], "does not know how to keep a store"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(
    command: Callable[..., Any], tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "text.ipynb").write_text("just text")
    write(tmp_path / "twice.ipynb", ["%%step plan\nx = 1", "%%step plan --retries 2\ny = 1"])
    write(tmp_path / "good.ipynb", ["x = 1"])
    command("evercell", "runs")
    done = command("evercell", *words)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "→" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cell_tagged_setup_runs_in_every_kernel(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    fails = "raise ValueError('not yet')"
    cells = [
        f"import sys\n{counter.cell('setup')}\nsys.ready = True",
        f"{counter.cell('work')}\nx = sys.ready",
    ]
    write(tmp_path / "in.ipynb", [*cells, fails], tags={0: "evercell-setup"})
    assert command("evercell", "run", "in.ipynb").returncode == 1
    write(tmp_path / "in.ipynb", [*cells, "print(x, sys.ready)"], tags={0: "evercell-setup"})
    assert command("evercell", "resume", "in-1").returncode == 0
    assert counter.words() == ["setup", "work", "setup"]
    assert texts(tmp_path / "in.out.ipynb")[-1] == "True True\n"


def test_a_run_whose_journal_is_broken_is_not_resumed_and_goes_on_in_a_branch(
    command: Callable[..., Any], counter: Counter, tmp_path: Path, store_url: str
) -> None:
    write(tmp_path / "in.ipynb", four(counter, "raise ValueError('not yet')"))
    assert command("evercell", "run", "in.ipynb").returncode == 1
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE events SET data = '{' WHERE seq = 3"))
    write(tmp_path / "in.ipynb", four(counter, "pass"))
    refused = command("evercell", "resume", "in-1")
    assert refused.returncode == 1 and "entry 3" in refused.stderr and "branch" in refused.stderr
    assert "Traceback" not in refused.stderr and counter.words() == ["one", "two", "three"]
    assert command("evercell", "branch", "in-1", "--from", "cell-2", "--name", "twig").returncode == 0
    done = command("evercell", "resume", "twig")
    assert done.returncode == 0, done.stderr
    assert counter.words() == ["one", "two", "three", "three", "four"]
