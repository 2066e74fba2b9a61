"""What ties variables together into one group, and what does not: one write must not store them all."""

from __future__ import annotations

import sys
import types

import pytest

from evercell.state.pickling import pickled
from tests.unit.state.memory import Cells, resumed

APART = {
    "arrays": "import numpy as np\na, b = np.zeros((50, 50)), np.zeros((50, 50))",
    "generators": "import numpy as np\na, b = np.random.default_rng(1), np.random.default_rng(2)",
    "frames": "import pandas as pd\na, b = pd.DataFrame({'x': [1., 2.]}), pd.DataFrame({'x': [1., 3.]})",
    "columns": "import pandas as pd\na, b = pd.Series(['x', None]), pd.Series([1, 2], dtype='Int64')",
    "dates": "import pandas as pd\na, b = (pd.date_range('2024', periods=3, tz='UTC').to_frame() for _ in 'ab')",
    "categories": "import pandas as pd\na, b = (pd.DataFrame({'c': pd.Categorical(['x', 'y'])}) for _ in 'ab')",
    "polars": "import polars as pl\na, b = pl.DataFrame({'x': [1]}), pl.DataFrame({'x': [2]})",
    "xarray": "import xarray as xr\na, b = (xr.Dataset({'v': (('x',), [1., 2.])}, {'x': [0, 1]}) for _ in 'ab')",
    "sparse": "import scipy.sparse as sp\na, b = sp.csr_matrix([[1, 0]]), sp.csr_array([[1, 0]])",
    "estimators": "from sklearn.linear_model import Ridge\na, b = (Ridge().fit([[1], [2]], [1, 2]) for _ in 'ab')",
    "pipelines": """
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.ensemble import RandomForestClassifier
a, b = (make_pipeline(StandardScaler(), RandomForestClassifier(3)).fit([[1], [2]], [1, 2]) for _ in 'ab')
""",
    "graphs": "import networkx as nx\na, b = nx.path_graph(3), nx.path_graph(3)",
    "symbols": "import sympy\na, b = sympy.Symbol('p') ** 2 + 1, sympy.Matrix([[1, sympy.Symbol('q')]])",
    "images": "from PIL import Image\na, b = Image.new('L', (4, 4)), Image.new('L', (4, 4))",
    "plotly": "import plotly.graph_objects as go\na, b = go.Figure(go.Scatter(y=[1])), go.Figure(go.Bar(y=[1]))",
    "figures": """
import matplotlib
matplotlib.use('agg')
import matplotlib.pyplot as plt
(a, ax), (b, bx) = plt.subplots(), plt.subplots()
ax.plot([1, 2]); bx.plot([1, 2]); plt.close('all')
""",
    "models": """
import pydantic
class M(pydantic.BaseModel):
    x: list[int] = []
a, b = M(x=[1]), M(x=[2])
""",
    "instances": "class C:\n    shared = []\na, b = C(), C()\na.x, b.x = [1], [1]",
    "closures": "def make(n):\n    return lambda: n\na, b = make([1]), make([2])",
}  # fmt: skip

TOGETHER = {
    "a list in both": "c = []\na, b = [c], {'c': c}",
    "a view": "import numpy as np\na = np.zeros(9)\nb = a[2:]",
    "a column": "import pandas as pd\na = pd.DataFrame({'x': [1., 2.]})\nb = a['x']",
    "a closure's cell": "def make():\n    n = [0]\n    return (lambda: n), (lambda: n)\na, b = make()",
    "a bound method": "class C:\n    def f(self): pass\na = C()\nb = a.f",
    "memory of bytes": "import numpy as np\na = bytearray(80)\nb = np.frombuffer(a)",
}


HANDED_ON = {
    "made of what a module holds": ["b = [1]; held.append(b)", "a = [held[0]]"],
    "put in from a module": ["b = [[1]]; held.append(b[0])", "a = [0]", "a[0] = held[0]"],
    "given to a module later": ["b = [[1]]; a = [0]", "held.append(b[0])", "a.append(held[0])"],
    "an equal one before": ["b = [[1]]; a = [[1], 'x']", "held.append(b[0])", "x = 1", "a[0] = held[0]"],
    "after it was changed": ["b = [[1]]; a = [0]; c = []", "b.append([2])", "held.append(b[1])", "a.append(held[0])"],
    "a class's registry": [
        "class C:\n    def __init__(self): held.append(self)\na = C(); b = []", "b.append(held[-1])"
    ],
}  # fmt: skip
"""Cells of which none names both: what they share came by way of a module that both use."""


