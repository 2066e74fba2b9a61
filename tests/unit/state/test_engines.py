"""P3: an engine of SQLAlchemy comes back with the settings of its pool, its arguments and its listeners."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.state.memory import Cells, resumed

URL = "'postgresql+psycopg://u:typed-password@h/d'"
KEPT = {
    "the size of its pool": (
        f"e = sa.create_engine({URL}, pool_size=3, max_overflow=1, pool_timeout=5, pool_recycle=9, pool_use_lifo=True)",
        "(e.pool.size(), e.pool._max_overflow, e.pool._timeout, e.pool._recycle, e.pool._pool.use_lifo)",
    ),
    "how a connection is tried and given back": (
        f"e = sa.create_engine({URL}, pool_pre_ping=True, pool_reset_on_return='commit')",
        "(e.pool._pre_ping, e.pool._reset_on_return)",
    ),
    "another pool": (f"e = sa.create_engine({URL}, poolclass=sa.NullPool)", "type(e.pool)"),
    "what it logs": (
        f"e = sa.create_engine({URL}, echo='debug', hide_parameters=True, logging_name='x')",
        "(e.echo, e.hide_parameters, e.logging_name)",
    ),
    "how it executes": (
        f"e = sa.create_engine({URL}, isolation_level='SERIALIZABLE', execution_options={{'a': 1}})",
        "(e.dialect._on_connect_isolation_level, e.get_execution_options())",
    ),
    "arguments": (
        f"e = sa.create_engine({URL}, connect_args={{'connect_timeout': 3, 'password': 'typed-password'}})",
        "(lambda f: dict(zip(f.__code__.co_freevars, f.__closure__))['cparams'].cell_contents['connect_timeout'])"
        "(e.pool._creator)",
    ),
    "what makes its connections": (
        f"def connect(): return 5\ne = sa.create_engine({URL}, creator=connect)", "e.pool._creator_arg is connect",
    ),
    "an asynchronous one": (
        "from sqlalchemy.ext.asyncio import create_async_engine\n"
        f"e = create_async_engine({URL}, pool_size=2, poolclass=sa.AsyncAdaptedQueuePool)",
        "(type(e.pool), e.pool.size(), e.url.password)",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "asked"), KEPT.values(), ids=KEPT)
def test_its_settings_are_what_they_were(source: str, asked: str) -> None:
    cells = Cells()
    cells.step("s", f"import sqlalchemy as sa\n{source}")
    assert cells.missing == []
    fresh = resumed(cells)
    assert eval(asked, fresh.variables) == eval(asked, cells.variables)
    assert b"typed-password" not in b"".join(bytes(c.data) for c in cells.memory.chunks.values())


def test_its_listeners_go_on_listening(tmp_path: Path) -> None:
    cells = Cells()
    cells.step(
        "s",
        f"import sqlalchemy as sa\nheard = []\ne = sa.create_engine('sqlite:///{tmp_path}/x.db')\n"
        "@sa.event.listens_for(e, 'connect')\n"
        "def on_connect(connection, record): connection.execute('pragma foreign_keys = on')\n"
        "@sa.event.listens_for(e, 'before_cursor_execute')\n"
        "def before(conn, cursor, statement, *rest): heard.append(statement)\n"
        "def instead(conn, cursor, statement, parameters, *rest): return statement.replace('1', '2'), parameters\n"
        "sa.event.listen(e, 'before_cursor_execute', instead, retval=True)",
    )
    assert cells.missing == []
    fresh = resumed(cells)
    with fresh["e"].connect() as connection:
        assert connection.exec_driver_sql("pragma foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("select 1").scalar() == 2
    assert fresh["heard"][-1] == "select 1" and len(cells["heard"]) == 0
    fresh["e"].dispose()
    cells["e"].dispose()
