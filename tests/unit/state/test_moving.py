"""Restore, replay and another attempt, in kernels that have something in memory already."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

from tests.unit.state.memory import Cells, in_a_new_process, resumed

# -- another process -----------------------------------------------------------------------------


def test_everything_comes_back_in_another_process() -> None:
    cells = Cells()
    cells.step(
        "s",
        "import numpy as np\nclass P: pass\np = P(); q = P(); p.x = q.x = [1]\na = np.arange(60000.)\nv = a[5:9]\n"
        "def make():\n    n = 0\n    def up():\n        nonlocal n\n        n += 1\n        return n\n"
        "    return up, lambda: n\nup, get = make()\nup()\ndef helper(): return 1\ndef caller(): return helper()\n"
        "gone = 1",
    )
    cells.plain("del gone")
    cells.step("t", "p.x.append(2)")
    expression = (
        "[p.x is q.x, p.x, type(p) is P, (v.__setitem__(0, -1), float(a[5]))[1], (up(), get()), 'gone' in globals(),"
        " (exec('def helper(): return 2', globals()), caller())[1]]"
    )
    value, missing = in_a_new_process(cells, expression)
    assert value == [True, [1, 2], True, -1.0, (2, 2), False, 2]
    assert missing == []


# -- restore -------------------------------------------------------------------------------------


def test_a_checkout_undoes_changes_of_functions_and_classes_and_redoes_them() -> None:
    cells = Cells()
    cells.step("a", "def f(): pass\nf.calls = 1\nclass C:\n    seen = [1]\nc = C()")
    cells.step("b", "f.calls = 2\nC.seen.append(2)")
    cells.restore("a")
    assert (cells["f"].calls, cells["C"].seen, type(cells["c"]) is cells["C"]) == (1, [1], True)
    cells.restore("b")
    assert (cells["f"].calls, cells["C"].seen) == (2, [1, 2])


def test_a_checkout_does_not_replace_a_live_lock_of_a_class() -> None:
    cells = Cells()
    cells.step("a", "import threading\nclass C:\n    lock = threading.Lock()\n    n = 1")
    cells.step("b", "C.n = 2")
    cells.restore("a")
    with cells["C"].lock:
        pass


def test_a_name_that_an_except_clause_unbound_stays_unbound() -> None:
    cells = Cells()
    cells.step("a", "e = 2.718")
    cells.step("b", "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    pass")
    assert "e" not in resumed(cells).variables


def test_a_failed_commit_loses_nothing() -> None:
    cells = Cells()
    cells.step("a", "x = [1]")
    cells.plain("x.append(2)\ny = {'x': x}")
    cells.draft("never committed")
    cells.step("b", "z = 1")
    fresh = resumed(cells)
    assert (fresh["x"], fresh["z"]) == ([1, 2], 1)
    assert fresh["y"]["x"] is fresh["x"]


# -- replay --------------------------------------------------------------------------------------


def test_a_replay_leaves_what_another_step_made_alone() -> None:
    cells = Cells()
    cells.plain("x = [1]")
    cells.step("s", "y = [2]")
    cells.plain("x.append(5)\nz = 3")
    cells.plain("y = None")
    cells.replay("s")
    assert (cells["x"], cells["y"], cells["z"]) == ([1, 5], [2], 3)


def test_what_the_step_saw_comes_back_where_it_was_only_made_again() -> None:
    first = Cells()
    first.plain("import time\nt = [time.time_ns()]")
    key = first.step("s", "y = t")
    fresh = Cells(first.memory)
    fresh.plain("import time\nt = [time.time_ns()]")
    assert fresh.key("y = t") == key
    fresh.replay("s")
    assert fresh["t"] == first["t"]
    assert fresh["y"] is fresh["t"]


def test_what_a_setup_cell_made_is_not_saved_though_a_step_changes_it() -> None:
    cells = Cells()
    plan = cells.namespace.plan("log, client = [], [0]")
    exec("log, client = [], [0]", cells.variables)
    cells.namespace.observe(plan, label="setup")
    cells.namespace.mark_setup("setup", plan)
    cells.step("s", "client[0] += 1\nx = client[0]")
    assert cells.memory.verified("s").variables.keys() & {"client", "log", "x"} == {"x"}
    cells.step("t", "log = [1]")
    assert "log" in cells.memory.verified("t").variables, "bound by a step, it is the step's"


def test_a_replay_keeps_a_live_value_of_the_same_origin_rather_than_its_placeholder() -> None:
    first = Cells()
    first.plain("lock = (n for n in [1])")
    first.step("s", "iter(lock); y = 1")
    fresh = Cells(first.memory)
    fresh.plain("lock = (n for n in [1])")
    live = fresh["lock"]
    fresh.replay("s")
    assert fresh["y"] == 1
    assert fresh.variables["lock"] is live


def test_a_replay_deletes_what_the_step_deleted_and_draws_on() -> None:
    first = Cells()
    first.plain("import random\nrandom.seed(1)\ntmp = 1")
    first.step("s", "del tmp\nx = random.random()")
    expected = random.random()
    fresh = Cells(first.memory)
    fresh.plain("import random\nrandom.seed(1)\ntmp = 1")
    fresh.replay("s")
    assert "tmp" not in fresh.variables
    assert random.random() == expected


# -- another attempt -----------------------------------------------------------------------------


def test_a_further_attempt_begins_from_the_state_before() -> None:
    cells = Cells()
    cells.plain(
        "import random, threading\ndata = [1]\nalias = data\ndef f(): pass\nf.calls = 1\n"
        "class C:\n    seen = [1]\nc = C()\nz = 3\nmixed = [(n for n in [1])]\nuntouched = [[]]\nsame = [1]"
    )
    untouched, same, state = cells["untouched"], cells["same"], random.getstate()
    source = (
        "data.append(2); f.calls = 9; C.seen.append(2); C.extra = 1; mixed.append(2); new = 1; del z; same[0]"
    )
    left = cells.fail("s", source + "; random.random()")
    assert left == ["mixed"]
    assert cells["data"] == [1]
    assert cells["alias"] is cells["data"]
    assert (cells["f"].calls, cells["C"].seen, hasattr(cells["C"], "extra")) == (1, [1], False)
    assert type(cells["c"]) is cells["C"]
    assert "new" not in cells.variables
    assert cells["z"] == 3
    assert random.getstate() == state
    assert cells["untouched"] is untouched
    assert cells["same"] is same, "what the attempt only read stays the very object"
    cells.step("s", source)
    fresh = resumed(cells)
    assert (fresh["data"], fresh["f"].calls, fresh["C"].seen, fresh["new"]) == ([1, 2], 9, [1, 2], 1)


# -- once ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "template",
    [
        "for i in data:\n    total = i + {}\ny = total",
        "def f(): return later()\nprint_ = repr(1)\ndef later(): return {}\ny = f()",
        "if data:\n    x = {}\ny = x",
    ],
)
def test_a_step_that_was_edited_replays_afterwards(template: str) -> None:
    cells = Cells()
    cells.plain("data = [1]")
    cells.step("s", template.format(1))
    key = cells.step("s", template.format(2), checkpoint="s@2")
    assert cells.key(template.format(2), label="s") == key
    assert resumed(cells).key(template.format(2), label="s") == key


def test_what_a_step_surely_reads_counts_even_if_it_made_it() -> None:
    cells = Cells()
    cells.plain("n = 0")
    assert cells.step("s", "n += 1") != cells.key("n += 1", label="s")


# -- modules beside the notebook -----------------------------------------------------------------


def test_a_cell_that_imports_a_local_module_depends_on_its_source(tmp_path: Path) -> None:
    (tmp_path / "rates_deep.py").write_text("LIMIT = 1\n")
    (tmp_path / "rates_here.py").write_text("from rates_deep import LIMIT\n")
    package = tmp_path / "kit_here"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "part.py").write_text("from .other import x\n")
    (package / "other.py").write_text("x = 1\n")
    sources = [
        "from rates_here import LIMIT\ny = LIMIT",
        "def f():\n    from kit_here import part",
        "import json",
    ]
    before = [Cells(folder=tmp_path).key(source) for source in sources]
    (tmp_path / "rates_deep.py").write_text("LIMIT = 1000\n")
    between = [Cells(folder=tmp_path).key(source) for source in sources]
    (package / "other.py").write_text("x = 1000\n")
    after = [Cells(folder=tmp_path).key(source) for source in sources]
    assert [a == b for a, b in zip(before, between, strict=True)] == [False, True, True]
    assert [a == b for a, b in zip(between, after, strict=True)] == [True, False, True]


def test_a_constant_of_a_local_module_carries_the_modules_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    keys = []
    for limit in (1, 1000):
        (tmp_path / "limits_here.py").write_text(f"LIMIT = {limit}\n")
        cells = Cells(folder=tmp_path)
        cells.plain("from limits_here import LIMIT")
        keys.append(cells.key("use(LIMIT)"))
        monkeypatch.delitem(sys.modules, "limits_here")
    assert keys[0] != keys[1]


def test_a_folder_whose_name_begins_alike_is_not_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = tmp_path / "nb", tmp_path / "nb2"
    near.mkdir(), far.mkdir()
    (far / "far_away.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(far))
    cells = Cells(folder=near)
    cells.plain("import far_away")
    before = cells.key("far_away.x")
    (far / "far_away.py").write_text("x = 1000\n")
    assert cells.key("far_away.x") == before
    monkeypatch.delitem(sys.modules, "far_away")


@pytest.mark.parametrize("last", ["used", "end"])
def test_a_class_that_a_plain_cell_changes_in_place_makes_nothing_stale_in_the_next_kernel(last: str) -> None:
    """P1: Run All after a resume. The step that defines the class replays, so the cell changes it anew."""
    source = {
        "made": "class Memory:\n    limit = 50\nmemory = Memory()",
        "limit": "Memory.limit = 10",
        "used": "used = memory.limit",
    }
    cells = Cells()
    keys = {}
    for name in source:
        keys[name] = cells.plain(source[name], name) if name == "limit" else cells.step(name, source[name])
    if last == "end":
        cells.step("end", "end = 1")
    fresh = resumed(cells)
    assert fresh["memory"].limit == 10
    for name in source:
        assert fresh.key(source[name], label=None if name == "limit" else name) == keys[name], name
        if name == "limit":
            fresh.plain(source[name], name)
        else:
            fresh.replay(name)
        assert fresh["Memory"].limit == (50 if name == "made" else 10)
        assert type(fresh["memory"]) is fresh["Memory"]
