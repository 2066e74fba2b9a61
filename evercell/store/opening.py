"""Opening a database: the right driver, the right pragmas, the right schema, or a clear refusal."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DisconnectionError,
    NoSuchModuleError,
    SQLAlchemyError,
)

from evercell.core.errors import (
    RowDamaged,
    SqliteTooOld,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from evercell.core.faults import reach
from evercell.core.ids import new_id
from evercell.store import schema
from evercell.store.disk_room import has_no_room, is_full, no_room, opens_only_unchanged, path_of
from evercell.store.locks import lock_schema

OLDEST_SQLITE = (3, 40, 0)
OPENING_SECONDS = 30
"""How long whoever opens a store waits for another one who makes or changes its tables."""

WAIT_SECONDS = 1
"""How long a driver waits for a lock by itself. Until it returns, nobody can interrupt it or be told anything."""


_A_REVISION = re.compile(r"(?!0000)[0-9]{4}")

_WRITES = "evercell_writes"
"""Execution option of a connection whose transactions write."""


def connect(url: str, *, create: bool = True, stuck_after: float = 30.0) -> Engine:
    """An engine on the store at ``url``, its schema made or brought up to date.

    A server ends a transaction of ours that stands still for ``stuck_after`` seconds, and gives its locks back.

    Raises `StoreUnavailable`, `StoreTooNew` or `SqliteTooOld`, each with what to do.
    """
    parsed = parse_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        _check_sqlite(parsed, shown, create=create)
    try:
        engine = _engine(parsed, stuck_after)
    except (ImportError, NoSuchModuleError) as error:
        raise StoreUnavailable(
            f"The driver for {shown} is not installed.", hint='pip install "evercell[postgres]"'
        ) from error
    try:
        with driver_errors(shown):
            _ensure_schema(engine, shown)
    except BaseException:
        engine.dispose()
        raise
    engine.dispose()  # connections that were opened for it wait longer
    event.listen(engine, "connect", _wait_briefly)
    return engine


def parse_url(url: str) -> URL:
    """The URL with the driver that evercell uses; raises `StoreUnavailable` for other databases."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreUnavailable(
            "The store's address is not a database URL.",
            hint="Use sqlite:////absolute/path.db or postgresql://user@host/database.",
        ) from error
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise StoreUnavailable(
            f"evercell does not know how to keep a store in {backend!r}.", hint="Use SQLite or PostgreSQL."
        )
    return parsed


def _check_sqlite(url: URL, shown: str, *, create: bool) -> None:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise SqliteTooOld(
            f"This Python carries SQLite {sqlite3.sqlite_version}; the store needs 3.40 or newer.",
            hint="Use a newer Python build, or a PostgreSQL store.",
        )
    if not url.database or url.database == ":memory:":
        raise StoreUnavailable(
            "A store in memory would die with the kernel.", hint="Name a file: sqlite:////absolute/path.db"
        )
    path = Path(url.database)
    if path.is_dir():
        raise StoreUnavailable(f"{path} is a folder, not a database.", hint="Name a file in it.")
    if not path.exists() and not create:
        raise StoreUnavailable(
            f"There is no store at {shown}.",
            hint="Run a notebook first, or set EVERCELL_STORE to the right one.",
        )
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise StoreUnavailable(
            f"The folder {path.parent} for the store cannot be made: {error.strerror}.",
            hint="Set EVERCELL_STORE to a place that you may write to.",
        ) from error


def _engine(url: URL, stuck_after: float) -> Engine:
    if url.get_backend_name() == "sqlite":
        if _is_read_only(Path(str(url.database))):
            # a WAL database in a folder without the right to write opens only when declared immutable
            query = {"mode": "ro", "immutable": "1", "uri": "true"}
            url = url.set(database=f"file:{url.database}", query=query)
        # autocommit mode of the driver: transactions begin where we say, in the mode we say
        engine = sa.create_engine(
            url,
            connect_args={"timeout": OPENING_SECONDS, "isolation_level": None, "check_same_thread": False},
            poolclass=sa.pool.QueuePool,
            pool_size=5,
            pool_reset_on_return=None,  # every transaction is ended by its context manager
        )
        event.listen(engine, "do_connect", _open_unchanged)
        event.listen(engine, "checkout", _open_again)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    engine = sa.create_engine(
        url, pool_size=5, pool_pre_ping=True, connect_args=_REACHABLE | {"application_name": _this_session()}
    )
    event.listen(engine, "connect", partial(_end_when_stuck, seconds=stuck_after))
    return engine


