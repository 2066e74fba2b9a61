"""P3: after a restore the namespace is what it was. Each case is saved here and restored afresh."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercell.engine.workspace import Workspace
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


def restored(workspace: Workspace, *cells: str) -> Notebook:
    """The notebook that a new kernel has after these cells (each a step) and a resume."""
    first = Notebook(workspace)
    for number, source in enumerate(cells):
        first.step(f"s{number}", textwrap.dedent(source))
    first.session.detach()
    second = Notebook(workspace, first.session.require_run().id)
    second.resume()
    second.session.detach()
    return second


TRUE_AFTERWARDS: dict[str, tuple[str, str]] = {
    "shared list": ("a = [1]\nb = a\nc = {'k': a}", "a is b and c['k'] is a"),
    "recursive list": ("a = []\na.append(a)", "a[0] is a"),
    "attribute sharing": ("class P: pass\np = P(); q = P(); p.x = q.x = [1]", "p.x is q.x"),
    "class of its instance": ("class P: pass\np = P()", "type(p) is P and isinstance(p, P)"),
    "inheritance": ("class A: pass\nclass B(A): pass\nb = B()", "isinstance(b, A) and B.__mro__[1] is A"),
    "super": (
        "class A:\n    def m(self): return 1\nclass B(A):\n    def m(self): return super().m() + 1\nb = B()",
        "b.m() == 2",
    ),
    "slots": (
        "class S:\n    __slots__ = ('v',)\ns = S(); s.v = 3",
        "s.v == 3 and not hasattr(s, '__dict__')",
    ),
    "dataclass": (
        "from dataclasses import dataclass, field\n@dataclass(order=True)\nclass D:\n    x: int\n"
        "    y: list = field(default_factory=list)\nd = D(1)",
        "d == D(1) and D(1) < D(2) and type(d) is D",
    ),
    "enum": (
        "from enum import Enum\nclass E(Enum):\n    A = 1\n    B = 2\ne = E.A",
        "e is E.A and E(2) is E.B",
    ),
    "named tuple": (
        "from typing import NamedTuple\nclass N(NamedTuple):\n    x: int\nn = N(3)",
        "n.x == 3 and type(n) is N",
    ),
    "abstract class": (
        "from abc import ABC, abstractmethod\nclass A(ABC):\n    @abstractmethod\n    def m(self): ...\n"
        "class C(A):\n    def m(self): return 5\nc = C()",
        "c.m() == 5 and isinstance(c, A)",
    ),
    "generic": (
        "from typing import Generic, TypeVar\nT = TypeVar('T')\nclass G(Generic[T]):\n    pass\ng = G[int]()",
        "isinstance(g, G)",
    ),
    "property": (
        "class P:\n    @property\n    def v(self): return helper()\n    @staticmethod\n    def s(): return 2\n"
        "    @classmethod\n    def c(cls): return cls\ndef helper(): return 1\np = P()",
        "p.v == 1 and p.s() == 2 and p.c() is P",
    ),
    "recursion": ("def f(n): return 1 if n < 2 else n * f(n - 1)", "f(5) == 120"),
    "mutual recursion": (
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)",
        "even(10)",
    ),
    "closures share their cell": (
        "def make():\n    n = 0\n    def inc():\n        nonlocal n\n        n += 1\n        return n\n"
        "    return inc, lambda: n\ninc, get = make()\ninc()",
        "(inc(), get()) == (2, 2)",
    ),
    "closure that holds itself": (
        "def make():\n    def f(n): return n if n < 1 else f(n - 1)\n    return f\nf = make()",
        "f(3) == 0",
    ),
    "defaults and keywords": ("def f(a, b=[1], *, c={'k': 2}): return a, b, c", "f(0) == (0, [1], {'k': 2})"),
    "decorated": (
        "import functools\ndef twice(g):\n    @functools.wraps(g)\n    def w(*a): return g(*a) * 2\n    return w\n"
        "@twice\ndef f(v): return v",
        "f(4) == 8 and f.__name__ == 'f'",
    ),
    "cached": ("import functools\n@functools.lru_cache(maxsize=3)\ndef f(v): return v * 2", "f(4) == 8"),
    "function in a container": ("def f(): return 1\ntable = {'f': f}", "table['f'] is f"),
    "bound method": ("class C:\n    def m(self): return self\nc = C()\nm = c.m", "m() is c"),
    "method on its own": ("class C:\n    def m(self): return 1\nm = C.m", "m is C.m"),
    "function attribute": ("def f(): pass\nf.tag = [1]\nt = f.tag", "f.tag is t"),
    "partial": ("from functools import partial\ndef f(a, b): return a + b\np = partial(f, 1)", "p(2) == 3"),
    "array view": (
        "import numpy as np\na = np.arange(20000.)\nv = a[10:20]\nv[0] = -1",
        "v.base is not None and a[10] == -1 and (v.__setitem__(0, 7), a[10])[1] == 7",
    ),
    "writable array": (
        "import numpy as np\na = np.zeros(50000)",
        "a.flags.writeable and a.__iadd__(1).sum() == 50000",
    ),
    "read-only array": (
        "import numpy as np\na = np.zeros(50000)\na.flags.writeable = False",
        "not a.flags.writeable",
    ),
    "frame": (
        "import pandas as pd\ndf = pd.DataFrame({'a': range(5000), 'b': list('abcde') * 1000})",
        "df.shape == (5000, 2) and df.a.sum() == 12497500 and df.b.iloc[3] == 'd'",
    ),
    "deleted name": ("x = 1\ny = 2\ndel x", "'x' not in globals() and y == 2"),
    "underscore names": ("_private = [1]", "_private == [1]"),
    "module": ("import math as m", "m.pi > 3"),
    "date and zone": (
        "import datetime, zoneinfo\nt = datetime.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Paris'))",
        "t.utcoffset().seconds == 3600",
    ),
}


@pytest.mark.parametrize("case", TRUE_AFTERWARDS)
def test_a_restored_namespace_is_what_it_was(workspace: Workspace, case: str) -> None:
    source, expression = TRUE_AFTERWARDS[case]
    notebook = restored(workspace, source)
    assert eval(expression, notebook.variables)


def test_sharing_between_steps_is_kept(workspace: Workspace) -> None:
    notebook = restored(workspace, "a = [1]", "b = {'a': a}", "a.append(2)")
    assert notebook["b"]["a"] is notebook["a"]
    assert notebook["a"] == [1, 2]


def test_a_redefined_helper_is_seen_by_its_callers(workspace: Workspace) -> None:
    notebook = restored(workspace, "def helper(): return 1\ndef caller(): return helper()")
    exec("def helper(): return 2", notebook.variables)
    assert notebook["caller"]() == 2
    assert notebook["caller"].__globals__ is notebook.variables


def test_an_old_function_under_another_name_stays_the_old_one(workspace: Workspace) -> None:
    notebook = restored(workspace, "def f(): return 'old'\nkept = f\ntable = [f]", "def f(): return 'new'")
    assert (notebook["f"](), notebook["kept"](), notebook["table"][0]()) == ("new", "old", "old")
    assert notebook["kept"] is notebook["table"][0]


def test_instances_of_a_redefined_class_stay_instances_of_the_old_one(workspace: Workspace) -> None:
    notebook = restored(
        workspace, "class C:\n    v = 1\nold = C(); other = C()", "class C:\n    v = 2\nnew = C()"
    )
    assert (notebook["old"].v, notebook["new"].v) == (1, 2)
    assert type(notebook["old"]) is type(notebook["other"]) is not notebook["C"]
    assert type(notebook["new"]) is notebook["C"]


def test_random_state_goes_on_where_it_stopped(workspace: Workspace) -> None:
    import numpy as np

    source = "import random\nimport numpy as np\nrandom.seed(3); np.random.seed(3)\nx = random.random()"
    first = Notebook(workspace)
    first.step("s", source)
    expected = random.random(), np.random.random()
    first.session.detach()
    random.seed(99), np.random.seed(99)
    second = Notebook(workspace, first.session.require_run().id)
    second.resume()
    second.session.detach()
    assert (random.random(), np.random.random()) == expected


def test_one_object_that_cannot_be_kept_costs_only_itself(workspace: Workspace) -> None:
    notebook = restored(
        workspace,
        "import threading\ngood = [1, 2]\nbad = (i for i in good)\nmixed = {'lock': threading.Lock(), 'kept': good}\n"
        "class Sly:\n    def __reduce__(self):\n        raise RuntimeError('never')\nsly = [Sly(), 'beside']",
    )
    assert notebook["good"] == [1, 2]
    assert notebook["mixed"]["kept"] is notebook["good"]
    assert notebook["sly"][1] == "beside"
    assert "never" in repr(notebook["sly"][0])


def test_a_step_writes_only_what_it_changed(workspace: Workspace, tmp_path: Path) -> None:
    notebook = Notebook(workspace)
    notebook.step("big", "import numpy as np\nbig = np.arange(1_000_000)\nsmall = 1")
    folder = tmp_path / "store.db.packs"
    before = sum(path.stat().st_size for path in folder.iterdir())
    notebook.step("small", "small = big[0] + 2")
    notebook.step("copy", "again = big.copy()")
    assert sum(path.stat().st_size for path in folder.iterdir()) == before
    notebook.session.detach()


_leaves = st.integers() | st.text(max_size=5) | st.booleans() | st.none()


@st.composite
def _programs(draw: st.DrawFn) -> list[str]:
    """Cells that make lists, share them, nest them in circles and change them."""
    cells = ["a = []\nb = {}\nc = [a, b]"]
    names = st.sampled_from("abc")
    changes = st.one_of(
        st.builds(lambda n, v: f"add({n}, {v!r})", names, _leaves),
        st.builds(lambda n, m: f"add({n}, {m})", names, names),
        st.builds(lambda n, m: f"{n} = {m}", names, names),
        st.builds(lambda n: f"{n} = [{n}, {n}]", names),
    )
    for lines in draw(st.lists(st.lists(changes, min_size=1, max_size=3), max_size=5)):
        cells.append("\n".join(lines))
    return cells


def _shape(value: Any, seen: dict[int, int]) -> Any:
    """A value with every list and dict numbered, so that sharing and circles can be compared."""
    if not isinstance(value, list | dict):
        return repr(value)
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    items = value if isinstance(value, list) else [x for pair in value.items() for x in pair]
    return (type(value).__name__, [_shape(item, seen) for item in items])


@settings(max_examples=40)
@given(program=_programs())
def test_any_web_of_shared_objects_comes_back_as_a_kernel_that_never_died_has_it(
    workspace: Workspace, program: list[str]
) -> None:
    helper = "def add(x, v):\n    x.append(v) if isinstance(x, list) else x.update({len(x): v})"
    undisturbed: dict[str, Any] = {}
    for source in [helper, *program]:
        exec(source, undisturbed)
    notebook = restored(workspace, helper, *program)
    seen: dict[int, int] = {}
    expected = [_shape(undisturbed[name], seen) for name in "abc"]
    seen = {}
    assert [_shape(notebook[name], seen) for name in "abc"] == expected


def test_a_long_history_of_changes_comes_back_whole(workspace: Workspace) -> None:
    """Far beyond one full manifest: changes, ties, deletions and returns, each step on top of the last."""
    dice = random.Random(5)
    notebook, undisturbed = Notebook(workspace), dict[str, Any]()
    for number in range(300):
        name, other = f"v{dice.randrange(12)}", f"v{dice.randrange(12)}"
        known = sorted(n for n in undisturbed if n.startswith("v"))
        choices = [f"{name} = [{number}]"]
        if name in known and other in known:
            choices += [
                f"{name}.append({number})",
                f"{name} = {other}",
                f"del {name}",
                f"{name} = [{other}, 0]",
            ]
        source = dice.choice(choices)
        exec(source, undisturbed)
        if dice.random() < 0.3:
            notebook.plain(source)
        else:
            notebook.step(f"s{number}", source)
    notebook.step("last", "end = 1")
    notebook.session.detach()
    fresh = Notebook(workspace, notebook.session.require_run().id)
    fresh.resume()
    fresh.session.detach()
    names = sorted(n for n in undisturbed if n.startswith("v"))
    assert sorted(n for n in fresh.variables if n.startswith("v")) == names
    seen: dict[int, int] = {}
    expected = [_shape(undisturbed[name], seen) for name in names]
    seen = {}
    assert [_shape(fresh[name], seen) for name in names] == expected
