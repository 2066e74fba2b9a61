"""Connections of SQLite and their cursors: made anew with content, settings, temporary tables and attached databases.

What a connection does not tell (functions, collations, callbacks) is named; to use it raises an error of SQLite's.
"""

from __future__ import annotations

import gc
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from threading import Thread
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, name_loss, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"
_AGAIN = "register them in a %%setup cell, or in the cell that needs them"

_PRAGMAS = """
    foreign_keys synchronous cache_size temp_store recursive_triggers busy_timeout query_only automatic_index
    cell_size_check secure_delete read_uncommitted reverse_unordered_selects ignore_check_constraints threads
    trusted_schema legacy_alter_table wal_autocheckpoint locking_mode fullfsync journal_size_limit
""".split()  # noqa: SIM905
"""Settings of a connection, which a database does not keep."""
_LIMITS = range(12)
_TAKEN = ("isolation_level", "row_factory", "text_factory")
"""Attributes that it takes again."""
_CACHE = type(lru_cache(int))
"""Of a connection's statements."""
_FUNCTIONS = "select distinct name from pragma_function_list"
_TEMPORARY = "select type, name, sql from sqlite_temp_master where sql is not null order by rowid"


@rebuilds("sqlite3.Connection")
def _connection(connection: sqlite3.Connection) -> tuple[Any, ...]:
    try:
        with _plainly(connection) as ask:
            databases = {row[1]: row[2] for row in ask("pragma database_list")}
            if connection.in_transaction:
                advice = "commit before the step ends"
                raise CannotRebuild("a connection in the middle of a transaction", advice)
            content = {n: path or _content(connection, n) for n, path in databases.items() if n != "temp"}
            temporary = list(ask(_TEMPORARY)) if "temp" in databases else []
            rows = {
                name: list(ask(f"select * from temp.{_quoted(name)}"))
                for kind, name, _ in temporary
                if kind == "table"
            }
            facts = _facts(connection, ask)
    except sqlite3.ProgrammingError as error:  # closed, or another thread's
        raise CannotRebuild(f"a connection that cannot be looked at ({error})", _SETUP) from error
    _name_losses(connection, facts)
    settings: dict[str, Any] = {
        "pragmas": {n: v for n, v in facts["pragmas"].items() if v != _usual()["pragmas"].get(n)},
        "limits": {n: v for n, v in facts["limits"].items() if v != _usual()["limits"].get(n)},
        "temporary": [sql for *_, sql in temporary],
        "rows": rows,
        "detects": _detected_types(connection),
        "one_thread": _is_for_one_thread(connection),
        "read_only": _is_read_only(databases["main"]),
    }
    names = (*_TAKEN, "autocommit") if _commits_by_attribute(connection) else _TAKEN
    return make_sqlite3, (content, settings, {name: getattr(connection, name) for name in names})


def _commits_by_attribute(connection: sqlite3.Connection) -> bool:
    """Whether it was opened with ``autocommit``, which Python 3.12 has."""
    return getattr(connection, "autocommit", -1) != -1


@contextmanager
def _plainly(connection: sqlite3.Connection) -> Iterator[Any]:
    """A function that asks, whatever the connection makes of rows and texts."""
    rows, text = connection.row_factory, connection.text_factory
    connection.row_factory, connection.text_factory = None, str
    try:
        yield lambda sql: connection.execute(sql).fetchall()
    finally:
        connection.row_factory, connection.text_factory = rows, text


def _content(connection: sqlite3.Connection, name: str) -> bytes:
    """A database in memory as bytes; SQLite has none for one that nothing was ever written to."""
    if not connection.execute(f"pragma {_quoted(name)}.page_count").fetchone()[0]:
        return b""
    return connection.serialize(name=name)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _facts(connection: sqlite3.Connection, ask: Any) -> dict[str, Any]:
    """What it tells of its settings."""
    pragmas = {name: found[0][0] for name in _PRAGMAS if (found := ask(f"pragma {name}"))}
    try:
        functions = {row[0] for row in ask(_FUNCTIONS)}
    except sqlite3.Error:  # an SQLite that does not tell
        functions = set()
    return {
        "pragmas": pragmas,
        "limits": {limit: connection.getlimit(limit) for limit in _LIMITS},
        "functions": functions,
        "collations": {row[1] for row in ask("pragma collation_list")},
    }


@cache
def _usual() -> dict[str, Any]:
    """The same of a connection that nobody touched."""
    connection = sqlite3.connect(":memory:")
    try:
        with _plainly(connection) as ask:
            return _facts(connection, ask)
    finally:
        connection.close()


def _name_losses(connection: sqlite3.Connection, facts: dict[str, Any]) -> None:
    for kind in ("functions", "collations"):
        if own := facts[kind] - _usual()[kind]:
            name_loss(
                f"{kind} of sqlite3.Connection", f"SQLite does not tell {', '.join(sorted(own))}", _AGAIN
            )
    known = (connection.row_factory, connection.text_factory)
    held = (one for one in gc.get_referents(connection) if callable(one) and type(one) not in (type, _CACHE))
    if any(one not in known for one in held):
        name_loss("callbacks of sqlite3.Connection", "a connection does not tell which is which", _AGAIN)


