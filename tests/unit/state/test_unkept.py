"""P4: what cannot be kept is named when the step ends, costs only itself, and says so when touched."""

from __future__ import annotations

import operator
import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from evercell.core.errors import NotKept
from evercell.state.proxies.placeholder import Placeholder
from tests.probes import KEEPS_ANY_DEPTH
from tests.unit.state.memory import Cells, in_a_new_process, resumed

REFUSED: dict[str, str] = {
    "held lock": "import threading\nbad = threading.Lock()\nbad.acquire()",
    "generator": "bad = (i for i in [1])",
    "coroutine": "async def f(): pass\nbad = f()\nbad.close()",
    "map over a generator": "bad = map(str, (i for i in [1]))",
    "pipe": "import os\nr, w = os.pipe()\nos.close(w)\nbad = os.fdopen(r)",
    "socket": "import socket\nbad = socket.socket()\nbad.close()",
    "connection": "import sqlite3\nbad = sqlite3.connect(':memory:')\nbad.close()",
    "engine": "import sqlalchemy\nbad = sqlalchemy.create_engine('sqlite://')",
    "thread": "import threading\nbad = threading.Thread(target=print)",
    "asyncio lock that is held": "import asyncio\nbad = asyncio.Lock()\nasyncio.run(bad.acquire())",
    "asyncio loop": "import asyncio\nbad = asyncio.new_event_loop()\nbad.close()",
    "process": "import subprocess\nbad = subprocess.Popen(['true'])\nbad.wait()",
    "weak reference": "import weakref\nclass C: pass\nc = C()\nbad = weakref.ref(c, print)",
    "weak proxy": "import weakref\nclass C: pass\nc = C()\nbad = weakref.proxy(c, print)",
    "memoryview": "import mmap\nbad = memoryview(mmap.mmap(-1, 8))",
    "frame": "import sys\nbad = sys._getframe()",
    "pointer": "import ctypes\nbad = ctypes.pointer(ctypes.c_int(1))",
}
DEEP = "bad = None\nfor _ in range(100_000): bad = [bad]"
if not KEEPS_ANY_DEPTH:
    REFUSED["too deep"] = DEEP


@pytest.mark.parametrize("case", REFUSED)
def test_a_variable_that_cannot_be_kept_is_named_and_its_neighbours_are_kept(case: str) -> None:
    cells = Cells()
    cells.step("s", f"good = [1]\n{REFUSED[case]}")
    if case == "too deep":
        while cells.variables["bad"]:  # taken apart here: to free it all at once would be as deep
            cells.variables["bad"] = cells.variables["bad"][0]
    assert [m for m in cells.missing if m.startswith("bad (")], cells.missing
    fresh = resumed(cells)
    assert fresh["good"] == [1]
    with pytest.raises(NotKept, match=r"bad .* was not kept"):
        fresh["bad"].attribute
    if case == "pipe":
        cells["bad"].close()


@pytest.mark.skipif(not KEEPS_ANY_DEPTH, reason="Python takes nothing so deep apart")
def test_what_nests_as_deeply_as_there_is_stack_comes_back() -> None:
    cells = Cells()
    cells.step("s", f"good = [1]\n{DEEP}")
    fresh = resumed(cells)
    assert not cells.missing and fresh["good"] == [1]
    for each in (cells.variables, fresh.variables):
        depth = 0
        while each["bad"]:
            each["bad"], depth = each["bad"][0], depth + 1
        assert depth == 100_000


def test_what_nests_deeply_beside_a_cached_function_costs_no_step() -> None:
    depth = 300_000 if KEEPS_ANY_DEPTH else 20_000
    cells = Cells()
    cells.step(
        "s",
        f"""
        import functools
        @functools.cache
        def f(x): return x
        deep = []
        for _ in range({depth}): deep = [deep]
        box, good = [deep, f], [1]
        """,
    )
    while cells.variables["deep"]:
        cells.variables["deep"] = cells.variables["deep"][0]
    fresh = resumed(cells)
    assert fresh["good"] == [1] and fresh["f"](2) == 2
    assert not cells.missing and fresh["box"][0] is fresh["deep"]


NESTED: dict[str, tuple[str, str]] = {
    "in a dict": ("bad = {'lock': suspended, 'kept': good}", "bad['kept'] is good"),
    "as a key": ("bad = {suspended: 1, 'k': good}", "bad['k'] is good and len(bad) == 2"),
    "in a set": ("bad = {suspended, 'k'}", "'k' in bad"),
    "in an object": ("class C: pass\nbad = C(); bad.l = suspended; bad.k = good", "bad.k is good"),
    "on a class": ("class bad:\n    lock = suspended\n    def m(self): return 1", "bad().m() == 1"),
    "in a closure": (
        "def make(l):\n    def f(): return good\n    return [f, lambda: l]\nbad = make(suspended)",
        "bad[0]() is good",
    ),
    "in what cannot do without": (
        "bad = [1, good]\nbad.append(map(str, (i for i in bad)))",
        "good == [1, 2]",
    ),
}


@pytest.mark.parametrize("case", NESTED)
def test_one_object_that_cannot_be_kept_costs_only_itself(case: str) -> None:
    source, expression = NESTED[case]
    cells = Cells()
    cells.step("s", f"suspended = (n for n in [1])\ngood = [1, 2]\n{source}")
    value, missing = in_a_new_process(cells, expression)
    assert value is True
    assert cells.missing
    assert missing == cells.missing


def test_what_a_plain_cell_made_is_named_by_the_step_that_saves_it() -> None:
    cells = Cells()
    cells.plain("lock = (n for n in [1])")
    cells.step("s", "x = 1")
    assert [m.split()[0] for m in cells.missing] == ["lock"]
    cells.step("t", "x = 2")
    assert cells.missing == [], "once is enough"