def _tied(*sources: str) -> bool:
    cells = Cells()
    for number, source in enumerate(sources):
        cells.step(f"s{number}", source)
    group_of = cells.memory.verified(cells.head or "").variables
    return group_of["a"].group == group_of["b"].group


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("a_registry")
    vars(module)["held"] = []
    monkeypatch.setitem(sys.modules, "a_registry", module)


@pytest.mark.parametrize("source", APART.values(), ids=APART.keys())
def test_objects_that_share_nothing_of_the_users_are_groups_of_their_own(source: str) -> None:
    assert not _tied(source)


@pytest.mark.parametrize("source", TOGETHER.values(), ids=TOGETHER.keys())
def test_what_shares_an_object_is_one_group(source: str) -> None:
    assert _tied(source)


FRAMES = {
    "texts": "pd.DataFrame({'x': [1, 2, 3], 'y': [1., 2., 3.], 'k': list('uvu')})",
    "dates": "pd.DataFrame({'x': [1, 2, 3], 'k': list('uvu')}, index=pd.date_range('2024', periods=3))",
    "several levels": "pd.DataFrame({'x': [1, 2, 3], 'k': list('uvu')}, index=[[1, 1, 2], [4, 5, 6]])",
    "categories": "pd.DataFrame({'x': [1, 2, 3], 'k': list('uvu')}, index=pd.CategoricalIndex(list('aba')))",
    "numbers": "pd.DataFrame({'x': [1, 2, 3], 'k': list('uvu')}, index=[5, 6, 7])",
    "a column of dates": "pd.DataFrame({'x': [1, 2, 3], 'k': list('uvu'), 'd': pd.Timestamp(0, tz='UTC')})",
    "columns of pandas' own": "pd.DataFrame({'x': pd.array([1, 2, 3]), 'k': pd.Categorical(list('uvu'))})",
}  # fmt: skip

MADE_OF_A_FRAME = {
    "rows": "b = a[a['x'] > 1]",
    "a copy": "b = a.copy()",
    "sorted": "b = a[::-1].sort_values('k')",
    "groups": "for _, b in a.groupby('k'): pass",
    "figures of groups": "b = a.groupby('k')['x'].mean()",
    "figures": "b = a[['x']].describe()",
    "a series by columns": "b = pd.Series(range(len(a.columns)), index=a.columns)",
    "parts": "from sklearn.model_selection import train_test_split\nb, _ = train_test_split(a, random_state=0)",
}
"""Of these pandas keeps no part of the frame but what it calls its columns and rows, which nobody can write to."""

LOOKED_AT = MADE_OF_A_FRAME | {
    "a column": "b = a['x']",
    "first rows": "b = a.head(2)",
    "a column more": "b = a.assign(z=1)",
    "as it is shown": "b = a._repr_html_()",
    "as numbers": "b = a.to_numpy()",
    "row by row": "b = list(a.iterrows())",
    "the year of its rows": "b = getattr(a.index, 'year', None)",
    "a place": "b = a.loc[a.index[1]]",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize("source", MADE_OF_A_FRAME.values(), ids=MADE_OF_A_FRAME.keys())
def test_what_was_made_of_a_frame_is_a_group_of_its_own(frame: str, source: str) -> None:
    assert not _tied(f"import pandas as pd\na = {frame}", source)


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES.keys())
@pytest.mark.parametrize("source", LOOKED_AT.values(), ids=LOOKED_AT.keys())
def test_a_frame_of_which_something_was_made_is_as_it_was(frame: str, source: str) -> None:
    """Otherwise an edit of a plot, which takes its rows from a frame, executes all that reads the frame again."""
    cells = Cells()
    cells.step("made", f"import pandas as pd\na = {frame}")
    cells.step("looked", source)
    assert cells.namespace.made_by("a") == "made"
    cells.step("changed", "a['x'] = 0")
    assert cells.namespace.made_by("a") == "changed"


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize("large", [0, pickled.LARGE], ids=["large", "small"])
@pytest.mark.parametrize("cells", HANDED_ON.values(), ids=HANDED_ON.keys())
def test_what_came_by_way_of_a_module_is_shared_all_the_same(
    cells: list[str], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "LARGE", large)
    assert _tied(*(source.replace("held", "__import__('a_registry').held") for source in cells))


