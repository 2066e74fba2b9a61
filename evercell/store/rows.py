"""From rows to records: what a row cannot mean is refused by name, and never a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from types import SimpleNamespace
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Row
from sqlalchemy.engine.default import DefaultDialect

from evercell.core.errors import RowDamaged

R = TypeVar("R")

_NO_DIALECT = DefaultDialect()
"""The types of this store read the same on every database."""


def row_of(table: sa.Table) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Decorates what makes a record of a table's row: it raises `RowDamaged` for a row that evercell never wrote."""

    def decorate(read: Callable[..., R]) -> Callable[..., R]:
        @wraps(read)
        def checked(row: Any, *args: Any, **kwargs: Any) -> R:
            try:
                return read(row, *args, **kwargs)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise row_damaged(table, row, error) from error

        return checked

    return decorate


def raw_columns(
    table: sa.Table, columns: Iterable[sa.Column[Any]] | None = None
) -> list[sa.ColumnElement[Any]]:
    """Columns (all of a table) as the database has them: what means nothing is met row by row, by `decoded`."""
    return [
        sa.type_coerce(column, column.type.impl_instance).label(column.name)
        if isinstance(column.type, sa.TypeDecorator)
        else column
        for column in (table.c if columns is None else columns)
    ]


def decoded(table: sa.Table, row: Row[Any]) -> Any:
    """The row of `raw_columns` as an ordinary query gives it; raises `RowDamaged`."""
    values = dict(row._mapping)
    for column in table.c:
        if column.name in values and isinstance(column.type, sa.TypeDecorator):
            try:
                values[column.name] = column.type.process_result_value(values[column.name], _NO_DIALECT)
            except RowDamaged as error:
                raise row_damaged(table, row, error.what) from error
    return SimpleNamespace(**values, _mapping=values)


def row_damaged(table: sa.Table, row: Any, why: object) -> RowDamaged:
    """The error for a row of a table, named by its primary key."""
    keys = [getattr(row, column.name, None) for column in table.primary_key.columns]
    name = " ".join(key.hex()[:16] if isinstance(key, bytes) else str(key) for key in keys if key is not None)
    return RowDamaged(
        f"Row {name} of the store's table {table.name} cannot be read: {str(why)[:200]}.",
        hint="`evercell verify` says what else is damaged. Put the store back from a backup.",
    )
