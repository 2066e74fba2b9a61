"""P1: to look at a value is not to change it, so a cell that may touch everything makes nothing stale."""

from __future__ import annotations

import sys
import types
from importlib.machinery import ModuleSpec
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.state.code.definitions import Definitions
from evercell.state.pickling import serialiser
from evercell.state.pickling.exact import MARK
from evercell.state.pickling.serialiser import Serialiser, is_plain
from evercell.state.typerules import sentinels
from tests.unit.state.memory import Cells

VALUES = {
    "figure": "import matplotlib; matplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
    "value = plt.subplots()\nvalue[1].plot([1, 2, 3])\nvalue[1].set_title('t')",
    "frame": "import pandas as pd\nvalue = pd.DataFrame({'a': [1, 2], 'b': ['x', 'y']}).groupby('b')",
    "model": "from sklearn.linear_model import LogisticRegression\n"
    "value = LogisticRegression().fit([[0], [1], [2]], [0, 1, 1])",
    "client": "import httpx\nvalue = httpx.Client(headers={'a': 'b'})",
    "graph": "import networkx as nx\nvalue = nx.path_graph(5)",
    "traces": "import plotly.graph_objects as go\nvalue = go.Figure(go.Scatter(y=[1, 2]))",
    "symbols": "import sympy\nvalue = sympy.symbols('x') ** 2",
    "engine": "import sqlalchemy as sa\nvalue = sa.create_engine('sqlite:///nowhere.db')",
}


@pytest.mark.parametrize("source", VALUES.values(), ids=VALUES.keys())
def test_a_cell_that_may_touch_everything_changes_nothing_that_it_did_not_touch(source: str) -> None:
    cells = Cells()
    cells.step("make", source)
    before = cells.key("used = str(value)")
    for _ in range(3):
        cells.plain("other = eval('1')")
    assert cells.namespace.made_by("value") == "make"
    assert cells.key("used = str(value)") == before
    getattr(cells["value"], "close", lambda: None)()


_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4) | st.binary()
)
_PLAIN = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(_PLAIN)
def test_a_plain_value_is_serialised_as_any_other(value: Any) -> None:
    shared = [value, value]
    variables: dict[str, Any] = {"__name__": "__main__", "value": value, "shared": shared}
    usual = Serialiser(variables, Definitions(variables))
    for name in ("value", "shared"):
        if not is_plain(variables[name]):
            continue
        quick = usual.dumps(variables[name], [], name=name)
        with mock.patch.object(serialiser, "is_plain", return_value=False):
            thorough = usual.dumps(variables[name], [], name=name)
        assert (quick.stream, quick.mutable) == (thorough.stream, thorough.mutable)
        assert quick.shareable == thorough.shareable


@pytest.mark.parametrize("again", [True, False], ids=["the module has it", "the module had it"])
def test_an_id_that_a_module_s_tuple_once_had_is_no_sign_of_a_change(again: bool) -> None:
    """The next object in its memory has it, by chance: now and then, and in one of two kernels."""
    module = types.ModuleType(f"evercell_tests_of_ids_{again}", "a module with a tuple")
    module.__spec__ = ModuleSpec(module.__name__, None)
    module.settings = settings = (len("a"), 2)  # type: ignore[attr-defined]
    variables: dict[str, Any] = {"__name__": "__main__", "value": [settings]}
    sentinels.tuples_of_modules()
    with mock.patch.dict(sys.modules, {module.__name__: module}):
        assert id(settings) in sentinels.tuples_of_modules()
        if not again:
            module.settings = None  # type: ignore[attr-defined]
        taken = Serialiser(variables, Definitions(variables)).dumps(variables["value"], [], name="value")
    assert taken.stream.endswith(MARK) is again
