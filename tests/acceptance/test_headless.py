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

from tests.commands import run_program
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
        return run_program(
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
    assert dead.returncode == 138, "told apart from an error of a cell"
    assert all(w in dead.stderr for w in ("died 2 times", "at cell-3", "killed (SIGKILL)", "No cell raised"))
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
        "evercell", "branch", "in-1", "--from", "cell-2", "-p", "model", "small", "--name", "cheap"
    )
    assert made.returncode == 0, made.stderr
    assert counter.words() == ["load", "fit"]
    assert command("evercell", "resume", "cheap").returncode == 0
    assert counter.words() == ["load", "fit", "fit"], "load reads no model, so it is not executed again"
    assert "small 3\n" in texts(tmp_path / "in.cheap.ipynb")
    runs = json.loads(command("evercell", "runs", "--json").stdout)
    assert [(r["name"], r["parent"]) for r in runs] == [("cheap", run["id"]), ("in-1", None)]
    assert "└ cheap" in command("evercell", "runs").stdout
    assert command("evercell", "show", "cheap@cell-3").stdout == "small 3\n"
    shown = json.loads(command("evercell", "show", "cheap", "--json").stdout)
    assert [s["name"] for s in shown["steps"]] == ["cell-2", "cell-3"]


def test_an_injected_cell_shifts_no_name_and_a_branch_says_why_it_executes(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    cells = [
        "import os",
        "%%setup\nimport math",
        "rate = 2",
        "%%step load --retries 1\n\nrows = [1, 2]",
        "if rate > 9: raise ValueError\nprint(rate * len(rows))",
        "print('apart')",
    ]
    tags = {0: "evercell-setup", 2: "parameters"}
    write(tmp_path / "in.ipynb", cells, tags)
    assert command("evercell", "run", "in.ipynb").returncode == 0
    words = ("evercell", "branch", "in-1", "--from", "cell-6", "-p", "rate", "3", "--name", "b", "--run")
    assert command(*words).returncode == 0
    for name, output in (("in-1", "in.out.ipynb"), ("b", "in.b.ipynb")):
        shown = json.loads(command("evercell", "show", name, "--json").stdout)
        lines = {s["name"]: s["first_line"] for s in shown["steps"]}
        assert lines == {
            "load": "rows = [1, 2]", "cell-5": "if rate > 9: raise ValueError", "cell-6": "print('apart')",
        }  # fmt: skip
        marks = [
            cell.metadata["evercell"]
            for cell in nbformat.read(tmp_path / output, as_version=4).cells
            if "injected-parameters" not in cell.metadata.get("tags", ())
        ]
        assert marks[:3] == [{"setup": "cell-1"}, {"setup": "setup"}, {"plain": True}]
        assert [m["step"] for m in marks[3:]] == ["load", "cell-5", "cell-6"]
    branched = nbformat.read(tmp_path / "in.b.ipynb", as_version=4)
    assert [c.metadata["evercell"].get("status") for c in branched.cells[-3:]] == [
        "replayed", "completed", "replayed",
    ]  # fmt: skip
    said = branched.cells[-2].outputs[0]["data"]["text/plain"]
    assert said == "evercell: step cell-5 executes again: its input rate was made otherwise in the parameters"
    assert "if rate > 9: raise ValueError" in command("evercell", "show", "b").stdout
    failed = command(
        "evercell", "branch", "in-1", "--from", "load", "-p", "rate", "10", "--name", "c", "--run"
    )
    assert failed.returncode == 1
    assert "if rate > 9: raise ValueError" in command("evercell", "show", "c").stdout, (
        "of a step that never completed"
    )


def test_what_a_killed_kernel_left_is_no_fate_of_the_cells_above(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    die = "import os, pathlib, signal\nif not pathlib.Path('flag').exists():\n    pathlib.Path('flag').touch()\n    "
    cells = ["import math", "import cmath", f"{die}os.kill(os.getpid(), signal.SIGKILL)"]
    write(tmp_path / "in.ipynb", cells, {0: "evercell-setup", 1: "evercell-plain"})
    assert command("evercell", "run", "in.ipynb").returncode == 0
    marks = [c.metadata["evercell"] for c in nbformat.read(tmp_path / "in.out.ipynb", as_version=4).cells]
    assert marks == [{"setup": "cell-1"}, {"plain": True}, {"step": "cell-3", "status": "completed"}]


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


# -- kernels and files that are not there --------------------------------------------------------


def install_kernel(home: Path, name: str, *, language: str = "python", argv: list[str] | None = None) -> None:
    """A kernelspec of this test alone."""
    spec = home / "jupyter_data_dir" / "kernels" / name
    spec.mkdir(parents=True)
    command = argv or [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    described = {"argv": command, "display_name": name, "language": language, "env": {"WHICH": name}}
    (spec / "kernel.json").write_text(json.dumps(described))


FAILS_AT_FIRST = (
    "import os, pathlib\nprint(os.environ.get('WHICH'))",
    "if not pathlib.Path('flag').exists():\n    pathlib.Path('flag').touch()\n    raise ValueError('not yet')",
    "print(os.environ.get('WHICH'))",
)


@pytest.mark.parametrize("first", ["evercell run", "papermill"])
def test_a_run_is_resumed_in_the_kernel_that_it_was_begun_in(
    command: Callable[..., Any], home: Path, tmp_path: Path, first: str
) -> None:
    for name in ("mine", "other"):
        install_kernel(home, name)
    write(tmp_path / "in.ipynb", list(FAILS_AT_FIRST))
    papermill = ("papermill", "in.ipynb", "in.out.ipynb", "--engine", "evercell", "-k", "mine")
    words = ("evercell", "run", "in.ipynb", "--kernel", "mine") if first == "evercell run" else papermill
    assert command(*words).returncode == 1
    resumed = command("evercell", "resume", "in-1")
    assert resumed.returncode == 0, resumed.stderr
    assert texts(tmp_path / "in.out.ipynb")[2] == "mine\n"
    branched = (
        "evercell",
        "branch",
        "in-1",
        "--from",
        "cell-1",
        "--name",
        "b",
        "--run",
        "--output",
        "b.ipynb",
    )
    assert command(*branched).returncode == 0
    assert texts(tmp_path / "b.ipynb")[2] == "mine\n", "a branch goes on in the kernel of its run"
    write(tmp_path / "in.ipynb", [*FAILS_AT_FIRST[:2], "print('in', os.environ.get('WHICH'))"])
    chosen = command("evercell", "resume", "in-1", "--kernel", "other")
    assert chosen.returncode == 0, chosen.stderr
    assert texts(tmp_path / "in.out.ipynb")[2] == "in other\n"
    write(tmp_path / "in.ipynb", [*FAILS_AT_FIRST[:2], "print('now', os.environ.get('WHICH'))"])
    assert command("evercell", "resume", "in-1").returncode == 0
    assert texts(tmp_path / "in.out.ipynb")[2] == "now other\n", "the last choice is remembered"
    assert "in-1: whole" in command("evercell", "verify", "in-1").stdout


REFUSED: dict[str, list[str]] = {
    "evercell run good.ipynb --kernel nope": ["no kernel 'nope'", "python3", "--kernel"],
    "evercell run elsewhere.ipynb": ["no kernel 'elsewhere'", "python3"],
    "evercell run good.ipynb --kernel ir": ["'ir' runs R", "python3"],
    "evercell run in_r.ipynb": ["notebook of R", "--kernel"],
    "evercell run good.ipynb --kernel broken": ["no kernel 'broken'", "python3"],
    "evercell run good.ipynb --kernel odd": ["no kernel 'odd'", "python3"],
    "papermill good.ipynb o.ipynb --engine evercell -k nope": ["no kernel 'nope'", "python3"],
    "evercell resume r --kernel nope": ["no kernel 'nope'", "python3", "--kernel"],
    "evercell run missing.ipynb": ["no notebook at", "good.ipynb"],
    "evercell run folder": ["no notebook at", "folder"],
    "evercell run empty.ipynb": ["not a notebook"],
    "evercell run list.ipynb": ["not a notebook"],
    "evercell run object.ipynb": ["not a notebook"],
    "evercell run bytes.ipynb": ["not a notebook"],
    "evercell run cells.ipynb": ["not a notebook"],
    "evercell run link.ipynb": ["no notebook at"],
    "evercell run good.ipynb nowhere/out.ipynb": ["no folder", "mkdir -p"],
    "evercell run good.ipynb folder": ["is a folder"],
    "evercell run good.ipynb good.ipynb": ["would overwrite"],
}  # fmt: skip
"""By commands: what is said before anything is made."""

REFUSED_LATER: dict[str, list[str]] = {
    "evercell run good.ipynb 1.ipynb --kernel gone": ["'gone' cannot be started", "--kernel"],
    "evercell run good.ipynb 2.ipynb --kernel bare": ["'bare' has no evercell", "pip install evercell"],
    "evercell run good.ipynb /proc/out.ipynb": ["cannot be written", "name another"],
    "papermill good.ipynb /proc/other.ipynb --engine evercell": ["cannot be written"],
}  # fmt: skip
"""What only shows when it is tried."""


def test_what_keeps_a_notebook_from_being_executed_is_said_in_words(
    command: Callable[..., Any], home: Path, tmp_path: Path
) -> None:
    kernels = home / "jupyter_data_dir" / "kernels"
    install_kernel(home, "ir", language="R")
    install_kernel(home, "gone", argv=["/nowhere/python"])
    bare = "import sys; sys.modules['evercell'] = None; from ipykernel.kernelapp import launch_new_instance as go; go()"
    install_kernel(home, "bare", argv=[sys.executable, "-c", bare, "-f", "{connection_file}"])
    (kernels / "broken").mkdir()
    (kernels / "broken" / "kernel.json").write_text("{")
    install_kernel(home, "odd")
    (kernels / "odd" / "kernel.json").write_text('{"argv": 3, "display_name": [], "language": null}')
    write(tmp_path / "good.ipynb", ["raise ValueError('not yet')"])
    write(tmp_path / "elsewhere.ipynb", ["x = 1"], kernel="elsewhere")
    in_r = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "R", "language": "R"}}
    )
    nbformat.write(in_r, tmp_path / "in_r.ipynb")
    for name, content in {
        "empty": b"", "list": b"[]", "object": b"{}", "bytes": b"\xff\x00\x81",
        "cells": b'{"cells": [{"cell_type": 3}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    }.items():  # fmt: skip
        (tmp_path / f"{name}.ipynb").write_bytes(content)
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.ipynb").symlink_to("nowhere.ipynb")
    assert command("evercell", "run", "good.ipynb", "r.ipynb", "--name", "r").returncode == 1

    def refuse(words: str, said: list[str]) -> None:
        done = command(*words.split())
        assert done.returncode in (1, 2, 74), (words, done.stdout)
        assert "Traceback" not in done.stderr and "→" in done.stderr, (words, done.stderr)
        assert all(part in done.stderr for part in said), (words, done.stderr)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(refuse, REFUSED, REFUSED.values()))
        assert len(json.loads(command("evercell", "runs", "--json").stdout)) == 1
        list(pool.map(refuse, REFUSED_LATER, REFUSED_LATER.values()))


