"""P1, P2: durable calls on a cluster, and while the database is away."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

import evercell
import evercell.aio
from evercell.testing import Durable
from tests.commands import run_program
from tests.conftest import Counter, postgres_database
from tests.forked import Forked
from tests.kernels import Kernel

NewKernel = Callable[..., Kernel]


def fragile(item: tuple[str, int]) -> int:
    """Kills the worker that it runs on, the first time that it meets 3."""
    path, n = item
    with Path(path).open("a") as file:
        print(n, file=file)
    if n == 3 and Path(path).read_text().split().count("3") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return n * n


@pytest.fixture
def cluster() -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from distributed import Client, LocalCluster

        made = LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None)
        client = Client(made)
        yield client
        client.close()
        made.close()


@pytest.mark.filterwarnings("ignore")
def test_a_worker_that_is_killed_in_the_middle_of_a_call_costs_one_retry(
    durable: Durable, cluster: Any, tmp_path: Path
) -> None:
    path = str(tmp_path / "effects.txt")

    def work() -> list[int]:
        items = [(path, n) for n in range(8)]
        squares: list[int] = evercell.map(fragile, items, executor=cluster.get_executor(), progress=False)
        return squares

    assert durable.step("work", work) == [n * n for n in range(8)]
    words = Counter(Path(path)).words()
    assert words.count("3") == 2 and set(words) == {str(n) for n in range(8)}
    assert durable.step("work", work) == [n * n for n in range(8)]
    assert Counter(Path(path)).words() == words, "nothing is called again"


def square(n: int) -> int:
    return n * n


async def _squares(named: str) -> list[int]:
    return await evercell.aio.map(square, [3, 4], executor=named, progress=False)


@pytest.mark.filterwarnings("ignore")
def test_calls_are_mapped_over_the_cluster_of_an_address(
    durable: Durable, cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = cluster.scheduler.address.replace("tcp://", "dask://")
    assert durable.step("named", lambda: evercell.map(square, [1, 2], executor=address, progress=False)) == [
        1,
        4,
    ]
    monkeypatch.setenv("EVERCELL_CLUSTER", cluster.scheduler.address)
    assert asyncio.run(_squares("dask")) == [9, 16], "that of the worker which executes the run"


@pytest.mark.postgres
def test_a_database_that_goes_away_is_waited_for(
    postgres_server: str, tmp_path: Path, counter: Counter, request: pytest.FixtureRequest
) -> None:
    databases = postgres_database(postgres_server)
    url = next(databases)
    name = make_url(url).database
    environ = {"EVERCELL_STORE": url, "EVERCELL_NOTEBOOK": str(tmp_path / "nb.ipynb")}
    kernel = Kernel(cwd=tmp_path, environ=environ)
    gone, file = threading.Event(), tmp_path / "gone"

    def take_away(kind: str, content: dict[str, Any]) -> None:
        """When the cell says that it is half way: no connection lives, none can be made; later they can."""
        text = content.get("text", "") + content.get("data", {}).get("text/plain", "") if content else ""
        with psycopg.connect(postgres_server, autocommit=True) as admin:
            if "half way" in text and not gone.is_set():
                gone.set()
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
                admin.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
                )
                file.touch()
            elif "waiting for the store" in text:
                admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    try:
        kernel.run("%load_ext evercell")
        kernel.run(f"import evercell\n@evercell.step\ndef act(n):\n    {counter.cell('act')}\n    return n")
        # the cell waits, no longer than `run` lets it, for the file that says that the store is gone
        shown = kernel.run(
            "%%step a\nimport os, time\ntotal = 0\nfor n in range(20):\n    total += act(n)\n"
            "    if n == 9:\n        print('half way', flush=True)\n"
            f"        while not os.path.exists({str(file)!r}): time.sleep(0.01)",
            on_message=take_away,
        )
        assert shown.status == "ok", shown.error
        assert gone.is_set() and "waiting for the store" in shown.notes
        assert kernel.value("total") == sum(range(20)) and counter.times("act") == 20
    finally:
        kernel.shut_down()
    next(databases, None)


def test_cancel_with_undo_from_the_command_line(
    new_kernel: NewKernel, store_url: str, counter: Counter, tmp_path: Path
) -> None:
    kernel = new_kernel()
    write = f"    with open({str(counter.path)!r}, 'a') as f: print"
    kernel.run(
        f"import evercell\ndef unbook(result, n):\n{write}('undo', n, sep='', file=f)\n"
        f"@evercell.step(undo=unbook)\ndef book(n):\n{write}('book', n, sep='', file=f)\n"
    )
    kernel.run("%%step a\nbook(1); book(2)")
    command = [
        str(Path(sys.executable).with_name("evercell")),
        "--store",
        store_url,
        "cancel",
        "nb-1",
        "--undo",
    ]
    done = run_program(command, capture_output=True, text=True, timeout=120)
    assert "undone: book#1 of step a" in done.stdout, done.stderr
    assert counter.words() == ["book1", "book2", "undo2", "undo1"]
    shown = kernel.run("%%step b\nx = 1")
    assert shown.status == "error" and "cancelled" in shown.error, "the living kernel is off the run"


def test_undoing_without_a_kernel_says_so_and_leaves_the_run_as_it_was(
    new_kernel: NewKernel, store_url: str, home: Path
) -> None:
    kernel = new_kernel()
    kernel.run("%%step a\nx = 1")
    startup = home / "ipythondir" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "00-no-kernel.py").write_text("import os\nos._exit(1)\n")
    command = [
        str(Path(sys.executable).with_name("evercell")),
        "--store",
        store_url,
        "cancel",
        "nb-1",
        "--undo",
    ]
    failed = run_program(command, capture_output=True, text=True, timeout=120, check=False)
    assert failed.returncode == 1
    assert "No kernel to undo run nb-1 in" in failed.stderr and "Try again" in failed.stderr
    (startup / "00-no-kernel.py").unlink()
    done = run_program(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("variant", ["sync", "async", "plain"])
def test_a_cancellation_reaches_the_call_under_way(
    new_kernel: NewKernel, store_url: str, counter: Counter, variant: str
) -> None:
    kernel = new_kernel()
    wait = "await asyncio.sleep(60)" if variant == "async" else "time.sleep(60)"
    kernel.run(
        "import asyncio, evercell, time\n@evercell.step\n"
        f"{'async ' * (variant == 'async')}def act():\n    try:\n"
        f"        print('under way', flush=True)\n        {wait}\n"
        f"    finally: {counter.cell('cleaned')}\n"
    )
    kernel.run("%%step first\nx = 1")
    cancelling: list[subprocess.Popen[str]] = []

    def cancel(kind: str, content: dict[str, Any]) -> None:
        if "under way" in content.get("text", ""):
            command = [
                str(Path(sys.executable).with_name("evercell")),
                "--store",
                store_url,
                "cancel",
                "nb-1",
            ]
            cancelling.append(Forked(command, stdout=subprocess.PIPE, text=True))

    header = "" if variant == "plain" else "%%step long\n"
    shown = kernel.run(f"{header}{'await ' * (variant == 'async')}act()", on_message=cancel)
    assert shown.status == "error"
    said, _ = cancelling[0].communicate(timeout=60)
    assert cancelling[0].returncode == 0 and "nb-1 is cancelled" in said
    assert counter.times("cleaned") == 1
    after = kernel.run("%%step next\ny = 1")
    assert "cancelled" in after.error and "branch" in after.error
