"""How values differ, by their types."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.engine.comparison.values import difference_of, short_repr


def told(left: Any, right: Any) -> str:
    found = difference_of(left, right)
    assert found is not None
    return f"{found.kind}: {found.left} → {found.right} | {found.summary} | {found.detail}"


class Unfriendly:
    """Raises whatever it is asked."""

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    def __repr__(self) -> str:
        raise RuntimeError

    __hash__ = None  # type: ignore[assignment]


@dataclass(slots=True)
class Slotted:
    a: int


class Settings:
    def __init__(self, **values: Any) -> None:
        vars(self).update(values)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (1, 2, "number: 1 → 2 | +1 (+100.0%) | "),
        (0.8, 0.9, "number: 0.8 → 0.9 | +0.1 (+12.5%) | "),
        (0, -3, "number: 0 → -3 | -3 | "),
        (np.float64(2), 2.5, "number: 2.0 → 2.5 | +0.5 (+25.0%) | "),
        (1.0, float("nan"), "number: 1.0 → nan | +nan | "),
        (True, False, "number: True → False |  | "),
        (1, 10**400, "number: 1 → 1000"),
        (1j, 2j, "number: 1j → 2j |  | "),
        ("a", "b", "text: 'a' → 'b' | 1 → 1 characters | "),
        ("a\nb", "a\nc", "--- left\n+++ right\n@@ -1,2 +1,2 @@\n a\n-b\n+c"),
        (1, "1", "type: 1 → '1' | int → str | "),
        (None, 1, "type: None → 1 | NoneType → int | "),
        ([1, 2], [1, 3], "container: [1, 2] → [1, 3] | 1 changed | [1]: 2 → 3"),
        ([1], [1, 2], "1 → 2 items | + [1]: 2"),
        ({"a": 1, "b": 2}, {"a": 2, "c": 3}, "1 changed, 1 new, 1 gone | ['a']: 1 → 2\n- ['b']: 2\n+ ['c']: 3"),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, "in another order"),
        ({1, 2}, {2, 3}, "2 items; 1 gone, 1 new"),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "['a']: 1 changed"),
        (deque([1]), deque([2]), "[0]: 1 → 2"),
        (Settings(a=1), Settings(a=2), ".a: 1 → 2"),
        (Slotted(1), Slotted(2), ".a: 1 → 2"),
        (date(2026, 1, 1), date(2026, 1, 2), "datetime.date(2026, 1, 1) → datetime.date(2026, 1, 2)"),
        (Decimal(1), Decimal(2), "Decimal('1') → Decimal('2')"),
        (b"a", b"b", "b'a' → b'b'"),
        (np.zeros(3), np.ones(3), "array: array of float64, 3 → array of float64, 3 | norm of the difference 1.73205, "
         "at most 1; 3 of 3 elements differ | "),
        (np.zeros((2, 2)), np.zeros(3), "shape (2, 2) → (3,)"),
        (np.zeros(2), np.zeros(2, "f4"), "dtype float64 → float32"),
        (np.zeros(2, "u1"), np.full(2, 255, "u1"), "at most 255"),
        (np.array([1.0, np.nan]), np.array([np.nan, np.nan]), "1 of 2 elements differ, 1 by NaN or infinity"),
        (np.array(["a", "b"]), np.array(["a", "c"]), "1 of 2 elements differ"),
        (np.array(1), np.array(2), "one element"),
        ([np.zeros(2)], [np.ones(2)], "[0]: norm of the difference"),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]}), "frame: frame, 2 rows x 1 columns → frame, 2 rows x "
         "1 columns | 1 of 1 columns differ | a: 1 of 2 values differ, mean 1.5 → 2"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]}), "without a, with b"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1, 2]}), "shape (1, 1) → (2, 1)"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["x"]}), "a: dtype"),
        (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": [1]}, index=[7]), "the index differs"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[1, 3]], columns=["a", "a"]), "a (column 1):"),
        (pd.Series([1, 2]), pd.Series([1, None]), "1 missing"),
        (pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]}), "columns in another order"),
        (Unfriendly(1), Unfriendly(2), "<Unfriendly, whose repr raises RuntimeError> | 1 changed | .x: 1 → 2"),
        ([Unfriendly(1)], [Unfriendly(2)], "[0]: <Unfriendly"),
    ],
)  # fmt: skip
def test_what_differs_is_told(left: Any, right: Any, expected: str) -> None:
    assert expected in told(left, right)


@pytest.mark.parametrize(
    "value",
    [1, float("nan"), "x", [1, {"a": (2, {3})}], np.array([1.0, np.nan]), pd.DataFrame({"a": [1, None]}),
     Settings(a=[1]), Settings(), Slotted(1), OrderedDict(a=1), date(2026, 1, 1), None, ...,
     int, len, b"x", np.array([], "f4"), np.array(["a"], object), pd.DataFrame()],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_is_the_same_does_not_differ(value: Any) -> None:
    import copy

    assert difference_of(value, copy.deepcopy(value)) is None


def test_circles_end() -> None:
    left: list[Any] = [1]
    right: list[Any] = [1]
    left.append(left)
    right.append(right)
    assert difference_of(left, right) is None
    right[0] = 2
    assert "[0]: 1 → 2" in told(left, right)
    deep: Any = 1
    for _ in range(10_000):
        deep = [deep]
    assert difference_of(deep, [deep]) is not None


def test_large_values_are_told_in_short() -> None:
    text = told(list(range(100_000)), list(range(1, 100_001)))
    assert len(text) < 1_000
    assert "100,000 changed" in text
    assert "more" in text
    assert len(told("x" * 10**6, "y" * 10**6)) < 1_000
    assert len(short_repr(dict.fromkeys(range(1000), "x" * 1000))) < 200
    large = np.arange(3_000_000)
    assert "1 of 3,000,000" in told(large, np.append(large[:-1], 0))


def test_functions_and_classes_are_told_by_their_code() -> None:
    def first(x: int) -> int:
        return x + 1

    def second(x: int) -> int:
        return x + 2

    def same(x: int) -> int:
        return x + 1

    assert difference_of(first, same) is None
    assert "\n-        return x + 1\n" in told(first, second)
    assert "\n+        return x + 2" in told(first, second)
    one, other = (type("C", (), {"limit": n, "f": first}) for n in (1, 2))
    assert ".limit: 1 → 2" in told(one, other)
    assert difference_of(one, type("C", (), {"limit": 1, "f": same})) is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(ANY, ANY)
def test_nothing_that_is_compared_raises_and_both_ways_agree(left: Any, right: Any) -> None:
    assert difference_of(left, left) is None
    assert (difference_of(left, right) is None) is (difference_of(right, left) is None)


@dataclass
class Login:
    user: str
    api_key: str


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ({"api_key": "sk-one-1234"}, {"api_key": "sk-two-1234"}),
        ({"a": {"password": "sk-one-1234"}}, {"a": {"password": "sk-two-1234"}}),
        ({}, {"token": "sk-two-1234"}),
        (Login("ann", "sk-one-1234"), Login("ann", "sk-two-1234")),
        ([Login("ann", "sk-one-1234")], [Login("bob", "sk-two-1234")]),
        (Settings(secret="sk-one-1234"), Settings(secret="sk-two-1234")),
        (OrderedDict(auth="sk-one-1234"), OrderedDict(auth="sk-two-1234")),
    ],
)
def test_what_is_a_secret_by_its_name_is_not_shown(left: Any, right: Any) -> None:
    text = told(left, right)
    assert "1234" not in text
    assert "…" in text
