"""A kernel finds its notebook's run by what a front end really tells it: a path from its start, and cells' ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

LOAD = "%load_ext evercell"
FIRST = "%%step first\nx = 1"


def write(path: Path, *sources: str) -> list[str]:
    """A notebook file; the ids of its cells."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return [str(cell.id) for cell in cells]


def started(new_kernel: Callable[..., Kernel], told: Path) -> Kernel:
    """A kernel that was told this path when it was started, as JupyterLab does it."""
    return new_kernel(load=False, EVERCELL_NOTEBOOK="", JPY_SESSION_NAME=str(told))


def test_a_renamed_notebook_is_found_in_a_kernel_that_was_told_its_old_name(
    new_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    path = tmp_path / "Untitled.ipynb"
    load, first = write(path, LOAD, FIRST)
    kernel = started(new_kernel, path)
    assert "ready; the first %%step starts a run" in kernel.run(LOAD, cell_id=load).text
    assert kernel.run(FIRST, cell_id=first).status == "ok"
    kernel.kill()
    path.rename(tmp_path / "plan.ipynb")
    kernel = started(new_kernel, path)  # a restart: the server gives the kernel what it gave it before
    assert "attached to run Untitled-1 (1 step completed" in kernel.run(LOAD, cell_id=load).text
    assert "1 variable put back" in kernel.run("%resume").text
    kernel.kill()
    load, _ = write(path, LOAD, "%%step first\nx = 'of another notebook'")
    kernel = started(new_kernel, path)
    shown = kernel.run(LOAD, cell_id=load).text
    # (the run is at plan.ipynb by now: the new notebook hears nothing of it)
    assert shown == "evercell: ready; the first %%step starts a run\n"


def test_a_name_that_another_notebook_had_gives_nobody_its_run(
    new_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    path = tmp_path / "Untitled.ipynb"
    load, first = write(path, LOAD, FIRST)
    kernel = started(new_kernel, path)
    kernel.run(LOAD, cell_id=load)
    kernel.run(FIRST, cell_id=first)
    kernel.kill()
    load, first = write(path, LOAD, "%%step first\nx = 2")
    kernel = started(new_kernel, path)
    shown = kernel.run(LOAD, cell_id=load).text
    assert (
        "run Untitled-1 was made at this place by other cells" in shown
        and "%evercell attach Untitled-1" in shown
    )
    assert kernel.run("%%step first\nx = 2", cell_id=first).notes == ""
    assert "Run Untitled-2" in kernel.run("%evercell").text
    attached = kernel.run("%evercell attach Untitled-1")
    assert "attached to run Untitled-1; %resume puts back its state" in attached.text
    assert "Untitled-1" in kernel.run("%resume").text and kernel.value("x") == 1
    assert "Name it: %evercell attach RUN" in kernel.run("%evercell attach").error
    assert "%evercell new takes no run" in kernel.run("%evercell new Untitled-1").error


def test_a_copy_goes_on_in_a_branch(new_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    path = tmp_path / "plan.ipynb"
    load, first = write(path, LOAD, FIRST)
    kernel = started(new_kernel, path)
    kernel.run(LOAD, cell_id=load)
    kernel.run(FIRST, cell_id=first)
    kernel.kill()
    copy = tmp_path / "plan-Copy1.ipynb"
    copy.write_bytes(path.read_bytes())
    kernel = started(new_kernel, copy)
    shown = kernel.run(LOAD, cell_id=load).text
    assert "this is a copy of plan.ipynb" in shown and "%branch --from plan-1@" in shown
    assert kernel.run("%branch --from plan-1@").status == "ok" and kernel.value("x") == 1
    assert "plan-Copy1-1" in kernel.run("%evercell").text
    assert "inherited" in kernel.run("%steps").text


def test_a_copy_of_a_renamed_notebook_is_given_none_of_its_former_runs(
    new_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    """These were made at the old name, where nothing is any more: they are the renamed one's all the same."""
    path = tmp_path / "Untitled.ipynb"
    load, first = write(path, LOAD, FIRST)
    kernel = started(new_kernel, path)
    kernel.run(LOAD, cell_id=load)
    kernel.run(FIRST, cell_id=first)
    kernel.run("%evercell new")
    kernel.run(FIRST, cell_id=first)
    kernel.kill()
    renamed, copy = tmp_path / "plan.ipynb", tmp_path / "plan-Copy1.ipynb"
    path.rename(renamed)
    kernel = started(new_kernel, renamed)
    assert "attached to run Untitled-2" in kernel.run(LOAD, cell_id=load).text
    kernel.run("%resume")
    kernel.kill()
    copy.write_bytes(renamed.read_bytes())
    kernel = started(new_kernel, copy)
    shown = kernel.run(LOAD, cell_id=load).text
    assert "this is a copy of plan.ipynb" in shown and "%branch --from Untitled-2@" in shown
