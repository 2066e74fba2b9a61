"""What a step costs: the latency that ``%%step`` adds to a trivial cell, in commits of the same database.

    python -m bench.steps [--steps 10000] [--window 100] [--json] [--postgres URL] [--folder DIR]

Two real kernels, one of them with evercell loaded. Inside the two windows (the first and the last cells of
one run) every step cell is followed by the same cell in the plain kernel and by one bare ``INSERT`` +
``COMMIT`` on the same database, so that all three meet the same moments of the machine. Added latency is step
minus plain, pair by pair, from sending the request until both the reply and *idle* are there. Milliseconds
depend on the disk, so the result that counts is their ratio to the bare commit.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any
from unittest.mock import patch

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

TARGET_COMMITS = 6.0
"""The median step may add as much as so many bare commits."""

TARGET_GROWTH = 1.3
"""The last window's median may be so many times the first one's."""

WARM_UP = 5
"""Cells that both kernels execute before anything counts."""

REPLY_SECONDS = 120.0

Commit = Callable[[], None]


class BenchError(Exception):
    """The measurement could not be made."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One cell measured three ways, in seconds."""

    step: float
    plain: float
    commit: float

    @property
    def added(self) -> float:
        return self.step - self.plain


@dataclass(frozen=True, slots=True)
class Window:
    """What neighbouring steps say: times in milliseconds, and multiples of the median bare commit."""

    first_step: int
    last_step: int
    plain_p50: float
    commit_p50: float
    commit_p95: float
    added_p50: float
    added_p95: float
    added_p50_commits: float
    added_p95_commits: float


@dataclass(frozen=True, slots=True)
class Report:
    """Both ends of the run."""

    database: str
    is_baseline: bool
    first: Window
    last: Window

    @property
    def growth(self) -> float:
        """Median added latency of the last window over that of the first, both in milliseconds."""
        return self.last.added_p50 / self.first.added_p50

    @property
    def meets_target(self) -> bool:
        dearest = max(self.first.added_p50_commits, self.last.added_p50_commits)
        return dearest <= TARGET_COMMITS and self.growth <= TARGET_GROWTH

    def as_json(self) -> dict[str, object]:
        """For ``--json``. A baseline adds nothing that could grow or miss a target."""
        if self.is_baseline:
            return asdict(self)
        target = {"commits": TARGET_COMMITS, "growth": TARGET_GROWTH, "met": self.meets_target}
        return {**asdict(self), "growth": self.growth, "target": target}


# -- arithmetic ----------------------------------------------------------------------------------


def percentile(values: Sequence[float], fraction: float) -> float:
    """The smallest value that ``fraction`` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]


def summarise(samples: Sequence[Sample], *, first_step: int) -> Window:
    """Medians and 95th percentiles of a window that begins at ``first_step``."""
    added = [1000 * sample.added for sample in samples]
    commits = [1000 * sample.commit for sample in samples]
    bare = statistics.median(commits)
    p50, p95 = statistics.median(added), percentile(added, 0.95)
    return Window(
        first_step=first_step,
        last_step=first_step + len(samples) - 1,
        plain_p50=statistics.median(1000 * sample.plain for sample in samples),
        commit_p50=bare,
        commit_p95=percentile(commits, 0.95),
        added_p50=p50,
        added_p95=p95,
        added_p50_commits=p50 / bare,
        added_p95_commits=p95 / bare,
    )


# -- kernels -------------------------------------------------------------------------------------


@contextmanager
def temporary_home(folder: Path) -> Iterator[None]:
    """An environment in which Jupyter, IPython and evercell know nothing of the user's own."""
    ours = {
        name: str(folder / name.lower())
        for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    }
    foreign = [name for name in os.environ if name.startswith("EVERCELL_") or name == "JPY_SESSION_NAME"]
    with patch.dict(os.environ, ours):
        for name in foreign:
            del os.environ[name]
        yield


@contextmanager
def kernel(**environment: str) -> Iterator[BlockingKernelClient]:
    """A client of a fresh kernel; the kernel is gone afterwards, whatever happened."""
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**os.environ, **environment})
    client = manager.blocking_client()
    try:
        client.start_channels()
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def execute(client: BlockingKernelClient, code: str) -> float:
    """Execute a cell as a front end does; returns the seconds until both its reply and idle were there."""
    began = perf_counter()
    msg_id = client.execute(code)
    reply = _await(client.get_shell_msg, msg_id, "execute_reply", code)
    while _await(client.get_iopub_msg, msg_id, "status", code)["content"]["execution_state"] != "idle":
        pass
    took = perf_counter() - began
    content = reply["content"]
    if content["status"] != "ok":
        raise BenchError(f"The cell {code!r} failed: {content.get('ename')}: {content.get('evalue')}")
    return took


