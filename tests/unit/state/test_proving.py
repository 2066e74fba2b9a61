"""P4: what would not come back is named when its step ends, costs only itself, and everything beside it is kept."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.state.pickling.salvage import SalvagingUnpickler
from evercell.state.proxies.placeholder import Placeholder
from tests.unit.state.memory import Cells, in_a_new_process, resumed

BAD = "class Bad:\n    def __setstate__(self, state): raise ValueError('never')\n"

UNLOADABLE = {
    "a __setstate__ that raises": f"{BAD}bad = Bad(); bad.x = 1",
    "a __reduce__ with a wrong number": (
        "def make(a): return a\nclass Bad:\n    def __reduce__(self): return make, (1, 2)\nbad = Bad()"
    ),
    "a __reduce__ whose function raises": (
        "class Bad:\n    def __new__(cls, a): return super().__new__(cls)\n"
        "    def __reduce__(self): return Bad, ()\nbad = Bad(1)"
    ),
}


@pytest.mark.parametrize("case", UNLOADABLE)
def test_what_cannot_be_loaded_is_named_with_its_part_and_costs_only_itself(case: str) -> None:
    cells = Cells()
    cells.step("s", f"{UNLOADABLE[case]}\nrows = [1, 2]\njob = {{'data': rows, 'price': bad}}\ndel bad")
    (message,) = cells.missing
    assert message.startswith("job['price'] (__main__.")
    assert "it cannot be put together again" in message
    value, missing = in_a_new_process(
        cells, "job['data'] is rows and rows == [1, 2], repr(job['price'])[:10]"
    )
    assert value == (True, "<not kept:")
    (restored,) = missing
    assert restored.startswith("job['price'] (")


OTHERWISE = {
    "__getstate__ leaves something out": (
        "class Agent:\n    def __init__(self): self.n, self.cache = 1, {1: 2}\n"
        "    def __getstate__(self): return {'n': self.n}\nit = [Agent()]",
        "it (Agent.cache) (builtins.dict) was not kept: the __getstate__ of Agent leaves it out",
    ),
    "a number that is made twice": (
        "class Double(float):\n    def __new__(cls, x): return super().__new__(cls, 2 * x)\n"
        "    def __reduce__(self): return Double, (float(self),)\nit = Double(2.0)",
        "it (__main__.Double) was not kept: its value was another one",
    ),
    "a text that is turned": (
        "class Text:\n    def __setstate__(self, state): self.text = state['text'][::-1]\n"
        "it = Text(); it.text = 'abc'",
        "it (__main__.Text) was not kept: text was another one",
    ),
    "another type": (
        "class Odd:\n    def __reduce__(self): return str, ('odd',)\nit = {1: Odd()}",
        "it[1] (__main__.Odd) was not kept: it came back as a builtins.str",
    ),
}


@pytest.mark.parametrize("case", OTHERWISE)
def test_what_comes_back_otherwise_is_named_when_its_step_ends(case: str) -> None:
    source, beginning = OTHERWISE[case]
    cells = Cells()
    cells.step("s", source)
    (message,) = cells.missing
    assert message.startswith(beginning), message


SOUND = {
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: float\nit = [P(float('nan')), P(2)]"
    ),
    "slots": "class S:\n    __slots__ = ('a', 'b')\nit = S(); it.a = it",
    "a default dict of its own": (
        "from collections import defaultdict\nclass D(defaultdict): pass\nit = D(list); it[1].append(2)"
    ),
    "an exception": "class E(Exception):\n    def __init__(self, a, b): super().__init__(a)\nit = E(1, 2)",
    "an enum": "import enum\nclass Color(enum.Enum):\n    RED = 1\nit = {Color.RED: [Color.RED]}",
    "a lock inside": (
        "import threading\nclass L:\n    def __init__(self): self.lock, self.n = threading.Lock(), 1\nit = L()"
    ),
}


@pytest.mark.parametrize("case", SOUND)
def test_what_is_sound_is_not_doubted(case: str) -> None:
    cells = Cells()
    cells.step("s", SOUND[case])
    assert cells.missing == []


def test_a_trial_has_no_effect_that_a_user_would_see(capsys: pytest.CaptureFixture[str]) -> None:
    cells = Cells()
    cells.step(
        "s",
        """
        import warnings
        ended = []
        class Loud:
            def __setstate__(self, state):
                print("loud"); warnings.warn("loud")
                self.__dict__.update(state)
        loud = Loud(); loud.x = 1
        class Mortal:
            def __del__(self): ended.append(1)
        mortal = Mortal(); mortal.x = 1
        """,
    )
    assert (cells.missing, cells["ended"]) == ([], [])
    assert capsys.readouterr() == ("", "")


class Frail:
    """Cannot be loaded where its number says so."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __setstate__(self, state: dict[str, int]) -> None:
        if state["number"] % 2:
            raise ValueError("odd")
        self.__dict__.update(state)


_VALUES = st.recursive(
    st.integers() | st.text(max_size=3) | st.builds(Frail, st.integers(0, 9)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4)
    | st.tuples(inner, inner),
    max_leaves=20,
)  # fmt: skip


@given(_VALUES)
def test_everything_but_what_cannot_be_loaded_is_salvaged(value: Any) -> None:
    unpickler = SalvagingUnpickler(pickle.dumps([value, value], 5), [])
    one, other = unpickler.load()
    assert type(one) in (int, str) or one is other, "what was shared is shared"
    _compare(value, one)


def _compare(value: Any, salvaged: Any) -> None:
    if isinstance(value, Frail):
        assert (type(salvaged) is Placeholder) == bool(value.number % 2)
        return
    assert type(salvaged) is type(value)
    if isinstance(value, dict):
        assert list(value) == list(salvaged)
        value, salvaged = value.values(), salvaged.values()
    if isinstance(value, int | str):
        assert value == salvaged
        return
    for one, other in zip(value, salvaged, strict=True):
        _compare(one, other)


def test_a_package_that_is_not_there_costs_only_its_own_objects() -> None:
    cells = Cells()
    cells.step(
        "s",
        "import sys, types, importlib.machinery\nlost = types.ModuleType('lost_package')\n"
        "lost.__spec__ = importlib.machinery.ModuleSpec('lost_package', None)\nsys.modules['lost_package'] = lost\n"
        "exec('class Thing: pass', lost.__dict__)\nthing = lost.Thing()\nthing.x = 1\n"
        "rows = [1, 2]\nheld = [rows, thing]\ndel lost, thing",
    )
    value, missing = in_a_new_process(cells, "held[0] is rows, rows, repr(held[1])[:10]")
    assert value == (True, [1, 2], "<not kept:")
    assert any("held[1]" in message and "install what it was made with" in message for message in missing)


def test_a_resumed_namespace_goes_on_with_what_was_salvaged() -> None:
    cells = Cells()
    cells.step("s", f"{BAD}rows = [1]\nbad = Bad(); bad.x = 1\njob = [rows, bad]")
    later = resumed(cells)
    later.step("t", "rows.append(2)")
    assert resumed(later)["job"][0] == [1, 2]
