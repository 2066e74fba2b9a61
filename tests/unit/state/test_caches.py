"""P1: what a cached function remembers is kept, and makes nothing stale."""

from __future__ import annotations

import pytest

from tests.unit.state.memory import Cells, resumed

CACHED = {
    "a function": (
        "import functools\ncalls = 0\n@functools.cache\ndef paid(x):\n"
        "    global calls\n    calls += 1\n    return x"
    ),
    "a method": (
        "import functools\nclass Client:\n    @functools.lru_cache(8)\n    def ask(self, x): return x\n"
        "client = Client()\npaid = client.ask"
    ),
}  # fmt: skip


@pytest.mark.parametrize("source", CACHED.values(), ids=CACHED)
def test_a_step_that_calls_a_cached_function_has_the_same_key_when_it_runs_again(source: str) -> None:
    cells = Cells()
    cells.step("define", source.replace("    global calls\n    calls += 1\n", ""))
    first = cells.step("ask", "answer = paid(1)")
    cells.step("other", "more = paid(2)")
    assert cells.step("ask", "answer = paid(1)", checkpoint="again") == first
    fresh = resumed(cells)
    assert fresh.key("answer = paid(1)", label="ask") == first


def test_what_it_remembers_is_saved_with_the_step_that_called_it() -> None:
    cells = Cells()
    cells.step("define", CACHED["a function"])
    cells.step("ask", "paid(1)")
    fresh = resumed(cells)
    fresh.plain("paid(1)")
    assert fresh["calls"] == 1
