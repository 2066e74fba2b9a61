"""P1: to look at a value is not to change it, so a cell that may touch everything makes nothing stale."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.state.code.definitions import Definitions
from evercell.state.pickling import serialiser
from evercell.state.pickling.exact import MARK
from evercell.state.pickling.serialiser import Serialiser, is_plain
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
        # (a text that only looks as if it named the builtins costs a mark, and nothing else)
        assert (quick.stream, quick.mutable) == (thorough.stream.removesuffix(MARK), thorough.mutable)
        assert quick.shareable == thorough.shareable
