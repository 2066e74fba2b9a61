"""How two frames or arrays differ: shape, columns, types, and by how much. Their libraries are there where they are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_SLICE = 1 << 20
"""Elements that are compared at once: a difference needs as much memory again."""
_MOST_COLUMNS = 20
"""Columns that are told."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Two tables that differ, in words."""

    left: str
    right: str
    summary: str
    detail: str = ""


# -- arrays --------------------------------------------------------------------------------------


def array_difference(left: Any, right: Any) -> Summary | None:
    """By shape, type of elements and norm of the difference; None where they are the same."""
    here, there = _array_words(left), _array_words(right)
    if left.shape != right.shape:
        return Summary(here, there, f"shape {left.shape} → {right.shape}")
    told = _elements(left, right)
    if left.dtype != right.dtype:
        return Summary(here, there, f"dtype {left.dtype} → {right.dtype}" + (f"; {told}" if told else ""))
    return Summary(here, there, told) if told else None


def _array_words(array: Any) -> str:
    shape = " x ".join(map(str, array.shape)) or "one element"
    return f"array of {array.dtype}, {shape}"


def _elements(left: Any, right: Any) -> str:
    """By how much elements of one shape differ; empty where they are equal (NaN is equal to NaN)."""
    numpy = sys.modules["numpy"]
    is_numeric = left.dtype.kind in "iufcb" and right.dtype.kind in "iufcb"
    differing, squares, largest, unknown = 0, 0.0, 0.0, 0
    for one, other in _slices(left, right):
        if not is_numeric:
            differing += int(numpy.count_nonzero(one != other))
            continue
        with numpy.errstate(all="ignore"):
            is_nan = (
                numpy.isnan(one) & numpy.isnan(other) if "f" in one.dtype.kind + other.dtype.kind else False
            )
            unequal = (one != other) & ~numpy.asarray(is_nan)
            differing += int(numpy.count_nonzero(unequal))
            by = numpy.abs(_wide(one) - _wide(other))[unequal]
            finite = by[numpy.isfinite(by)]
            unknown += int(by.size - finite.size)
            squares += float(numpy.sum(finite**2))
            largest = max(largest, float(finite.max(initial=0.0)))
    if not differing:
        return ""
    count = f"{differing:,} of {left.size:,} elements differ"
    if not is_numeric:
        return count
    beyond = f", {unknown:,} by NaN or infinity" if unknown else ""
    return f"norm of the difference {squares**0.5:.6g}, at most {largest:.6g}; {count}{beyond}"


def _wide(part: Any) -> Any:
    """In a type in which differences do not wrap around."""
    return part.astype("complex128" if part.dtype.kind == "c" else "float64")


def _slices(left: Any, right: Any) -> Iterator[tuple[Any, Any]]:
    flat_left, flat_right = left.reshape(-1), right.reshape(-1)
    for start in range(0, flat_left.size, _SLICE):
        yield flat_left[start : start + _SLICE], flat_right[start : start + _SLICE]


# -- frames --------------------------------------------------------------------------------------


def frame_difference(left: Any, right: Any) -> Summary | None:
    """By shape, columns and a summary of each that differs; None where they are the same."""
    pandas = sys.modules["pandas"]
    if left.equals(right) and _labels(left) == _labels(right):
        return None
    if isinstance(left, pandas.Series):
        left, right = left.to_frame("values"), right.to_frame("values")
    columns = _columns(left), _columns(right)
    gone = [name for name in columns[0] if name not in columns[1]]
    come = [name for name in columns[1] if name not in columns[0]]
    shared = [name for name in columns[0] if name in columns[1]]
    lines = [line for name in shared if (line := _column_line(name, columns[0][name], columns[1][name]))]
    is_index = len(left) == len(right) and not left.index.equals(right.index)
    told = [
        f"shape {left.shape} → {right.shape}" if left.shape != right.shape else "",
        f"without {_named(gone)}" if gone else "",
        f"with {_named(come)}" if come else "",
        f"{len(lines)} of {len(shared)} columns differ" if lines else "",
        "the index differs" if is_index else "",
        "" if gone or come or lines or is_index else "columns in another order, or labels differ",
    ]
    more = [f"… {len(lines) - _MOST_COLUMNS} columns more"] if len(lines) > _MOST_COLUMNS else []
    detail = "\n".join([*lines[:_MOST_COLUMNS], *more])
    return Summary(_frame_words(left), _frame_words(right), ", ".join(filter(None, told)), detail)


def _labels(frame: Any) -> Any:
    return getattr(frame, "name", None), list(map(str, getattr(frame, "columns", ())))


def _columns(frame: Any) -> dict[str, Any]:
    """By name; of several columns of one name each has a number."""
    found: dict[str, Any] = {}
    for number, label in enumerate(frame.columns):
        name = str(label)
        found[name if name not in found else f"{name} (column {number})"] = frame.iloc[:, number]
    return found


def _frame_words(frame: Any) -> str:
    return f"frame, {frame.shape[0]:,} rows x {frame.shape[1]:,} columns"


def _named(names: list[str]) -> str:
    shown = ", ".join(names[:6])
    return shown if len(names) <= 6 else f"{shown} and {len(names) - 6} more"


def _column_line(name: str, left: Any, right: Any) -> str:
    """How one column differs; empty where it is the same."""
    if left.reset_index(drop=True).equals(right.reset_index(drop=True)):
        return ""
    parts = [f"dtype {left.dtype} → {right.dtype}" if left.dtype != right.dtype else ""]
    if len(left) == len(right):
        one, other = left.reset_index(drop=True), right.reset_index(drop=True)
        unequal = int(((one != other) & ~(one.isna() & other.isna())).sum())
        parts.append(f"{unequal:,} of {len(left):,} values differ" if unequal else "")
    parts += [_statistic(left, right, what) for what in ("mean", "std", "min", "max")]
    parts.append(_count(left.isna().sum(), right.isna().sum(), "missing"))
    if not _is_numeric(left) or not _is_numeric(right):
        parts.append(_count(left.nunique(), right.nunique(), "distinct"))
    return f"{name}: {', '.join(filter(None, parts)) or 'differs'}"


def _is_numeric(column: Any) -> bool:
    kind = getattr(column.dtype, "kind", "O")
    return isinstance(kind, str) and kind in "iuf"


def _statistic(left: Any, right: Any, what: str) -> str:
    if not _is_numeric(left) or not _is_numeric(right):
        return ""
    one, other = (f"{float(getattr(column, what)()):.6g}" for column in (left, right))
    return f"{what} {one} → {other}" if one != other else ""


def _count(left: Any, right: Any, what: str) -> str:
    return f"{int(left):,} → {int(right):,} {what}" if left != right else ""
