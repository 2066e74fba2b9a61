"""P1, P3: a resume imports nothing that no cell needs yet, and nobody can tell from what comes back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from shutil import rmtree

import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
NewKernel = Callable[..., Kernel]


def _imported(kernel: Kernel) -> set[str]:
    """Which of these a kernel has imported, by what is in its memory. (A cell that asks might be what imports them.)"""
    mapped = Path(f"/proc/{kernel.pid}/maps").read_text()
    return {name for name in ("numpy", "pandas") if f"-packages/{name}/" in mapped}


@pytest.fixture
def plain_kernel(new_kernel: NewKernel) -> Callable[[], Kernel]:
    """Starts kernels that have imported nothing before."""

    def start() -> Kernel:
        kernel = new_kernel(load=False)
        kernel.run("%load_ext evercell")
        return kernel

    return start


def _resumed(plain_kernel: Callable[[], Kernel], *cells: str) -> tuple[Kernel, Kernel]:
    """A kernel in which these steps ran, and the one that went on after it was killed."""
    first = plain_kernel()
    for number, cell in enumerate(cells):
        shown = first.run(f"%%step s{number}\n{cell}")
        assert shown.status == "ok", shown.error
    return first, plain_kernel()


TABLE = """
import numpy as np
import pandas as pd
from pandas import DataFrame as Table
np.random.seed(3)
pd.set_option('display.max_rows', 7)
np.set_printoptions(precision=2)
frame = Table({'a': np.arange(5.)})
column = frame['a'].to_numpy()
def mean():
    return float(np.mean(column))
rows = [1]
first = np.random.rand()
"""
LOOK = (
    "(np.random.rand(), pd.get_option('display.max_rows'), np.get_printoptions()['precision'], mean(),"
    " type(frame) is Table)"
)


def test_a_package_is_imported_by_the_first_cell_that_needs_it(plain_kernel: Callable[[], Kernel]) -> None:
    first, second = _resumed(plain_kernel, TABLE)
    expected = first.value(LOOK)
    first.kill()
    assert second.run("%resume").status == "ok"
    assert _imported(second) == set()
    second.run("%%step more\nrows.append(2)")
    assert second.value("rows") == [1, 2] and _imported(second) == set()
    assert second.value(LOOK) == expected
    assert _imported(second) == {"numpy", "pandas"}


@pytest.mark.parametrize(
    "first_cell",
    ["import numpy", "from numpy.random import rand", "import pandas.api.types as types", "import helper"],
)
def test_settings_and_generators_are_put_back_whoever_imports_their_library(
    plain_kernel: Callable[[], Kernel], tmp_path: Path, first_cell: str
) -> None:
    (tmp_path / "helper.py").write_text("import numpy.random\n")
    first, second = _resumed(plain_kernel, TABLE)
    expected = first.value(LOOK)
    first.kill()
    second.run("%resume")
    shown = second.run(f"{first_cell}\nfrom numpy.random import rand as draw\ndrawn = draw()")
    assert shown.status == "ok", shown.error
    assert second.value("drawn") == expected[0]
    assert second.value(LOOK)[1:] == expected[1:]


def test_what_still_waits_is_committed_and_comes_back_again(plain_kernel: Callable[[], Kernel]) -> None:
    first, second = _resumed(plain_kernel, TABLE)
    expected = first.value(LOOK)
    first.kill()
    second.run("%resume")
    second.run("%%step more\nrows.append(2)")
    second.kill()
    third = plain_kernel()
    third.run("%resume")
    assert third.value("rows") == [1, 2] and _imported(third) == set()
    assert third.value(LOOK) == expected


def test_a_library_that_is_not_there_is_named_at_once(
    plain_kernel: Callable[[], Kernel], tmp_path: Path
) -> None:
    package = tmp_path / "gone"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '1.0'\nclass Thing: pass\n")
    first, second = _resumed(
        plain_kernel, "import gone\nimport numpy as np\nthing = gone.Thing(), np.ones(2)\nrows = [1]"
    )
    first.kill()
    rmtree(package)
    notes = second.run("%resume").text
    assert "thing" in notes and "No module named 'gone'" in notes
    assert second.value("rows") == [1]


def test_the_notebooks_own_modules_are_found_when_what_waits_is_loaded(
    plain_kernel: Callable[[], Kernel], tmp_path: Path
) -> None:
    (tmp_path / "shapes.py").write_text("class Shape:\n    pass\n")
    (tmp_path / "elsewhere").mkdir()
    cell = """
import os, numpy as np
import shapes
large = shapes.Shape()
large.points = np.ones(3), bytearray(9 << 20)
del shapes
os.chdir('elsewhere')
"""
    first, second = _resumed(plain_kernel, cell)
    first.kill()
    assert "Shape" not in second.run("%resume").text
    assert second.value("float(large.points[0].sum())") == 3.0


def test_shift_tab_tells_what_a_variable_is(plain_kernel: Callable[[], Kernel]) -> None:
    first, second = _resumed(plain_kernel, "import numpy as np\narray = np.arange(3)")
    first.kill()
    second.run("%resume")
    assert "ndarray" in second.help("array")


def test_what_lists_variables_lists_their_types(plain_kernel: Callable[[], Kernel]) -> None:
    first, second = _resumed(plain_kernel, "import numpy as np\narray = np.arange(3)")
    first.kill()
    second.run("%resume")
    assert "ndarray" in second.run("%whos").text


@pytest.mark.parametrize("silent", [True, False])
def test_what_a_front_end_executes_behind_the_scenes_sees_variables_as_they_are(
    plain_kernel: Callable[[], Kernel], tmp_path: Path, silent: bool
) -> None:
    """As a list of variables beside the notebook does, and says of each its type."""
    first, kernel = _resumed(plain_kernel, TABLE)
    first.kill()
    kernel.run("%resume")

    def behind(code: str) -> str:
        asked = {
            "code": f"open('seen', 'w').write(str({code}))",
            "silent": silent,
            "store_history": False,
        }
        kernel.say("execute_request", asked | {"user_expressions": {}, "allow_stdin": False})
        kernel.run("")
        return (tmp_path / "seen").read_text()

    assert behind("rows") == "[1]" and _imported(kernel) == set()
    assert behind("type(frame).__name__") == "DataFrame"
    assert behind("{type(globals()[name]).__name__ for name in ('column', 'mean')}") in (
        "{'ndarray', 'function'}",
        "{'function', 'ndarray'}",
    )
    assert "frame" not in kernel.run("%history").text