_REACHABLE = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""For libpq: a server behind a broken network is noticed within half a minute."""


def _this_session() -> str:
    """How the server shows us to whoever asks who holds a row."""
    return f"evercell on {socket.gethostname()[:30]}, process {os.getpid()}"


def _end_when_stuck(connection: Any, record: object, *, seconds: float) -> None:  # noqa: ARG001
    milliseconds = max(1000, int(1000 * seconds))
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
    connection.commit()


def _wait_briefly(connection: Any, record: object) -> None:  # noqa: ARG001
    cursor = connection.cursor()
    if isinstance(connection, sqlite3.Connection):
        cursor.execute(f"PRAGMA busy_timeout = {1000 * WAIT_SECONDS}")
    else:
        cursor.execute(f"SET lock_timeout = {1000 * WAIT_SECONDS}")
        connection.commit()
    cursor.close()


def _is_read_only(path: Path) -> bool:
    return path.exists() and not (os.access(path, os.W_OK) and os.access(path.absolute().parent, os.W_OK))


_UNCHANGED = "evercell_unchanged"


def _open_unchanged(dialect: object, record: Any, args: list[Any], options: dict[str, Any]) -> None:  # noqa: ARG001
    """On a disk without any room SQLite reads a database only if nothing is laid beside it."""
    path = Path(str(args[0]))
    if not options.get("uri") and opens_only_unchanged(path):
        args[0] = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        options["uri"] = True
        record.info[_UNCHANGED] = path


def _open_again(connection: Any, record: Any, proxy: object) -> None:  # noqa: ARG001
    """Once there is room a connection that only reads is given up for another one."""
    path = record.info.get(_UNCHANGED)
    if path is not None and not has_no_room(path):
        raise DisconnectionError


def _prepare_sqlite(connection: Any, record: object) -> None:  # noqa: ARG001
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {1000 * OPENING_SECONDS}")
    _switch_to_wal(cursor)
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()
    # damaged text is met in its row, by `rows`; the driver's own refusal would take all rows of a query along
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")


def _switch_to_wal(cursor: sqlite3.Cursor) -> None:
    """Once in a store's life. It takes the whole file for a moment, and for that SQLite does not wait by itself."""
    end = time.monotonic() + OPENING_SECONDS
    while cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" in str(error) and time.monotonic() < end:
                time.sleep(0.01)
                continue
            if "readonly" not in str(error) and "unable to open" not in str(error):
                raise
        return


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    driver: Any = connection.connection.driver_connection
    driver.execute("BEGIN IMMEDIATE" if writes else "BEGIN")


def writing(engine: Engine) -> Engine:
    """The same engine for transactions that write: SQLite takes the write lock at their beginning."""
    return engine.execution_options(**{_WRITES: True})


def snapshots(engine: Engine) -> Engine:
    """The same engine for transactions that see one moment, as those of SQLite do anyway."""
    if engine.dialect.name == "sqlite":
        return engine
    return engine.execution_options(isolation_level="REPEATABLE READ")


def _ensure_schema(engine: Engine, shown: str) -> None:
    found = _revision(engine)
    if found is None:
        _create(engine)
        found = _revision(engine)
    if found is not None and not _A_REVISION.fullmatch(found):
        raise StoreUnavailable(
            f"The store {shown} says that its schema is {found!r}, which no evercell ever wrote.",
            hint="Put it back from a backup, or set EVERCELL_STORE to another store.",
        )
    if found is not None and found > schema.REVISION:
        raise StoreTooNew(
            f"The store {shown} was written by a newer evercell (schema {found}; this one knows {schema.REVISION}).",
            hint="pip install --upgrade evercell, or set EVERCELL_STORE to another store.",
        )
    if found is not None and found < schema.REVISION:
        _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    """Bring all tables up to date in one transaction; whoever comes second at the same instant changes nothing."""
    # The one place where a kernel may import Alembic: once after an upgrade of evercell.
    from evercell.store.migrations import upgrade

    with writing(engine).begin() as connection:
        lock_schema(connection)
        upgrade(connection)
        reach("after_upgrade_before_commit")


