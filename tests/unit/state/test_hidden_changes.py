"""P3: what changes by a way that no cell names is found and saved, and changes nothing else."""

from __future__ import annotations

from sys import getrefcount
from typing import Any

import matplotlib
import pytest

from evercell.state.changes import scan
from tests.unit.state.memory import Cells, resumed

WAYS = {
    "a bound builtin method": ("rows = []\nadd = rows.append", "add(1)", "rows"),
    "a module as a value": (
        "import types\nbox = types.ModuleType('box')\nrows = []\nbox.rows = rows",
        "box.rows.append(1)",
        "rows",
    ),
    "a generator": (
        "rows = []\ndef agent():\n    while True:\n        rows.append(len(rows))\n        yield\ng = agent()",
        "next(g); next(g)",
        "rows",
    ),
    "a weak reference": (
        "import weakref\nclass A: pass\na = A()\na.n = 1\nseen = weakref.ref(a)",
        "seen().n = 2",
        "a.n",
    ),
    "the globals of a function": ("n = 1\ndef f(): pass", "vars()[str('f')].__globals__['n'] = 7", "n"),
    "a window into memory": ("b = bytearray(b'abc')\nm = memoryview(b)", "m[0] = 65", "bytes(b)"),
    "a default of a function": ("def f(a=[]): return a", "g = f\ng.__defaults__[0].append(3)", "f()"),
    "subclasses": (
        "class Base: pass\nclass Child(Base): level = 1",
        "Base.__subclasses__()[0].level = 2",
        "Child.level",
    ),
    "a closure": (
        "def make(rows):\n    return rows, lambda v: rows.append(v)\nrows, put = make([])",
        "put(4)",
        "rows",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_change_that_no_cell_names_is_saved_with_the_step_that_made_it(way: str) -> None:
    made, changed, expression = WAYS[way]
    cells = Cells()
    cells.step("make", made)
    cells.step("change", changed)
    assert _value(resumed(cells), expression) == _value(cells, expression)


def test_a_name_deleted_or_assigned_unseen_is_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells()
    cells.step("make", "gone, kept, n = [1], [2], 3")
    plan = cells.namespace.plan("pass", label="change")
    cells.variables.pop("gone")
    cells.variables["n"] = 4
    cells.namespace.observe(plan, label="change")
    cells.commit("change")
    after = resumed(cells)
    assert (after.variables.get("gone"), after["kept"], after["n"]) == (None, [2], 4)


def test_what_the_budget_does_not_reach_is_found_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "FREE", 0.0)
    monkeypatch.setattr(scan, "SHARE", 0.0)
    cells = Cells()
    cells.step("make", "rows = []\nother = {'a': [1]}\nnext_row = [rows.append]")
    plan = cells.namespace.plan("pass", label="change")
    cells["rows"].append(1)
    cells.namespace.observe(plan, label="change")
    cells.commit("change")
    assert not cells.namespace.saw_everything
    assert resumed(cells)["rows"] == []
    found = list(cells.namespace.look_in_slices())
    assert any(found)
    assert cells.namespace.saw_everything
    cells.commit("later")
    after = resumed(cells)
    assert after["rows"] == [1]
    assert cells.namespace.made_by("rows") == "change"
    assert cells.namespace.made_by("other") == "make"


def test_a_look_that_is_given_up_holds_on_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "SLICE", 1e-5)
    cells = Cells()
    cells.step("make", "import numpy as np\nbig = np.zeros(12_000_000)")
    counts = [getrefcount(cells["big"])]
    cells.namespace.something_ran()
    slices = cells.namespace.look_in_slices()
    assert not any(next(slices) for _ in range(2))
    counts.append(getrefcount(cells["big"]))
    del slices
    counts.append(getrefcount(cells["big"]))
    before, during, after = counts
    assert during > before == after


def test_a_look_at_everything_says_nothing_of_what_did_not_change() -> None:
    matplotlib.use("agg")
    cells = Cells()
    cells.step(
        "make",
        """
        import numpy as np, pandas as pd, matplotlib.pyplot as plt
        from sklearn.linear_model import LinearRegression
        frame = pd.DataFrame({"a": range(5), "b": list("abcde")})
        model = LinearRegression().fit(frame[["a"]], range(5))
        figure, axes = plt.subplots()
        axes.plot(frame["a"])
        table = {"x": [1, 2, {3, 4}], "when": pd.Timestamp("2026-01-01")}
        class Node:
            def __init__(self): self.me = self
        node = Node()
        import xarray
        cube = xarray.Dataset({"q": ("x", [1, 2])}, coords={"x": [3, 4]})
        """,
    )
    before = {
        name: cells.namespace.made_by(name)
        for name in ("frame", "model", "figure", "axes", "table", "node", "cube")
    }
    _look_three_times(cells)
    assert {name: cells.namespace.made_by(name) for name in before} == before
    later = resumed(cells)
    _look_three_times(later)
    assert {name: later.namespace.made_by(name) for name in before} == before


def _look_three_times(cells: Cells) -> None:
    for number in range(3):
        cells.namespace.something_ran()
        assert not cells.namespace.look_at_everything(), number


def _value(cells: Cells, expression: str) -> Any:
    return eval(expression, cells.variables)
