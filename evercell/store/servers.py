"""Servers: which processes serve a store."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.queueing import ServerRow
from evercell.core.records import Holder
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import servers


@asks_again
class Servers:
    """The servers of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, server_id: str, process: Holder, *, jobs: int, runs_on: str | None) -> None:
        """Commit that a process serves the store, or does so still."""
        with self._database.writing() as connection:
            now = self._database.lease_now(connection)
            mine = sa.update(servers).where(servers.c.id == server_id)
            if connection.execute(mine.values(seen_at=now)).rowcount:
                return
            connection.execute(
                sa.insert(servers).values(
                    id=server_id, host=process.host, boot=process.boot, pid=process.pid, started=process.started,
                    jobs=jobs, runs_on=runs_on, started_at=now, seen_at=now,
                )
            )  # fmt: skip

    def remove(self, server_id: str) -> None:
        """Commit that a process serves the store no more."""
        with self._database.writing() as connection:
            connection.execute(sa.delete(servers).where(servers.c.id == server_id))

    def all(self) -> list[ServerRow]:
        """The servers that did not say that they end, the oldest first."""
        with self._database.reading() as connection:
            return read_servers(connection)


def read_servers(connection: Connection) -> list[ServerRow]:
    """Within a transaction: the same."""
    query = sa.select(*raw(servers)).order_by(servers.c.started_at, servers.c.id)
    return list(read_each(connection.execute(query).all(), read_server))


@row_of(servers)
def read_server(row: Row[Any]) -> ServerRow:
    """The record of a row."""
    process = Holder(row.host, row.boot, row.pid, row.started, "")
    return ServerRow(row.id, process, row.jobs, row.runs_on, row.started_at, row.seen_at)
