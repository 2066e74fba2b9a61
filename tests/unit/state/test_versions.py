"""P3: another Python or another version of a package is noticed; code comes back from its source."""

from __future__ import annotations

import inspect
import linecache
import types
from pathlib import Path
from typing import Any

import pytest

from evercell.state.code import sources
from evercell.state.pickling import code_pickler
from evercell.state.pickling.values import Values
from evercell.state.typerules import annotations, packages
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
        for module in ("pickling.code_objects", "save"):
            patched.setattr(f"evercell.state.{module}.python_version", lambda: version)
        plan = cells.namespace.plan(SOURCE)
        exec(compile(SOURCE, filename, "exec", dont_inherit=True), cells.variables)
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
        for module in ("pickling.code_objects", "save"):
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
    assert "return inner(x) + y[0] + z" in inspect.getsource(fresh["plain"])
    assert inspect.getsource(fresh["square"]).strip() == "square = lambda x: x * x"


def test_functions_of_several_cells_keep_each_their_own_source() -> None:
    cells = Cells()
    sources_of = {
        "one": "def one(): return 1\ndef two(): return 2\n",
        "c": "class C:\n    def m(self): return 'm'\n",
    }
    for name, source in sources_of.items():
        filename = f"/tmp/ipykernel_3/{name}.py"
        linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
        plan = cells.namespace.plan(source)
        exec(compile(source, filename, "exec", dont_inherit=True), cells.variables)
        cells.namespace.observe(plan, label=name)
        cells.commit(name)
        linecache.cache.pop(filename)
    fresh = resumed(cells)
    assert inspect.getsource(fresh["two"]) == "def two(): return 2\n"
    assert "return 'm'" in inspect.getsource(fresh["C"].m)
    assert fresh["two"].__code__.co_filename == "/tmp/ipykernel_3/one.py"


@pytest.mark.parametrize(
    "source",
    [
        "f = lambda x: x + 1",
        "def f(a, *, b=2):\n    return [a for a in range(b)]",
        "class f:\n    x = lambda self: 1",
    ],
)
def test_what_a_call_was_given_is_known_again_though_its_cell_moved(source: str) -> None:
    """P1: a function as argument is what it does, not the line or the kernel that it was made in."""

    def fingerprint(source: str, filename: str) -> bytes:
        variables: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(source, filename, "exec", dont_inherit=True), variables)
        given = variables.pop("f")  # not to be found by its name
        return Values(variables).fingerprint((given,), {"key": [given]})

    first = fingerprint(source, "/tmp/ipykernel_1/1.py")
    assert fingerprint(f"# a comment\n\n{source}", "/tmp/ipykernel_2/2.py") == first
    assert fingerprint(source.replace("1", "3").replace("2", "3"), "/tmp/ipykernel_1/1.py") != first


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


def test_a_version_that_is_computed_where_a_package_is_imported_is_none_before_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "of_computed_version.py").write_text('__version__ = "%d.%d" % (1, 2)\n')
    (tmp_path / "of_written_version.py").write_text('__version__ = "1.2"\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert packages.version_of("of_computed_version") is None
    assert packages.version_of("of_written_version") == "1.2"


OF_314 = """\
def deco(f): return f
@deco
@deco
def f(a: T, /, b: "str" = 1, *c: list[T], d: int | None = None, **e: Later) -> T | None: ...
class C:
    x: T
    if T:
        __y: "Later"
    for _ in ():
        z: int
    def m(self, q: T) -> "C":
        w: int = 1
    class In:
        v: T
async def g(a: T): ...
"""


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        (2, {"a": "T", "b": "'str'", "c": "list[T]", "d": "int | None", "e": "Later", "return": "T | None"}),
        (4, {"a": "T", "b": "'str'", "c": "list[T]", "d": "int | None", "e": "Later", "return": "T | None"}),
        (5, {"x": "T", "_C__y": "'Later'", "z": "int"}),
        (11, {"q": "T", "return": "'C'"}),
        (13, {"v": "T"}),
        (15, {"a": "T"}),
        (1, {}),
        (99, {}),
    ],
)
def test_an_older_python_has_annotations_as_texts(
    monkeypatch: pytest.MonkeyPatch, line: int, texts: dict[str, str]
) -> None:
    monkeypatch.setattr(annotations, "IS_LATE", False)
    assert annotations.is_code_of_annotations("C.__annotate__")
    code = annotations.code_of_texts(OF_314, line, ("__classdict__",))
    annotate = types.FunctionType(code, {}, "__annotate__", None, (types.CellType({}),))

    def restored() -> None: ...

    annotations.fill_annotations(restored, {"__annotate__": annotate})
    of_class = annotations.annotations_for_class({"__annotate_func__": annotate, "x": 1})
    assert restored.__annotations__ == texts
    assert of_class == {"x": 1, "__annotations__": texts}


def test_an_older_python_has_what_was_asked_for_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "IS_LATE", False)

    def restored() -> None: ...

    annotations.fill_annotations(restored, {"__annotate__": len, "__annotations__": {"a": int}})
    attributes = {"__annotate_func__": len, "__annotations_cache__": {"x": int}}
    assert restored.__annotations__ == {"a": int}
    assert annotations.annotations_for_class(attributes) == {"__annotations__": {"x": int}}


def test_without_its_library_an_older_python_has_no_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(annotations, "IS_LATE", False)

    def restored() -> None: ...

    annotations.fill_annotations(restored, {"__annotate__": len})
    assert restored.__annotations__ == {}


def test_a_function_that_a_call_is_given_is_taken_apart_a_few_times_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[types.CodeType] = []

    def counted(code: types.CodeType) -> frozenset[str]:
        asked.append(code)
        return frozenset()

    monkeypatch.setattr(code_pickler, "code_names", counted)
    variables: dict[str, Any] = {"__name__": "__main__"}
    exec(compile("def f(x): return x", "cell", "exec", dont_inherit=True), variables)
    given = variables.pop("f")
    Values(variables).fingerprint((given,), {})
    assert 0 < len(asked) < 5
