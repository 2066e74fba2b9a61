"""P3, P4: a connection of SQLite comes back with its content and settings; what it does not tell is named."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from evercell.state.typerules.rebuilding import rebuilder_of
from tests.conftest import open_files
from tests.unit.state.memory import Cells, resumed

KEPT: dict[str, tuple[str, str]] = {
    "pragmas": (
        "c.execute('pragma foreign_keys = on')\nc.execute('pragma cache_size = 77')",
        "[c.execute(f'pragma {p}').fetchone()[0] for p in ('foreign_keys', 'cache_size')]",
    ),
    "how it commits": ("c.isolation_level = None", "c.isolation_level"),
    "rows": ("c.row_factory = lambda cursor, row: {'a': row[0]}", "c.execute('select 5').fetchone()"),
    "text": ("c.text_factory = bytes", "c.execute(\"select 'x'\").fetchone()"),
    "limits": ("c.setlimit(sqlite3.SQLITE_LIMIT_COLUMN, 9)", "c.getlimit(sqlite3.SQLITE_LIMIT_COLUMN)"),
    "a temporary table": (
        "c.execute('create temp table t(x, y)')\nc.execute('insert into t values (1, null)')\nc.commit()",
        "c.execute('select * from t').fetchall()",
    ),
    "an index and a view of one": (
        "c.execute('create temp table t(x)')\nc.execute('create index temp.i on t(x)')\n"
        "c.execute('create temporary view v as select x + 1 from t')\nc.execute('insert into t values (1)')\n"
        "c.commit()",
        "c.execute('select * from v').fetchall()",
    ),
    "a database in memory that is attached": (
        "c.execute(\"attach ':memory:' as other\")\nc.execute('create table other.t(x)')\n"
        "c.execute('insert into other.t values (3)')\nc.commit()",
        "c.execute('select * from other.t').fetchall()",
    ),
    "types by declaration": (
        "c.close(); c = sqlite3.connect(WHERE, detect_types=sqlite3.PARSE_DECLTYPES)\n"
        "sqlite3.register_converter('twice', lambda b: 2 * int(b))\n"
        "c.execute('create table if not exists tw(x twice)')\nc.execute('insert into tw values (4)')\nc.commit()",
        "c.execute('select * from tw').fetchone()",
    ),
    "types by name": (
        "c.close(); c = sqlite3.connect(WHERE, detect_types=sqlite3.PARSE_COLNAMES)\n"
        "sqlite3.register_converter('twice', lambda b: 2 * int(b))",
        "c.execute('select 3 as \"x [twice]\"').fetchone()",
    ),
    "other threads": (
        "c.close(); c = sqlite3.connect(WHERE, check_same_thread=False)",
        "(lambda seen: (lambda t: (t.start(), t.join(), seen[0]))(__import__('threading').Thread("
        "target=lambda: seen.append(c.execute('select 1').fetchone()))))([])[2]",
    ),
    "a cursor": (
        "cu = c.cursor(); cu.arraysize = 5",
        "[cu.connection is c, cu.arraysize, cu.execute('select 6').fetchone()]",
    ),
}


@pytest.mark.parametrize("where", [":memory:", "file.db"])
@pytest.mark.parametrize(("source", "asked"), KEPT.values(), ids=KEPT)
def test_it_is_what_it_was(
    where: str, source: str, asked: str, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    cells = Cells()
    cells.variables["WHERE"] = where
    cells.step("s", f"import sqlite3\nc = sqlite3.connect(WHERE)\n{source}")
    assert cells.missing == []
    fresh = resumed(cells)
    assert eval(asked, fresh.variables) == eval(asked, cells.variables)
    for one in (fresh, cells):
        one["c"].close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="how a file is open is told by /proc alone")
def test_what_was_opened_for_reading_only_is_again(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "x.db").execute("create table t(x)").connection.close()
    cells = Cells()
    cells.step("s", f"import sqlite3\nc = sqlite3.connect('file:{tmp_path}/x.db?mode=ro', uri=True)")
    fresh = resumed(cells)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        fresh["c"].execute("insert into t values (1)")
    for one in (fresh, cells):
        one["c"].close()


LOST = {
    "a function": ("c.create_function('twice', 1, lambda x: 2 * x)", "SQLite does not tell twice"),
    "an aggregate": (
        "class A:\n    def step(self, x): pass\n    def finalize(self): return 1\nc.create_aggregate('mine', 1, A)",
        "SQLite does not tell mine",
    ),
    "a collation": ("c.create_collation('theirs', lambda a, b: 0)", "SQLite does not tell theirs"),
    "an authorizer": ("c.set_authorizer(lambda *a: 0)", "callbacks of sqlite3.Connection"),
    "a trace": ("c.set_trace_callback(lambda s: None)", "callbacks of sqlite3.Connection"),
    "a cursor's last statement": ("cu = c.execute('select 1 as x'); cu.fetchall()", "keep description"),
    "a cursor's rows": (
        "cu = c.execute('select 1 union select 2'); cu.fetchone()", "in the middle of its rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("source", "said"), LOST.values(), ids=LOST)
def test_what_it_does_not_tell_is_named_and_the_rest_is_kept(source: str, said: str) -> None:
    cells = Cells()
    cells.step(
        "s",
        f"import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('create table t(x)')\n{source}",
    )
    assert len(cells.missing) == 1 and said in cells.missing[0], cells.missing
    fresh = resumed(cells)
    assert fresh["c"].execute("select count(*) from t").fetchone() == (0,)
    for one in (fresh, cells):
        one["c"].close()


def test_to_ask_a_function_that_is_gone_is_an_error() -> None:
    cells = Cells()
    cells.step("s", f"import sqlite3\nc = sqlite3.connect(':memory:')\n{LOST['a function'][0]}")
    fresh = resumed(cells)
    with pytest.raises(sqlite3.OperationalError, match="no such function: twice"):
        fresh["c"].execute("select twice(1)")
    for one in (fresh, cells):
        one["c"].close()


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="what is open is told by /proc alone")
def test_one_that_does_not_come_back_leaves_no_file_open(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("attach ? as other", (str(tmp_path / "y.db"),))
        connection.execute("create table other.t(x)")
        rebuild = rebuilder_of(type(connection))
        assert rebuild is not None
        make, arguments = rebuild(connection)
    (tmp_path / "y.db").unlink()
    with pytest.raises(sqlite3.OperationalError, match=r"unable to open .*y\.db") as raised:
        make(*arguments)
    assert raised.value.__traceback__ is not None, "which has what was made until then"
    assert open_files(tmp_path) == []