def _revision(engine: Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
        return str(row[0]) if row else None


def _create(engine: Engine) -> None:
    """Make all tables in one transaction; whoever comes second at the same instant finds them made."""
    with writing(engine).begin() as connection:
        lock_schema(connection)
        if sa.inspect(connection).has_table("alembic_version"):
            return
        schema.metadata.create_all(connection)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ALTER TABLE packs ALTER COLUMN data SET STORAGE EXTERNAL")
        connection.execute(sa.insert(schema.meta).values(key="store_id", value=new_id()))
        connection.exec_driver_sql(
            "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
        )
        insert = sa.text("INSERT INTO alembic_version VALUES (:revision)")
        connection.execute(insert, {"revision": schema.REVISION})


@contextmanager
def driver_errors(shown: str) -> Iterator[None]:
    """The one edge where the driver's errors become ours; the cause is kept."""
    try:
        yield
    except SQLAlchemyError as error:
        raise _explained(shown, str(getattr(error, "orig", None) or error)) from error
    except OSError as error:
        if is_full(error) and (path := path_of(shown)) is not None:
            raise no_room(path) from error
        raise StoreError(
            f"A pack of the store {shown} could not be written or read: {os.strerror(error.errno or 0)}.",
            hint="Free some disk space or mend the folder; nothing was committed.",
        ) from error
    except UnicodeDecodeError as error:
        # SQLite quotes the damaged text in its message, which the driver cannot read
        raise _explained(shown, "database disk image is malformed") from error
    except UnicodeEncodeError as error:
        raise _contradicts(shown, "text in it is none") from error
    except OverflowError as error:
        raise _contradicts(shown, "a number in it is larger than any that it may hold") from error
    except Exception as error:
        if not isinstance(error, driver_error_types()):
            raise
        raise _explained(shown, str(error)) from error


def driver_error_types() -> tuple[type[Exception], ...]:
    """What the drivers that are loaded raise."""
    psycopg = sys.modules.get("psycopg")
    return (sqlite3.Error,) if psycopg is None else (sqlite3.Error, psycopg.Error)


_CONTRADICTIONS = ("constraint failed", "violates", "out of range")
"""What the databases say of what the rows that are there rule out."""


def _contradicts(shown: str, why: str) -> RowDamaged:
    return RowDamaged(
        f"What was to be committed to the store {shown} contradicts a row that is there, which is damaged: {why}. "
        "Nothing was committed.",
        hint="`evercell verify` says which. To go on in a run of your own: %branch --from STEP. Otherwise put the "
        "store back from a backup.",
    )


def _says_no_room(text: str, path: Path | None) -> bool:
    """Whether a message says that the disk is full; of SQLite's some may mean it."""
    if "disk is full" in text or "No space left" in text:
        return True
    may_mean_it = any(part in text for part in ("disk I/O error", "readonly", "unable to open"))
    return may_mean_it and path is not None and has_no_room(path)


def _server_full(shown: str, text: str) -> StoreFull:
    return StoreFull(
        f"The store {shown} cannot be written: the disk is full ({text}). Nothing was committed.",
        hint="Free some space on the database's server; the next commit then works.",
    )


def _explained(shown: str, message: str) -> StoreError:
    text = message.strip().split("\n")[0]
    path = path_of(shown)
    if _says_no_room(text, path):
        return no_room(path) if path is not None else _server_full(shown, text)
    if any(words in text for words in _CONTRADICTIONS):
        return _contradicts(shown, text)
    if "readonly" in text or "read-only" in text:
        return StoreReadOnly(
            f"The store {shown} can only be read: {text}.",
            hint="Give yourself the right to write to it (file and folder), or set EVERCELL_STORE elsewhere.",
        )
    if "malformed" in text:
        hint = "Its file is damaged: put it back from a backup, or save what can be read with `sqlite3 FILE .recover`."
    elif "not a database" in text:
        hint = "Set EVERCELL_STORE to an evercell store or to a new file."
    elif "locked" in text:
        hint = "Another process holds it; try again when it is done."
    else:
        hint = "Check that the database runs, that the address is right and that you may use it."
    return StoreUnavailable(f"The store {shown} did not answer: {text}.", hint=hint)
