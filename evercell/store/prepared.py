"""Statements compiled once and run on the driver's own cursor, for the two transactions of every step.

SQLAlchemy builds the text and converts the bound parameters; its execution machinery, which costs more
than the statement itself on SQLite, is passed by. Everything else in this room goes the ordinary way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.errors import IncompatibleLibrary

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Direct:
    """A driver's own connection, which SQLAlchemy opened and does not follow."""

    driver: Any
    dialect: Any


@dataclass(frozen=True, slots=True)
class _Compiled:
    text: str
    order: list[str] | None
    """Names of the parameters by position, None where the driver takes them by name."""
    constants: dict[str, Any]
    convert: dict[str, Callable[[Any], Any]]

    def bind(self, parameters: Parameters) -> dict[str, Any] | tuple[Any, ...]:
        values = {**self.constants, **parameters}
        for name, function in self.convert.items():
            values[name] = function(values[name])
        return values if self.order is None else tuple([values[name] for name in self.order])


def insert_into(table: sa.Table, dialect: str) -> Any:
    """An INSERT that knows ON CONFLICT. The other database's dialect is not imported for it."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert(table)


class Prepared:
    """A statement, compiled for each dialect at its first use. ``columns`` are those that an INSERT names."""

    def __init__(self, statement: sa.Executable, *, columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = list(columns) if columns is not None else None
        self._compiled: dict[str, _Compiled] = {}

    def run(self, connection: Connection | Direct, parameters: Parameters) -> Any:
        """Execute it within the connection's transaction; returns the driver's cursor."""
        compiled = self._for(connection.dialect)
        cursor = _cursor(connection)
        cursor.execute(compiled.text, compiled.bind(parameters))
        return cursor

    def run_many(self, connection: Connection | Direct, parameters: Sequence[Parameters]) -> None:
        """Execute it for each set of parameters."""
        compiled = self._for(connection.dialect)
        _cursor(connection).executemany(compiled.text, [compiled.bind(one) for one in parameters])

    def _for(self, dialect: Any) -> _Compiled:
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            made: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)  # type: ignore[attr-defined]
            constants = {name: value for name, value in made.params.items() if value is not None}
            order = list(made.positiontup) if made.positional else None
            compiled = _Compiled(str(made), order, constants, _conversions(made))
            self._compiled[dialect.name] = compiled
        return compiled


def _cursor(connection: Connection | Direct) -> Any:
    if isinstance(connection, Direct):
        return connection.driver.cursor()
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def _conversions(compiled: Any) -> dict[str, Callable[[Any], Any]]:
    """What turns a parameter into what the driver takes (a moment into a number, JSON into text), by its name.

    SQLAlchemy keeps it to itself. Without it rows would be written wrongly, so none is written.
    """
    found = getattr(compiled, "_bind_processors", None)
    if found is None:
        raise IncompatibleLibrary(
            f"evercell does not know this SQLAlchemy, {sa.__version__}: its statements have no _bind_processors.",
            hint="pip install 'sqlalchemy<2.2', or a newer evercell.",
        )
    return dict(found)