def test_a_notebook_that_is_gone_is_said_by_resume(command: Callable[..., Any], tmp_path: Path) -> None:
    write(tmp_path / "in.ipynb", ["raise ValueError('not yet')"])
    assert command("evercell", "run", "in.ipynb", "--name", "r").returncode == 1
    (tmp_path / "in.ipynb").unlink()
    done = command("evercell", "resume", "r")
    assert (
        done.returncode == 1 and "There is no notebook at" in done.stderr and "Traceback" not in done.stderr
    )
    assert "evercell export r in.ipynb" in done.stderr


def test_a_cell_that_may_raise_and_one_that_is_skipped_are_what_papermill_takes_them_for(
    command: Callable[..., Any], counter: Counter, tmp_path: Path
) -> None:
    cells = [
        "raise ValueError('as told')",
        f"{counter.cell('skipped')}",
        f"{counter.cell('last')}\nprint('last')",
    ]
    write(tmp_path / "in.ipynb", cells, {0: "raises-exception", 1: "skip-execution"})
    done = command("evercell", "run", "in.ipynb")
    assert done.returncode == 0, done.stderr
    assert counter.words() == ["last"]
    made = nbformat.read(tmp_path / "in.out.ipynb", as_version=4)
    assert len(made.cells) == 3 and made.cells[0].outputs[0].ename == "ValueError"
    assert [c.metadata.papermill.status for c in made.cells] == ["completed"] * 3
    plain = command("papermill", "in.ipynb", "plain.ipynb")
    durable = command("papermill", "in.ipynb", "out.ipynb", "--engine", "evercell")
    assert plain.returncode == durable.returncode == 1, "papermill itself calls it an error in the end"
    slow = ["import time\nx = 1", "time.sleep(600)", "y = 2"]
    write(tmp_path / "slow.ipynb", slow)
    words = ("papermill", "slow.ipynb", "slow.out.ipynb", "--engine", "evercell", "--execution-timeout", "3")
    assert command(*words).returncode == 1
    made = nbformat.read(tmp_path / "slow.out.ipynb", as_version=4)
    assert [c.metadata.papermill.status for c in made.cells] == ["completed", "failed", "pending"]
    assert made.metadata.evercell.status == "failed" and made.metadata.papermill.exception is True


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


