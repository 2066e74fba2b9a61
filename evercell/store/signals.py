"""Signals: messages to a run. The first one of a name stays."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.records import Signal
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.prepared import Prepared, insert_into
from evercell.store.rows import raw, row_of
from evercell.store.schema import signals


@cache
def _insert_first(dialect: str) -> Prepared:
    return Prepared(insert_into(signals, dialect).on_conflict_do_nothing(), columns=signals.c.keys())


@asks_again
class Signals:
    """The signals to a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def send(self, signal: Signal) -> Signal:
        """Commit a signal; returns the one that the run has, which is an earlier one of that name if any."""
        values = {column.name: getattr(signal, column.name) for column in signals.c}
        with self._database.writing() as connection:
            _insert_first(connection.dialect.name).run(connection, values)
        return self.get(signal.run_id, signal.name) or signal

    def get(self, run_id: str, name: str) -> Signal | None:
        """The signal of a name, None while there is none."""
        query = sa.select(*raw(signals)).where(signals.c.run_id == run_id, signals.c.name == name)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return read_signal(row) if row is not None else None


@row_of(signals)
def read_signal(row: Row[Any]) -> Signal:
    """The record of a row."""
    return Signal(row.run_id, row.name, bytes(row.value), bytes(row.mac), row.sent_at, row.sent_by)
