"""P3: another Python or another version of a package is noticed; code comes back from its source."""

from __future__ import annotations

import linecache

import pytest

from evercell.state.code import sources
from evercell.state.typerules import packages
from tests.unit.state.memory import Cells, resumed

SOURCE = '''\
import functools
factor = 3
def plain(x, y=[1], *, z=2):
    """doc"""
    def inner(n): return n * factor
    return inner(x) + y[0] + z
@functools.cache
def cached(x): return x + 1
class Box:
    side = 2
    def area(self): return self.side ** 2
    @property
    def double(self): return 2 * self.area()
def make(n):
    def add(m): return n + m
    return add
add_five = make(5)
square = lambda x: x * x
box = Box()
plain(1)
'''


def saved_by(monkeypatch: pytest.MonkeyPatch, version: str, *, filename: str) -> Cells:
    """Cells saved by a Python that calls itself so."""
    cells = Cells()
    linecache.cache[filename] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), filename)
    with monkeypatch.context() as patched:
        for module in ("pickling.pickler", "save"):
            patched.setattr(f"evercell.state.{module}.python_version", lambda: version)
        plan = cells.namespace.plan(SOURCE)
        exec(compile(SOURCE, filename, "exec"), cells.variables)
        cells.namespace.observe(plan, label="s")
        cells.commit("s")
    return cells


def test_functions_come_back_from_their_source_under_another_python(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = saved_by(monkeypatch, "3.99", filename="/tmp/ipykernel_1/1.py")
    fresh = Cells(cells.memory)
    restored = fresh.restore("s")
    assert restored.missing == ()
    assert f"python 3.99, here {sources.python_version()}" in restored.made_otherwise
    assert (
        fresh["plain"](2) == 9 and fresh["plain"].__doc__ == "doc" and fresh["plain"].__defaults__ == ([1],)
    )
    assert (fresh["cached"](1), fresh["square"](3), fresh["add_five"](1)) == (2, 9, 6)
    assert (fresh["box"].area(), fresh["Box"]().double) == (4, 8)
    fresh.plain("factor = 10")
    assert fresh["plain"](2) == 23, "it reads the live namespace"


def test_without_its_source_a_function_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells()
    with monkeypatch.context() as patched:
        for module in ("pickling.pickler", "save"):
            patched.setattr(f"evercell.state.{module}.python_version", lambda: "3.99")
        cells.step("s", "def f(): return 1\nx = 1")
    fresh = Cells(cells.memory)
    restored = fresh.restore("s")
    assert fresh["x"] == 1
    assert "its source was not recorded" in restored.missing[0].why


def test_a_traceback_shows_the_source_of_a_restored_function(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = saved_by(monkeypatch, sources.python_version(), filename="/tmp/ipykernel_2/2.py")
    linecache.cache.pop("/tmp/ipykernel_2/2.py")
    fresh = resumed(cells)
    import inspect

    assert "return inner(x) + y[0] + z" in inspect.getsource(fresh["plain"])
    assert inspect.getsource(fresh["square"]).strip() == "square = lambda x: x * x"


def test_another_version_of_a_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = Cells()
    cells.step("s", "import numpy as np\na = np.arange(3)")
    manifest = cells.memory.verified("s")
    numpy = next(w for w in manifest.groups[manifest.variables["a"].group].made_with if w.startswith("numpy"))
    monkeypatch.setattr(
        "evercell.state.typerules.packages.version_of", lambda name: "99.1.0" if name == "numpy" else None
    )
    assert Cells(cells.memory).restore("s").made_otherwise == (f"{numpy}, here 99.1.0",)
    assert packages.minor("2.1.3") == "2.1"
