"""Columns of polars that lie on memory of somebody else: ``pl.Series(array)`` copies no numbers."""

from __future__ import annotations

from typing import Any

from evercell.state.typerules.names import type_name

SERIES = "polars.series.series.Series"


def is_column(kind: type) -> bool:
    """Whether objects of a type are columns."""
    return type_name(kind) == SERIES


def numbers_of(column: Any) -> Any:
    """A column's memory as an array of which a column can be made again; None where it is not that of one array."""
    if column.n_chunks() != 1:
        return None
    try:
        numbers = column.to_numpy(allow_copy=False)
        is_all = type(column)("", numbers[:1]).dtype == column.dtype  # (a zone of time is in no array)
    except Exception:  # noqa: BLE001  gaps, and whatever NumPy has no type for
        return None
    return numbers if is_all and numbers.nbytes else None


def reduce_frame(frame: Any) -> tuple[Any, ...] | None:
    """A frame by its columns, each of which may lie on an array's memory."""
    columns = frame.get_columns()
    return (type(frame), (columns,)) if columns else None
