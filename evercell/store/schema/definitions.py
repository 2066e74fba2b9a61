"""What all tables are made with."""

from __future__ import annotations

from enum import StrEnum
from functools import partial

from sqlalchemy import CheckConstraint, Connection, Index, MetaData, event, text

metadata = MetaData()
# ``sqlite_with_rowid=False``: in SQLite one tree instead of two, so that a commit writes fewer pages. (Not where
# rows are long: those of such a tree would overflow.)


def one_of(column: str, statuses: type[StrEnum], name: str) -> CheckConstraint:
    """A column has one of these values."""
    allowed = ", ".join(f"'{status}'" for status in statuses)
    return CheckConstraint(f"{column} IN ({allowed})", name=name)


def partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows for which ``where`` holds.

    It is told where as it is made: SQLAlchemy imports a database with all of its drivers when it is but named.
    """
    index = Index(name, *columns, unique=unique)
    event.listen(index, "before_create", partial(_tell_where, where))
    return index


def _tell_where(where: str, index: Index, connection: Connection, **_: object) -> None:
    index.dialect_options[connection.dialect.name]["where"] = text(where)