def test_what_raises_when_it_is_put_together_costs_only_itself() -> None:
    cells = Cells()
    cells.step(
        "s",
        "class Sly:\n    def __setstate__(self, state): raise RuntimeError('never')\n"
        "sly = Sly(); sly.v = 1\ngood = [1]",
    )
    value, missing = in_a_new_process(cells, "good")
    assert value == [1]
    assert "sly" in missing[0] and "never" in missing[0]


def test_what_could_not_be_loaded_stays_stored() -> None:
    cells = Cells()
    cells.step(
        "s",
        "ready = []\nclass Shy:\n    def __setstate__(self, s): v = 1 / len(READY)\nshy = Shy(); shy.v = 1",
    )
    fresh = Cells(cells.memory)
    assert [m.name for m in fresh.restore("s").missing] == ["shy"]
    fresh.step("t", "globals()['more'] = 1")
    later = Cells(cells.memory)
    later.variables["READY"] = [1]
    assert later.restore("t").missing == ()
    assert type(later["shy"]) is later["Shy"]


@pytest.mark.parametrize(
    ("source", "expression"),
    [
        (
            "class E(Exception):\n    def __init__(self, a, b):\n        super().__init__(f'{a}{b}')\n"
            "        self.a = [a]\ne = E(1, 2)",
            "(e.args, e.a, type(e) is E) == (('12',), [1], True)",
        ),
        (
            "try:\n    try: 1 / 0\n    except ZeroDivisionError as z: raise KeyError('k') from z\n"
            "except KeyError as k: e = k",
            "type(e.__cause__) is ZeroDivisionError and e.__suppress_context__",
        ),
        (
            "try: b'\\xff'.decode()\nexcept UnicodeDecodeError as u: e = u",
            "e.start == 0 and 'utf-8' in str(e)",
        ),
        ("e = OSError(2, 'gone', 'x.txt')", "type(e) is FileNotFoundError and e.filename == 'x.txt'"),
        (
            "from functools import cached_property\nclass C:\n    @cached_property\n    def v(self): return [1]\n"
            "c = C()",
            "c.v is c.v",
        ),
        (
            "from functools import singledispatch\n@singledispatch\ndef f(x): return 'any'\n"
            "@f.register\ndef _(x: int): return 'int'",
            "(f(1), f('')) == ('int', 'any')",
        ),
        ("import io\nb = io.BytesIO(b'abc'); b.read(1)", "b.read() == b'bc'"),
        (
            "import numpy as np\na = np.arange(60000.)\nv = a[10:]\na.flags.writeable = False",
            "v[0] == 10 and v.flags.writeable and not a.flags.writeable",
        ),
    ],
)
def test_what_pickle_alone_would_lose_is_kept(source: str, expression: str) -> None:
    cells = Cells()
    cells.step("s", source)
    assert in_a_new_process(cells, expression) == (True, [])


TOUCHES: dict[str, Callable[[Any], object]] = {
    "attribute": lambda p: p.name,
    "setting": lambda p: setattr(p, "name", 1),
    "deleting": lambda p: delattr(p, "name"),
    "call": lambda p: p(),
    "iteration": list,
    "item": lambda p: p[0],
    "len": len,
    "truth": bool,
    "sum": lambda p: p + 1,
    "sum from the right": lambda p: 1 + p,
    "comparison": lambda p: p < 1,
    "equality": lambda p: p == 1,
    "format": lambda p: f"{p:>3}",
    "number": int,
    "index": operator.index,
    "membership": lambda p: 1 in p,
    "path": os.fspath,
    "await": lambda p: p.__await__(),
}


@pytest.mark.parametrize("touch", TOUCHES)
def test_a_placeholder_says_so_whatever_one_does_with_it(touch: str) -> None:
    with pytest.raises(NotKept, match=r"x is gone\n.*do this"):
        TOUCHES[touch](Placeholder("x is gone", "do this"))


def test_a_placeholder_can_be_looked_at_saved_and_hashed() -> None:
    placeholder = Placeholder("x is gone", "do this")
    assert repr(placeholder) == "<not kept: x is gone>"
    assert repr(pickle.loads(pickle.dumps(placeholder))) == repr(placeholder)
    assert len({placeholder, placeholder}) == 1


PARTLY = "class Agent: pass\nclient = Agent()\nclient.stream = (i for i in [1])"


def test_no_placeholder_is_put_over_what_a_setup_cell_made_anew() -> None:
    cells = Cells()
    cells.plain(PARTLY)
    cells.step("ask", "client.asked = 1\nanswer = 2")
    assert "client.stream (builtins.generator)" in cells.missing[0]
    key = cells.key("after = client.asked")
    for restore in (False, True):
        fresh = Cells(cells.memory)
        fresh.setup("clients", PARTLY)
        made = fresh["client"]
        restored = fresh.restore("ask") if restore else fresh.replay("ask")
        assert fresh["client"] is made and next(made.stream) == 1 and "answer" in restored.names
        assert fresh["answer"] == 2
        assert restore or fresh.key("after = client.asked") == key  # no later step executes again
        fresh.step("later", "x = client")
        assert "client" not in fresh.memory.verified("later").wrote


def test_what_the_step_itself_bound_and_could_not_be_kept_is_a_placeholder() -> None:
    cells = Cells()
    cells.plain("it = None")
    cells.step("make", "it = (i for i in [1])")
    fresh = Cells(cells.memory)
    fresh.plain("it = None")
    fresh.replay("make", binds=frozenset({"it"}))
    with pytest.raises(NotKept):
        next(fresh["it"])
