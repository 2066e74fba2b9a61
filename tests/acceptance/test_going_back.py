"""The trap of going back: the notebook has one code, its runs have several, and none gets another's unsaid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel

LOAD = "%%step load\nrows = [1, 2, 3]"
FIT = "%%step fit\nmodel = sum(rows)"
OTHER_FIT = "%%step fit\nmodel = max(rows)  # another idea"
REPORT = "%%step report\ntext = f'model {model}'\nprint(text)"


def write(path: Path, *sources: str) -> None:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def run(kernel: Kernel, *sources: str) -> list[str]:
    """Run cells; the error of each, empty for none."""
    return [kernel.run(source, cell_id=f"cell-{n}").error for n, source in enumerate(sources)]


@pytest.fixture
def kernel(new_kernel: Callable[..., Kernel], tmp_path: Path) -> Kernel:
    """A branch with another `fit` than its parent, and its code in the notebook."""
    path = tmp_path / "nb.ipynb"
    write(path, LOAD, FIT, REPORT)
    kernel = new_kernel()
    assert run(kernel, LOAD, FIT, REPORT) == ["", "", ""]
    kernel.run("%branch --from fit --name what-if")
    write(path, LOAD, OTHER_FIT, REPORT)
    assert run(kernel, LOAD, OTHER_FIT, REPORT) == ["", "", ""]
    assert kernel.value("text") == "model 3"
    return kernel


def test_a_checkout_says_which_cells_have_other_code_by_now(kernel: Kernel, tmp_path: Path) -> None:
    shown = kernel.run("%checkout nb-1").text
    assert "other code in the notebook than in this run: fit; %source fit shows it" in shown, shown
    write(tmp_path / "nb.ipynb", LOAD, "%%step fit\n\nmodel = sum( rows )  # only laid out otherwise", REPORT)
    assert "other code" not in kernel.run("%checkout nb-1").text
    assert "other code in the notebook than in this run: fit" in kernel.run("%checkout what-if").text


def test_a_run_all_after_it_gives_the_parent_none_of_the_branchs_code_unasked(kernel: Kernel) -> None:
    kernel.run("%checkout nb-1")
    assert kernel.value("text") == "model 6"
    load, fit, _ = run(kernel, LOAD, OTHER_FIT, REPORT)
    assert load == "" and "CodeOfOtherRun" in fit
    assert "This is the code of step fit in run what-if, and this kernel is on run nb-1" in fit
    assert kernel.value("model") == 6
    steps = kernel.run("%steps").text
    assert [line.split()[1:4] for line in steps.splitlines() if line.startswith("fit ")] == [
        ["completed", "1", "1"]
    ]
    assert run(kernel, LOAD, f"{OTHER_FIT.replace('fit', 'fit --rerun', 1)}", REPORT) == ["", "", ""]
    assert kernel.value("text") == "model 3"


def test_code_of_ones_own_is_not_asked_about(kernel: Kernel) -> None:
    kernel.run("%checkout nb-1")
    new = "%%step fit\nmodel = min(rows)"
    assert run(kernel, LOAD, new, REPORT) == ["", "", ""]
    assert run(kernel, LOAD, FIT, REPORT) == ["", "", ""]
    kernel.run("%evercell new")
    assert run(kernel, LOAD, FIT, REPORT) == ["", "", ""]
    assert run(kernel, LOAD, OTHER_FIT, REPORT) == ["", "", ""]


def test_what_a_resume_takes_from_memory_is_named(new_kernel: Callable[..., Kernel], tmp_path: Path) -> None:
    kernel = new_kernel()
    kernel.run(LOAD)
    kernel.shut_down()
    kernel = new_kernel()
    kernel.run("mine = 1\nrows = 'other'")
    assert "no part of that state, and not in memory any more: mine\n" in f"{kernel.run('%resume').text}\n"
    assert kernel.value("rows") == [1, 2, 3]
    assert "not in memory" not in kernel.run("%resume").text
