"""What ties variables together into one group, and what does not: one write must not store them all."""

from __future__ import annotations

import pytest

from tests.unit.state.memory import Cells

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


def _tied(source: str) -> bool:
    cells = Cells()
    cells.step("made", source)
    group_of = cells.memory.verified("made").variables
    return group_of["a"].group == group_of["b"].group


@pytest.mark.parametrize("source", APART.values(), ids=APART.keys())
def test_objects_that_share_nothing_of_the_users_are_groups_of_their_own(source: str) -> None:
    assert not _tied(source)


@pytest.mark.parametrize("source", TOGETHER.values(), ids=TOGETHER.keys())
def test_what_shares_an_object_is_one_group(source: str) -> None:
    assert _tied(source)