def _await(receive: Callable[..., dict[str, Any]], msg_id: str, kind: str, code: str) -> dict[str, Any]:
    """The next message of a kind that answers ``msg_id``."""
    while True:
        try:
            message = receive(timeout=REPLY_SECONDS)
        except Exception as error:
            raise BenchError(f"The cell {code!r} brought no {kind} within {REPLY_SECONDS:.0f} s.") from error
        if message["parent_header"].get("msg_id") == msg_id and message["msg_type"] == kind:
            return message


# -- databases -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Database:
    """The database of the store, seen without evercell."""

    name: str
    commit: Commit
    """One bare INSERT + COMMIT into a table of ours."""
    count_steps: Callable[[], int]
    """How many completed steps the store really holds."""


@contextmanager
def sqlite_database(path: Path) -> Iterator[Database]:
    """A raw connection to the store's file, as durable as the store's own: WAL, synchronous FULL."""
    with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE bench (id INTEGER PRIMARY KEY, note TEXT NOT NULL)")

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT INTO bench (note) VALUES ('a bare commit')")
            connection.execute("COMMIT")

        def count_steps() -> int:
            return int(
                connection.execute("SELECT count(*) FROM checkpoints WHERE step <> ':cells'").fetchone()[0]
            )

        yield Database(f"SQLite {sqlite3.sqlite_version}", commit, count_steps)


@contextmanager
def postgres_database(url: str) -> Iterator[Database]:
    """A raw connection to the store's database; our table is dropped afterwards, the store's own stay."""
    try:
        import psycopg
    except ImportError as error:
        raise BenchError('PostgreSQL needs its driver: pip install "evercell[postgres]"') from error
    with psycopg.connect(
        url.replace("postgresql+psycopg://", "postgresql://", 1), autocommit=True
    ) as connection:
        before = _count_checkpoints(connection)
        connection.execute("DROP TABLE IF EXISTS evercell_bench")
        connection.execute("CREATE TABLE evercell_bench (id BIGSERIAL PRIMARY KEY, note TEXT NOT NULL)")

        def commit() -> None:
            connection.execute("INSERT INTO evercell_bench (note) VALUES ('a bare commit')")

        version = connection.execute("SHOW server_version").fetchone()
        try:
            name = f"PostgreSQL {version[0] if version else ''}"
            yield Database(name, commit, lambda: _count_checkpoints(connection) - before)
        finally:
            connection.execute("DROP TABLE IF EXISTS evercell_bench")


def _count_checkpoints(connection: Any) -> int:
    if connection.execute("SELECT to_regclass('checkpoints')").fetchone()[0] is None:
        return 0
    return int(connection.execute("SELECT count(*) FROM checkpoints WHERE step <> ':cells'").fetchone()[0])


# -- the measurement -----------------------------------------------------------------------------


def measure(
    steps_kernel: BlockingKernelClient,
    plain_kernel: BlockingKernelClient,
    commit: Commit,
    *,
    steps: int,
    window: int,
    header: Callable[[int], str],
    progress: Callable[[int], None],
) -> tuple[Window, Window]:
    """Execute ``steps`` step cells in one run, measuring the first and the last ``window`` of them."""

    def sample(number: int) -> Sample:
        body = f"x = {number}"
        return Sample(
            step=execute(steps_kernel, header(number) + body),
            plain=execute(plain_kernel, body),
            commit=_timed(commit),
        )

    for number in range(WARM_UP):
        for client in (steps_kernel, plain_kernel):
            execute(client, f"x = -{number}")
        commit()
    first = [sample(number) for number in range(1, window + 1)]
    for number in range(window + 1, steps - window + 1):
        execute(steps_kernel, f"{header(number)}x = {number}")
        progress(number)
    last_begins = steps - window + 1
    last = [sample(number) for number in range(last_begins, steps + 1)]
    return summarise(first, first_step=1), summarise(last, first_step=last_begins)


def _timed(action: Commit) -> float:
    began = perf_counter()
    action()
    return perf_counter() - began


