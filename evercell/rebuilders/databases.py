"""Connections and engines: made anew from their address. What a connection had not committed is not kept."""

from __future__ import annotations

import sqlite3
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"
_IN_MEMORY = "use a database file, or fill it in a %%setup cell"


@rebuilds("sqlite3.Connection")
def _sqlite3(connection: sqlite3.Connection) -> tuple[Any, ...]:
    try:
        rows = connection.execute("PRAGMA database_list").fetchall()
        pending = connection.in_transaction
    except sqlite3.ProgrammingError as error:  # closed, or another thread's
        raise CannotRebuild(f"a connection that cannot be looked at ({error})", _SETUP) from error
    if pending:
        raise CannotRebuild("a connection in the middle of a transaction", "commit before the step ends")
    files = {row[1]: row[2] for row in rows}
    settings = (connection.isolation_level, connection.row_factory, connection.text_factory)
    if not files["main"]:
        return fill_sqlite3, (_content(connection), settings)
    attached = {name: path for name, path in files.items() if name not in ("main", "temp")}
    return open_sqlite3, (files["main"], attached, settings)


def _content(connection: sqlite3.Connection) -> bytes:
    """A database in memory as bytes; SQLite has none for one that nothing was ever written to."""
    if not connection.execute("PRAGMA page_count").fetchone()[0]:
        return b""
    return connection.serialize()


def open_sqlite3(path: str, attached: dict[str, str], settings: tuple[Any, ...]) -> sqlite3.Connection:
    """A connection to a database file, which has to be there."""
    from pathlib import Path

    connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", uri=True)
    for name, other in attached.items():
        connection.execute(f'ATTACH ? AS "{name.replace(chr(34), chr(34) * 2)}"', (other,))
    return _set_up(connection, settings)


def fill_sqlite3(content: bytes, settings: tuple[Any, ...]) -> sqlite3.Connection:
    """A database in memory with the content that it had."""
    connection = sqlite3.connect(":memory:")
    if content:
        connection.deserialize(content)
    return _set_up(connection, settings)


def _set_up(connection: sqlite3.Connection, settings: tuple[Any, ...]) -> sqlite3.Connection:
    connection.isolation_level, connection.row_factory, connection.text_factory = settings
    return connection


@rebuilds("sqlalchemy.engine.base.Engine")
def _engine(engine: Any) -> tuple[Any, ...]:
    if engine.url.get_backend_name() == "sqlite" and engine.url.database in (None, "", ":memory:"):
        raise CannotRebuild("an engine on a database in memory", _IN_MEMORY)
    pool = type(engine.pool)
    options = dict(engine.get_execution_options())
    return create_engine, (engine.url, {"echo": engine.echo, "poolclass": pool, "execution_options": options})


def create_engine(url: Any, options: dict[str, Any]) -> Any:
    """An engine that connects when it is first used."""
    import sqlalchemy

    return sqlalchemy.create_engine(url, **options)


@rebuilds("sqlalchemy.ext.asyncio.engine.AsyncEngine")
def _async_engine(engine: Any) -> tuple[Any, ...]:
    _, (url, options) = _engine(engine.sync_engine)
    del options["poolclass"]  # the asynchronous ones are chosen by the dialect
    return create_async_engine, (url, options)


def create_async_engine(url: Any, options: dict[str, Any]) -> Any:
    """An asynchronous engine that connects when it is first used."""
    from sqlalchemy.ext.asyncio import create_async_engine as create

    return create(url, **options)