@pytest.mark.parametrize("large", [0, pickled.LARGE], ids=["large", "small"])
def test_what_is_not_shared_any_more_is_a_group_of_its_own(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "LARGE", large)
    assert _tied("a = {'all': [[1], [2]]}; b = a['all'][1]")
    assert not _tied("a = {'all': [[1], [2]]}; b = a['all'][1]", "a['all'].pop()")
    assert not _tied("a = {'all': [[1], [2]]}; b = a['all'][1]", "b = [3]")
    assert not _tied("a = {'all': [[1], [2]]}; b = a['all'][1]", "a['all'][0].append(3)", "b = 4")


WITHIN = {
    "one tie less": ["a = [[1], [2]]; b = [a[0], a[1]]", "a[0] = [1]"],
    "one tie more": ["a = [[1], [2]]; b = [[1], a[1]]", "a[0] = b[0]"],
    "others in their places": ["a = [[1], [1]]; b = [a[0], a[1]]", "a.reverse()"],
    "in a new kernel": ["a = [[1], [2]]; b = [a[0], a[1]]", None, "a[0] = [1]"],
}
"""Cells after which two variables have what they had, but share other objects."""


@pytest.mark.parametrize("large", [0, pickled.LARGE], ids=["large", "small"])
@pytest.mark.parametrize("sources", WITHIN.values(), ids=WITHIN.keys())
def test_what_a_group_shares_within_is_saved_when_it_changes(
    sources: list[str | None], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "LARGE", large)
    cells = Cells()
    for number, source in enumerate(sources):
        if source is None:
            cells = _restored(cells)
        else:
            cells.step(f"s{number}", source)
    again = _restored(cells)
    assert _sharing(again) == _sharing(cells)


def _restored(cells: Cells) -> Cells:
    again = Cells(cells.memory)
    again.namespace.restore(cells.memory.verified(cells.head or ""), cells.memory)
    again.namespace.load_everything()
    again.head = cells.head
    return again


def _sharing(cells: Cells) -> list[list[bool]]:
    return [[one is other for other in cells["b"]] for one in cells["a"]]


def test_a_read_and_a_write_of_very_many_objects_leave_their_neighbours_alone() -> None:
    """Only what changed has a new maker, whether a group is looked at as a whole or node by node."""
    cells = Cells()
    cells.step(
        "made", "a = {'all': [{'n': n, 'text': 'x' * 90} for n in range(20_000)]}; b = a['all'][7]; c = []"
    )
    cells.step("read", "found = len(a['all']); listed = [found]")
    cells.step("wrote", "a['all'][5]['n'] = -1")
    cells.step("wrote both", "b['n'] = -7")
    cells.step("wrote again", "a['all'][6]['n'] = -1")
    made_by = {name: cells.namespace.made_by(name) for name in "abc"}
    assert made_by == {"a": "wrote again", "b": "wrote both", "c": "made"}
    group_of = cells.memory.verified(cells.head or "").variables
    assert group_of["a"].group == group_of["b"].group != group_of["listed"].group
    again = _restored(cells)
    assert again["a"] == cells["a"] and again["b"] is again["a"]["all"][7]
    again.step("wrote after a restore", "a['all'][8]['n'] = -1")
    assert again.namespace.made_by("b") == "wrote both"


NAMES_EITHER_WAY = pytest.mark.parametrize(("held", "holder"), [("c", "d"), ("d", "c")])
"""Which of two variables the index has for an object that both hold is chance."""


@NAMES_EITHER_WAY
def test_what_one_variable_let_go_of_is_known_as_the_others(held: str, holder: str) -> None:
    cells = Cells()
    cells.step("made", f"b = list(range(400_000))\n{held} = {{'k': 2}}\n{holder} = [{held}]")
    cells.step("swapped", f"b, {held} = {held}, b")
    fresh = resumed(cells)
    assert fresh[holder][0] is fresh["b"]
    assert fresh[held] == list(range(400_000))


@NAMES_EITHER_WAY
def test_what_a_deleted_variable_held_is_known_as_the_others(
    held: str, holder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "evercell_kept", None, raising=False)
    cells = Cells()
    cells.step("made", f"import sys\n{held} = {{'k': 2}}\n{holder} = [{held}]")
    cells.step("deleted", f"sys.evercell_kept = {held}\ndel {held}")
    cells.step("found", "b = sys.evercell_kept")
    fresh = resumed(cells)
    assert fresh[holder][0] is fresh["b"]