def run_bench(
    *,
    steps: int,
    window: int,
    postgres: str | None,
    folder: Path | None,
    baseline: bool,
    progress: Callable[[int], None],
) -> Report:
    """Start both kernels, measure, and check in the database that what was measured did happen."""
    with ExitStack() as stack:
        # the last kernel to go may still write its history
        where = tempfile.TemporaryDirectory(prefix="evercell-bench-", dir=folder, ignore_cleanup_errors=True)
        home = Path(stack.enter_context(where))
        stack.enter_context(temporary_home(home))
        store = home / "store.db"
        url = postgres or f"sqlite:///{store}"
        steps_kernel = stack.enter_context(kernel(EVERCELL_STORE=url, IPYTHONDIR=str(home / "ipython-steps")))
        plain_kernel = stack.enter_context(kernel(IPYTHONDIR=str(home / "ipython-plain")))
        if not baseline:
            execute(steps_kernel, "%load_ext evercell")
        database = stack.enter_context(postgres_database(postgres) if postgres else sqlite_database(store))
        first, last = measure(
            steps_kernel,
            plain_kernel,
            database.commit,
            steps=steps,
            window=window,
            header=(lambda _: "") if baseline else (lambda number: f"%%step s{number}\n"),
            progress=progress,
        )
        if not baseline and (found := database.count_steps()) != steps:
            raise BenchError(
                f"{steps} step cells were executed, but the store holds {found} completed steps."
            )
        return Report(database.name, baseline, first, last)


# -- output --------------------------------------------------------------------------------------


def as_table(report: Report) -> str:
    """The report as a small table."""
    lines = [
        f"{report.database}; latency that %%step adds to a trivial cell, in ms",
        "",
        f"{'steps':>16}  {'plain cell':>10}  {'bare commit':>17}  {'added':>17}  {'in bare commits':>15}",
        f"{'':>16}  {'p50':>10}  {'p50':>8} {'p95':>8}  {'p50':>8} {'p95':>8}  {'p50':>7} {'p95':>7}",
    ]
    for part in (report.first, report.last):
        steps = f"{part.first_step:,}-{part.last_step:,}"
        lines.append(
            f"{steps:>16}  {part.plain_p50:>10.2f}  {part.commit_p50:>8.3f} {part.commit_p95:>8.3f}  "
            f"{part.added_p50:>8.3f} {part.added_p95:>8.3f}  "
            f"{part.added_p50_commits:>7.1f} {part.added_p95_commits:>7.1f}"
        )
    if report.is_baseline:
        return "\n".join(
            [*lines, "", "baseline: no evercell in either kernel; this is the noise of the method"]
        )
    verdict = "met" if report.meets_target else "MISSED"
    lines += [
        "",
        f"last / first, added p50: {report.growth:.2f}",
        f"target, added p50 at both ends: at most {TARGET_COMMITS:g} bare commits, "
        f"and last / first at most {TARGET_GROWTH:g}: {verdict}",
    ]
    return "\n".join(lines)


def show_progress(number: int) -> None:
    """A counter on a terminal, nothing elsewhere."""
    if sys.stderr.isatty() and number % 100 == 0:
        print(f"\r{number:,} steps", end="", file=sys.stderr, flush=True)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.steps",
        description="Latency that %%step adds to a trivial cell, in bare commits.",
    )
    parser.add_argument(
        "--steps", type=int, default=10_000, metavar="N", help="step cells in the run (10000)"
    )
    parser.add_argument(
        "--window", type=int, default=100, metavar="N", help="cells measured at each end (100)"
    )
    parser.add_argument(
        "--postgres", metavar="URL", help="measure on this PostgreSQL database instead of SQLite"
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="disk to measure on (the system's temporary folder)"
    )
    parser.add_argument(
        "--baseline", action="store_true", help="load no evercell: shows the noise of the measurement itself"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    given = parser.parse_args(arguments)
    if given.window < 1 or given.steps < 2 * given.window:
        parser.error(f"--steps {given.steps} has no room for two windows of {given.window}")
    return given


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the measurement and print it; 1 if it could not be made."""
    given = parse_arguments(arguments)
    try:
        report = run_bench(
            steps=given.steps,
            window=given.window,
            postgres=given.postgres,
            folder=given.folder,
            baseline=given.baseline,
            progress=show_progress,
        )
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if sys.stderr.isatty():
            print("\r", end="", file=sys.stderr)
    print(json.dumps(report.as_json(), indent=2) if given.json else as_table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
