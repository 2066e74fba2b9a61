"""P3: columns of polars that lie on an array's memory lie on it again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.state.memory import Cells, resumed

IMPORTS = "import numpy as np, polars as pl\n"

SHARED = {
    "a column": ("a = np.arange(6.)", "b = pl.Series('n', a)", "b[0] == 9 and b.name == 'n'"),
    "a column of bytes": ("a = np.arange(6, dtype='u1')", "b = pl.Series(a)", "b[0] == 9"),
    "a column of rows": ("a = np.arange(6.).reshape(3, 2)", "b = pl.Series(a)", "b[0][0] == 9"),
    "a part of a column": ("a = np.arange(6.)", "b = pl.Series('n', a)[0:3]", "b[0] == 9 and len(b) == 3"),
    "a frame": (
        "a = np.arange(6.)",
        "b = pl.DataFrame({'x': a, 'y': ['t'] * 6})",
        "b['x'][0] == 9 and b['y'][5] == 't'",
    ),
    "two columns": (
        "a = np.arange(6.)",
        "b = {n: pl.Series(n, a) for n in 'xy'}",
        "b['x'][0] == b['y'][0] == 9",
    ),
    "what lies inside of an array": (
        "c = np.arange(60.)\na = c[20:40]",
        "b = pl.Series(a)",
        "b[0] == c[20] == 9",
    ),
}


@pytest.mark.parametrize("steps", [1, 2, 3])
@pytest.mark.parametrize("case", SHARED)
def test_a_column_on_an_arrays_memory_has_what_was_written_there(case: str, steps: int) -> None:
    first, second, check = SHARED[case]
    cells = Cells()
    sources = [IMPORTS + first, second, "a.flat[0] = 9"]
    for number, source in enumerate(["\n".join(sources[: 4 - steps]), *sources[4 - steps :]]):
        cells.step(f"s{number}", source)
        assert not cells.missing
    assert eval(check, cells.variables)
    other = resumed(cells)
    assert eval(check, other.variables)
    other.step("more", "a.flat[0] = 7")
    assert eval(check.replace("9", "7"), other.variables)
    assert eval(check.replace("9", "7"), resumed(other).variables)


KEPT = [
    "pl.DataFrame()",
    "pl.DataFrame(schema={'a': pl.Int64})",
    "pl.DataFrame({'x': [1, 2], 'y': ['a', None], 'l': [[1], [2, 3]], 'n': [None, None]})",
    "pl.Series('sorted', [3, 1, 2]).sort(descending=True)",
    "pl.Series('gaps', [1, None, 3])",
    "pl.Series('decimals', [1], dtype=pl.Decimal(10, 2))",
    "pl.Series('zone', [0], dtype=pl.Datetime('us', 'Europe/Berlin'))",
    "pl.Series(['a', 'b'], dtype=pl.Categorical)",
    "pl.concat([pl.Series([1.]), pl.Series([2.])], rechunk=False)",
]


@pytest.mark.parametrize("made", KEPT)
def test_columns_and_frames_come_back_as_they_were(made: str) -> None:
    cells = Cells()
    cells.step("s", f"{IMPORTS}it = {made}\nview = it.to_numpy()")
    other = resumed(cells)
    assert not cells.missing and not other.missing
    assert _told(other["it"]) == _told(cells["it"])
    assert other["it"].equals(cells["it"])
    cells.step("look", "it")
    assert cells.namespace.made_by("it") == "s", "what is read is not changed"


def _told(value: Any) -> Any:
    return value.schema if hasattr(value, "schema") else (value.name, value.dtype, value.flags)
