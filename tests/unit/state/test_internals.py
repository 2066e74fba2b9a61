"""What becomes of state under a library that no longer has the names which it kept to itself."""

from __future__ import annotations

import copyreg
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from evercell.state.internals import altair, matplotlib, plotly, standard_library
from evercell.state.internals import pandas as pandas_internals
from evercell.state.internals.traitlets import listeners_of
from tests.unit.state.memory import Cells, resumed


@pytest.fixture
def unknown_pandas(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import pandas._libs.internals

    monkeypatch.delattr(pandas._libs.internals, "BlockValuesRefs")
    pandas_internals.is_known.cache_clear()
    yield
    pandas_internals.is_known.cache_clear()


SHARERS = {
    "a frame's": "b = a[:]",
    "a column's": "b = a['x']",
    "an index's": "b = pd.Index(a['x'])",
    "an array's": "b = a['x'].to_numpy()",
}


@pytest.mark.usefixtures("unknown_pandas")
@pytest.mark.parametrize("source", SHARERS.values(), ids=SHARERS)
def test_under_an_unknown_pandas_a_write_to_a_frame_changes_no_other(source: str) -> None:
    cells = Cells()
    cells.step("make", f"import pandas as pd\na = pd.DataFrame({{'x': [1., 2.]}})\n{source}")
    after = resumed(cells)
    assert cells.missing == []
    after.plain("a.loc[0, 'x'] = 99.\na.iloc[1, 0] = 98.")
    assert after["a"]["x"].tolist() == [99.0, 98.0]
    after.plain("kept = pd.DataFrame(b).stack().tolist() if isinstance(b, pd.DataFrame) else list(b)")
    assert after["kept"] == [1.0, 2.0]


def test_under_the_installed_pandas_sharers_are_known() -> None:
    import pandas as _  # noqa: F401

    pandas_internals.is_known.cache_clear()
    assert pandas_internals.is_known()


@pytest.mark.parametrize(
    "name",
    ["_make_skeleton_enum", "_make_skeleton_class", "_get_or_create_tracker_id", "_lookup_class_or_track"],
)
def test_an_unknown_cloudpickle_is_refused_when_evercell_loads(name: str) -> None:
    source = f"import cloudpickle.cloudpickle as c; del c.{name}; import evercell.kernel_ext.extension"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert "IncompatibleLibrary" in done.stderr
    assert f"it has no {name}" in done.stderr
    assert "cloudpickle<4" in done.stderr


def test_a_path_of_an_unknown_matplotlib_is_kept_as_matplotlib_pickles_it() -> None:
    cells = Cells()
    cells.step(
        "make", "from matplotlib.path import Path\np = Path([[0, 0], [1, 2]])\ndel p._interpolation_steps"
    )
    assert cells.missing == []
    assert resumed(cells)["p"].vertices.tolist() == [[0, 0], [1, 2]]


def test_without_a_raw_environment_the_decoded_one_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dict(os.environ)
    monkeypatch.setattr(os, "environ", plain)
    assert standard_library.raw_environment() == plain
    assert standard_library.raw_environment() is not plain


def test_slot_names_are_what_pickling_an_instance_leaves_in_its_class() -> None:
    class Filled:
        __slots__ = ("x",)

    class Pickled:
        __slots__ = ("x",)

    standard_library.fill_slot_names(Filled)
    copyreg.__reduce_ex__  # the module whose C twin does it
    Pickled().__reduce_ex__(2)
    assert Filled.__dict__["__slotnames__"] == Pickled.__dict__["__slotnames__"] == ["x"]


def test_a_pool_of_an_unknown_python_is_named_and_what_is_beside_it_is_kept() -> None:
    cells = Cells()
    source = "from concurrent.futures import ThreadPoolExecutor\nx = [1, ThreadPoolExecutor(2)]\ndel x[1]._work_queue"
    cells.step("make", source)
    (missing,) = cells.missing
    assert "ThreadPoolExecutor) was not kept" in missing and "has no attribute '_work_queue'" in missing
    assert resumed(cells)["x"][0] == 1


def test_an_object_of_an_unknown_traitlets_is_kept_as_traitlets_pickles_it() -> None:
    class Other:
        """Keeps its listeners where nobody looks for them."""

    assert listeners_of(Other()) == ()


class _Unknown:
    """Of a library that keeps everything elsewhere."""


def test_what_cells_register_with_an_unknown_library_is_forgotten_and_no_error() -> None:
    assert altair.registered_with(_Unknown()) == {}
    assert plotly.listeners_in(_Unknown()) == [] and plotly.frames_of(_Unknown()) == ()
    assert matplotlib.listeners_of(_Unknown()) == {}


def test_an_address_is_where_numpy_says_it_is() -> None:
    import numpy as np

    array = np.arange(5)
    assert standard_library.address_of(array) == array.ctypes.data
