"""What a cell's key depends on, and what not."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from evercell.state.code.analysis import analyse
from evercell.state.namespace import Namespace


class Cells:
    """A namespace and cells run in it."""

    def __init__(self, folder: Path | None = None) -> None:
        self.variables: dict[str, Any] = {"__name__": "__main__"}
        self.namespace = Namespace(self.variables, hidden=lambda n: n.startswith("__"), folder=folder)

    def key(self, source: str) -> bytes:
        return self.namespace.plan(textwrap.dedent(source)).key

    def run(self, source: str, label: str = "In [1]") -> bytes:
        plan = self.namespace.plan(textwrap.dedent(source))
        exec(compile(textwrap.dedent(source), label, "exec"), self.variables)
        self.namespace.observe(plan, label=label)
        return plan.key


READS: dict[str, tuple[str, set[str], set[str]]] = {
    "augmented assignment": ("n += 1", {"n"}, set()),
    "bound before": ("x = 1\ny = x", set(), set()),
    "bound in a branch": ("if c:\n    x = 1\nprint(x)", {"c", "print"}, {"x"}),
    "bound in both branches": ("if c:\n    x = 1\nelse:\n    x = 2\ny = x", {"c"}, set()),
    "bound in a loop": ("for i in data:\n    total = i\ny = total", {"data"}, {"total"}),
    "comprehension": ("[f(v) for v in data if v]", {"f", "data"}, set()),
    "nested comprehension": ("[x for row in rows for x in row]", {"rows"}, set()),
    "function body": ("def f(a):\n    b = a + outer\n    return b", {"outer"}, set()),
    "function of a later name": ("def f():\n    return later\nlater = 1", set(), set()),
    "method of a later function": (
        "class C:\n    def m(self):\n        return h()\ndef h(): pass",
        set(),
        set(),
    ),
    "function called before a later name": (
        "def f():\n    return later\nf()\nlater = 1",
        set(),
        {"later"},
    ),
    "bound whether it raises or not": ("try:\n    x = 1\nexcept E:\n    x = 2\ny = x", {"E"}, set()),
    "bound unless it raises": ("try:\n    x = 1\nexcept E:\n    raise\ny = x", {"E"}, set()),
    "bound where nothing raised": ("try:\n    x = f()\nexcept E:\n    pass\ny = x", {"E", "f"}, {"x"}),
    "default argument": ("def f(a=size): pass", {"size"}, set()),
    "decorator": ("@wrap\ndef f(): pass", {"wrap"}, set()),
    "lambda": ("g = lambda v: v * factor", {"factor"}, set()),
    "class body": ("class C(Base):\n    a = 1\n    b = a + c", {"Base", "c"}, set()),
    "with": ("with open(p) as f:\n    t = f.read()", {"open", "p"}, set()),
    "walrus": ("if (m := find()):\n    use(m)", {"find", "use"}, {"m"}),
    "except": ("try:\n    risky()\nexcept E as e:\n    print(e)", {"risky", "E", "print"}, set()),
    "match": ("match v:\n    case [a, *b]:\n        s = a", {"v"}, set()),
    "attribute store": ("obj.x = 1", {"obj"}, set()),
    "del": ("del x", {"x"}, set()),
    "await": ("await job()", {"job"}, set()),
    "f-string": ("f'{name!r:>{width}}'", {"name", "width"}, set()),
    "global in a function": ("def f():\n    global g\n    g = h", {"h"}, set()),
}


@pytest.mark.parametrize("case", READS)
def test_names_that_a_cell_reads(case: str) -> None:
    source, reads, may_read = READS[case]
    code = analyse(source)
    assert (set(code.reads), set(code.may_read)) == (reads, may_read)


@pytest.mark.parametrize(
    ("source", "dynamic"),
    [
        ("exec('x = 1')", True),
        ("globals()['x'] = 1", True),
        ("from math import *", True),
        ("get_ipython().run_line_magic('time', 'f()')", True),
        ("get_ipython().system('echo {x}')", True),
        ("get_ipython().system('ls')", False),
        ("get_ipython().run_line_magic('matplotlib', 'inline')", False),
        ("import math", False),
    ],
)
def test_cells_that_may_touch_everything(source: str, dynamic: bool) -> None:
    assert analyse(source).dynamic is dynamic


def test_comments_and_layout_do_not_count() -> None:
    assert analyse("x = f( 1,2 )  # so").digest == analyse("# why\nx = f(1, 2)").digest


def test_a_key_stays_when_the_cell_ran_before() -> None:
    cells = Cells()
    cells.run("data = [1]")
    source = "total = 0\nfor v in data:\n    total += v\nlast = v"
    assert cells.run(source) == cells.run(source)


def test_reading_keeps_provenance_and_changing_does_not() -> None:
    cells = Cells()
    cells.run("data = [1]")
    before = cells.key("use(data)")
    cells.run("print(data[0], len(data))", "look")
    assert cells.key("use(data)") == before
    cells.run("data.append(2)", "change")
    assert cells.key("use(data)") != before
    assert cells.namespace.made_by("data") == "change"


@pytest.mark.parametrize(
    "change",
    [
        "add()",
        "box.add()",
        "alias.append(2)",
        "globals()['data'].append(2)",
        "handlers['add']()",
        "[h() for h in handlers.values()]",
    ],
)
def test_a_change_is_seen_wherever_it_came_from(change: str) -> None:
    cells = Cells()
    cells.run("data = [1]\nalias = data")
    cells.run("def add():\n    data.append(2)\nclass Box:\n    def add(self):\n        add()\nbox = Box()")
    cells.run("handlers = {'add': add}")
    before = cells.key("use(data)")
    cells.run(change)
    assert cells.key("use(data)") != before


def test_a_global_written_in_a_function_is_seen() -> None:
    cells = Cells()
    cells.run("count = 0")
    cells.run("def bump():\n    global count\n    count += 1")
    before = cells.key("count")
    cells.run("bump()")
    assert cells.key("count") != before


def test_neighbours_in_one_cell_do_not_spoil_each_other() -> None:
    cells = Cells()
    source = "rate = {}\nsize = 5\nnames = ['a']\ndef f():\n    return 1\nimport math"
    cells.run(source.format(1))
    keys = {name: cells.key(f"use({name})") for name in ("rate", "size", "names", "f", "math")}
    cells.run(source.format(2))
    changed = {name for name, key in keys.items() if cells.key(f"use({name})") != key}
    assert changed == {"rate"}


def test_a_mutable_neighbour_that_the_cell_uses_counts_as_made_by_the_whole_cell() -> None:
    cells = Cells()
    cells.run("names = ['a']\nnames.append('b')")
    before = cells.key("use(names)")
    cells.run("names = ['a']\nnames.append('c')")
    assert cells.key("use(names)") != before


def test_an_edited_local_module_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "beside_deep.py").write_text("LIMIT = 1\n")
    module = tmp_path / "beside_me.py"
    module.write_text("import beside_deep\ndef f():\n    return beside_deep.LIMIT\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    cells = Cells(tmp_path)
    cells.run("import beside_me\nfrom beside_me import f")
    before = cells.key("f()"), cells.key("beside_me.f()"), cells.key("len([])")
    (tmp_path / "beside_deep.py").write_text("LIMIT = 1000\n")
    after = cells.key("f()"), cells.key("beside_me.f()"), cells.key("len([])")
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]
    for name in ("beside_me", "beside_deep"):
        sys.modules.pop(name)