def _detected_types(connection: sqlite3.Connection) -> int:
    """Its ``detect_types``, told by what it does to a column of SQLite's own."""
    found, kept = 0, sqlite3.converters.get("INT")
    sqlite3.converters["INT"] = lambda _: _detected_types
    try:
        with _plainly(connection) as ask:
            if ask("select rootpage from sqlite_master union all select 1")[-1][0] is _detected_types:
                found |= sqlite3.PARSE_DECLTYPES
    finally:
        del sqlite3.converters["INT"]
        if kept is not None:
            sqlite3.converters["INT"] = kept
    if connection.execute('select 1 as "x [y]"').description[0][0] == "x":
        found |= sqlite3.PARSE_COLNAMES
    return found


def _is_for_one_thread(connection: sqlite3.Connection) -> bool:
    failed: list[Exception] = []

    def look() -> None:
        try:
            connection.cursor().close()
        except sqlite3.ProgrammingError as error:
            failed.append(error)

    thread = Thread(target=look)
    thread.start()
    thread.join()
    return bool(failed)


def _is_read_only(path: str) -> bool:
    """Whether this process has the file open for reading only, which Linux tells."""
    table = Path("/proc/self/fd")
    if not path or not table.is_dir():
        return False
    import fcntl

    modes = set()
    for entry in os.listdir(table):  # noqa: PTH208  of text, for it is done at each look
        try:
            if os.readlink(f"/proc/self/fd/{entry}") == path:  # noqa: PTH115
                modes.add(fcntl.fcntl(int(entry), fcntl.F_GETFL) & os.O_ACCMODE)
        except OSError:  # the one of this very look
            continue
    return modes == {os.O_RDONLY}


def make_sqlite3(
    content: dict[str, str | bytes], settings: dict[str, Any], taken: dict[str, Any]
) -> sqlite3.Connection:
    """A connection to files, which have to be there, and to databases in memory with the content that they had."""
    main = content["main"]
    mode = "ro" if settings.get("read_only") else "rw"
    where = f"{Path(main).as_uri()}?mode={mode}" if isinstance(main, str) else ":memory:"
    connection = sqlite3.connect(
        where,
        uri=isinstance(main, str),
        isolation_level=None,
        detect_types=settings["detects"],
        check_same_thread=settings["one_thread"],
    )
    try:
        _fill(connection, content, settings)
        for name, value in taken.items():
            setattr(connection, name, value)
    except BaseException:
        connection.close()  # it has the file open and perhaps locked, and from 3.13 on Python warns of it
        raise
    return connection


def _fill(connection: sqlite3.Connection, content: dict[str, str | bytes], settings: dict[str, Any]) -> None:
    for name, database in content.items():
        if name != "main":
            if isinstance(database, str) and not Path(database).exists():  # SQLite would make an empty one
                raise sqlite3.OperationalError(f"unable to open database file {database}")
            connection.execute(
                f"attach ? as {_quoted(name)}", (database if isinstance(database, str) else ":memory:",)
            )
        if isinstance(database, bytes) and database:
            connection.deserialize(database, name=name)
    _fill_temporary(connection, settings["temporary"], settings["rows"])
    for limit, value in settings["limits"].items():
        connection.setlimit(limit, value)
    for name, value in settings["pragmas"].items():
        connection.execute(f"pragma {name}={value}")


def _fill_temporary(
    connection: sqlite3.Connection, statements: list[str], rows: dict[str, list[Any]]
) -> None:
    for sql in statements:
        verb, kind, rest = sql.split(" ", 2)
        connection.execute(
            f"{verb} temp {kind} {rest}" if kind.lower() in ("table", "view", "trigger") else sql
        )
    for name, found in rows.items():
        if found:
            places = ", ".join("?" * len(found[0]))
            connection.executemany(f"insert into temp.{_quoted(name)} values ({places})", found)


@rebuilds("sqlite3.Cursor")
def _cursor(cursor: sqlite3.Cursor) -> tuple[Any, ...]:
    held = gc.get_referents(cursor)
    connection = next((one for one in held if isinstance(one, sqlite3.Connection)), None)
    if connection is None:
        raise CannotRebuild("a cursor without a connection", _SETUP)
    if any(type(one).__name__ == "Statement" for one in held):
        raise CannotRebuild("a cursor in the middle of its rows", "fetch them in the step that asked")
    if cursor.description is not None or cursor.lastrowid:
        advice = "keep description, lastrowid and rowcount in variables of their own"
        name_loss("last statement of sqlite3.Cursor", "a new cursor knows nothing of it", advice)
    return make_cursor, (connection, cursor.arraysize, cursor.row_factory)


def make_cursor(connection: sqlite3.Connection, arraysize: int, row_factory: Any) -> sqlite3.Cursor:
    """A cursor that executed nothing yet."""
    cursor = connection.cursor()
    cursor.arraysize, cursor.row_factory = arraysize, row_factory
    return cursor


# -- of evercell 0.1 -----------------------------------------------------------------------------


def open_sqlite3(path: str, attached: dict[str, str], settings: tuple[Any, ...]) -> sqlite3.Connection:
    """A connection to a database file, which has to be there."""
    return _formerly({"main": path, **attached}, settings)


def fill_sqlite3(content: bytes, settings: tuple[Any, ...]) -> sqlite3.Connection:
    """A database in memory with the content that it had."""
    return _formerly({"main": content}, settings)


def _formerly(content: dict[str, Any], settings: tuple[Any, ...]) -> sqlite3.Connection:
    nothing: dict[str, Any] = {
        "pragmas": {},
        "limits": {},
        "temporary": [],
        "rows": {},
        "detects": 0,
        "one_thread": True,
    }
    return make_sqlite3(content, nothing, dict(zip(_TAKEN, settings, strict=True)))