def test_a_run_ends_as_it_ended_though_none_of_its_steps_began(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "from pathlib import Path\nassert not Path('broken').exists()"
    write(tmp_path / "plain.ipynb", ["print(1)"], {0: "no-step"})
    write(tmp_path / "setup.ipynb", [f"%%setup\n{broken}", "import evercell\nevercell.approve('Go?')"])
    monkeypatch.setenv("EVERCELL_WAIT_GRACE", "100ms")
    said: list[str] = []

    def ended(*words: str) -> tuple[int, str]:
        done = command("evercell", *words, "--json", "--quiet")
        said.append(done.stderr)
        return done.returncode, json.loads(done.stdout)["status"]

    assert ended("run", "plain.ipynb") == (0, "completed")
    (tmp_path / "broken").touch()
    assert ended("run", "setup.ipynb", "--name", "at once, zürich") == (1, "failed")
    assert said[-1].endswith("evercell resume 'at once, zürich'\n"), "it can be typed as it stands"
    (tmp_path / "broken").unlink()
    assert ended("run", "setup.ipynb", "--name", "later") == (75, "waiting")
    (tmp_path / "broken").touch()
    assert ended("resume", "later") == (1, "failed"), "it no longer waits: it cannot go on"
    (tmp_path / "broken").unlink()
    assert command("evercell", "approve", "later").returncode == 0
    assert ended("resume", "later") == (0, "completed")
    assert command("evercell", "verify").returncode == 0


def test_what_a_kernel_shows_that_nobody_hears_is_in_the_output_notebook(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    """As on a machine so busy that the messages come after papermill has ceased to wait for them."""
    thread = "get_ipython().kernel.iopub_thread"
    cells = [
        "print('one')",
        f"print('two')\n{thread}.send_multipart = lambda *_, **__: None",
        f"print('three')\ndel {thread}.send_multipart",
        "print('four')",
    ]
    write(tmp_path / "in.ipynb", cells)
    done = command("papermill", "in.ipynb", "out.ipynb", "--engine", "evercell")
    assert done.returncode == 0, done.stderr
    assert texts(tmp_path / "out.ipynb") == ["one\n", "two\n", "three\n", "four\n"]
