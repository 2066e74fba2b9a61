"""P3: what is restored of very many small objects is known by its bytes, and each change of it is found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evercell.state.pickling import pickled
from evercell.state.pickling.serialiser import Serialiser
from tests.unit.state.memory import Cells, resumed

MAKE = """
import datetime, decimal
from collections import defaultdict, deque
rows = [{'n': n, 'text': f'row {n}', 'tags': ['x', n % 7]} for n in range(2_000)]
last = rows[-1]
"""


@pytest.fixture(autouse=True)
def _large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows are very many."""
    monkeypatch.setattr(pickled, "LARGE", 10_000)


@pytest.fixture
def dumped(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Bytes of the large streams that were made."""
    sizes: list[int] = []
    original = Serialiser.dumps

    def dumps(self: Serialiser, *args: Any, **options: Any) -> Any:
        new = original(self, *args, **options)
        if new.is_large:
            sizes.append(len(new.stream))
        return new

    monkeypatch.setattr(Serialiser, "dumps", dumps)
    return sizes


@pytest.fixture
def saved() -> Cells:
    cells = Cells()
    cells.step("make", MAKE)
    return cells


def _changed(cells: Cells) -> set[str]:
    return {n for n in ("rows", "last") if n in cells.variables and cells.namespace.made_by(n) != "make"}


def test_a_first_cell_that_reads_is_followed_by_one_dump(saved: Cells, dumped: list[int]) -> None:
    fresh = resumed(saved)
    dumped.clear()
    fresh.step("read", "total = sum(row['n'] for row in rows)")
    assert len(dumped) == 1 and not _changed(fresh)
    assert fresh.memory.verified("read").wrote == {"total"}
    fresh.step("read again", "first = rows[0]['n']")
    assert len(dumped) == 2 and not _changed(fresh)


@pytest.mark.parametrize(
    ("cell", "changed"),
    [
        ("rows[7]['n'] = -1", {"rows"}),
        ("rows.append({'n': 1})", {"rows"}),
        ("last['n'] = -1", {"rows", "last"}),
        ("rows[-1] = dict(last)", {"rows"}),  # what they have is equal; it is one object no longer
        ("last = rows[0]", {"last"}),
        ("last = None", {"last"}),
        ("del last", set()),
        ("rows = rows[:5]", {"rows"}),
        ("other = rows[3]", set()),
        ("other = [rows, 1]", set()),
    ],
)
def test_what_the_first_cell_changes_is_found_and_nothing_else(
    saved: Cells, cell: str, changed: set[str]
) -> None:
    fresh = resumed(saved)
    fresh.step("change", cell)
    assert _changed(fresh) == changed
    again = resumed(fresh)
    assert again.variables.get("rows") == fresh.variables.get("rows")
    assert again.variables.get("last") == fresh.variables.get("last")
    if "last" in again.variables and again["last"] is not None:
        shared = [row is again["last"] for row in again["rows"]]
        assert shared == [row is fresh["last"] for row in fresh["rows"]]


OTHERWISE = {
    "equal texts that are one object when they are loaded": "''.join(['a', 'b'])",
    "sets": "{str(n) for n in range(50)}",
    "numbers": "[float('nan'), 10**30, 1.5, True, None]",
    "dates": "[datetime.date(2026, 1, 2), decimal.Decimal('1.50')]",
    "containers of Python's": "[deque([1]), defaultdict(list, k=[1]), frozenset({'q'})]",
    "bytes": "[b'x', bytearray(b'yy')]",
}


@pytest.mark.parametrize("value", OTHERWISE.values(), ids=OTHERWISE.keys())
@pytest.mark.parametrize("changes", [False, True], ids=["read", "changed"])
def test_a_dump_that_differs_from_the_stored_bytes_is_no_change(value: str, changes: bool) -> None:
    cells = Cells()
    cells.step("make", f"{MAKE}\nrows += [{value}, {value}]")
    fresh = resumed(cells)
    fresh.step("look", "rows[5]['n'] = -5" if changes else "seen = len(rows)")
    assert _changed(fresh) == ({"rows"} if changes else set())


def test_a_change_that_no_name_tells_is_found(saved: Cells) -> None:
    fresh = resumed(saved)
    fresh.step("hide", "add = rows.append")
    again = resumed(fresh)
    again.step("change", "add({'n': 0})")
    assert "rows" in again.memory.verified("change").wrote
    assert resumed(again)["rows"][-1] == {"n": 0}


def test_a_failed_attempt_is_put_back(saved: Cells) -> None:
    fresh = resumed(saved)
    assert fresh.fail("broken", "rows[3]['n'] = 'broken'; last['n'] = 'broken'") == []
    assert fresh["rows"][3]["n"] == 3 and fresh["last"] is fresh["rows"][-1]
    fresh.step("read", "total = len(rows)")
    assert resumed(fresh)["last"]["n"] == 1_999


def test_bytes_that_are_gone_meanwhile_make_it_be_saved_anew(saved: Cells) -> None:
    fresh = resumed(saved)
    fresh.namespace.plan("rows")
    gone = dict(fresh.memory.chunks)
    fresh.memory.chunks.clear()
    fresh.plain("rows[0]['n'] = -1")
    fresh.memory.chunks.update(gone)
    fresh.commit("late")
    assert resumed(fresh)["rows"][0]["n"] == -1


@pytest.mark.parametrize("large", [0, pickled.LARGE], ids=["large", "small"])
def test_a_second_way_to_the_same_object_is_seen_after_a_resume(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickled, "LARGE", large)
    cells = Cells()
    cells.step("make", "a = [[1], [2]]; b = [a[0], [3]]; c = [[4]]")
    fresh = resumed(cells)
    fresh.step("tie", "c[0] = a[1]")
    again = resumed(fresh)
    again.step("through", "c[0].append(5)")
    assert again["a"][1] == [2, 5]
    last = resumed(again)
    assert last["a"] == [[1], [2, 5]] and last["c"][0] is last["a"][1] and last["b"][0] is last["a"][0]


def test_the_cell_that_resumes_is_followed_by_no_dump_and_what_comes_next_is_found(
    saved: Cells, dumped: list[int]
) -> None:
    fresh = Cells(saved.memory)
    plan = fresh.namespace.plan("get_ipython().run_line_magic('resume', '')")
    fresh.restore(saved.head or "")
    dumped.clear()
    fresh.namespace.observe(plan, label="In [1]")
    assert not dumped
    fresh["rows"][5]["n"] = -5  # by a callback, say
    fresh.namespace.something_ran()
    assert fresh.namespace.look_at_everything()
    fresh.commit("late")
    assert resumed(fresh)["rows"][5]["n"] == -5
