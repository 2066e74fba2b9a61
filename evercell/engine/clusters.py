"""Dask clusters, to which runs and calls are handed: their addresses as they are typed, and what may travel there."""

from __future__ import annotations

import os
import socket
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from evercell.core.errors import UsageError

_PORT = 8786
"""Where a scheduler of Dask listens, unless it was told otherwise."""

_SCHEMES = {"dask": "tcp", "dask+tls": "tls", "tcp": "tcp", "tls": "tls"}

_TRAVELS = {"host", "port", "sslmode"}
"""Of a URL's options: what says where a database is, and no more."""

THIS_CLUSTER = "EVERCELL_CLUSTER"
"""In the environment of a run that a cluster executes: the address of its scheduler."""

CONNECT_SECONDS = 5
"""How long a scheduler may take to answer."""

_FORMS = (
    "It is `local`, `local:4` (so many runs at once), or dask://HOST:8786, where a Dask scheduler listens."
)


@dataclass(frozen=True, slots=True)
class ClusterAddress:
    """A cluster that is there already, or one to be made on this machine."""

    scheduler: str | None = None
    """As Dask writes it; None: a cluster of our own, on this machine."""
    workers: int = 1
    """How many a cluster of our own has."""
    resource: str | None = None
    """What a worker must offer to be given runs (``dask worker --resources runs=2``); None: any worker will do."""

    def __str__(self) -> str:
        """As `parse_cluster` reads it."""
        if self.scheduler is None:
            return f"local:{self.workers}"
        scheme, _, where = self.scheduler.partition("://")
        option = f"?resource={self.resource}" if self.resource else ""
        return f"{'dask+tls' if scheme == 'tls' else 'dask'}://{where}{option}"


def parse_cluster(text: str) -> ClusterAddress:
    """The cluster that ``--on`` names. Raises `UsageError` with the forms that there are."""
    if text == "local" or text.startswith("local:"):
        return ClusterAddress(workers=_number(text.partition(":")[2], text))
    try:
        parts = urlsplit(text)
        scheme, host, port = _SCHEMES[parts.scheme], parts.hostname, parts.port
    except (KeyError, ValueError):
        raise _unreadable(text) from None
    options = dict(parse_qsl(parts.query))
    if not host or parts.username or parts.path.strip("/") or set(options) - {"resource"}:
        raise _unreadable(text)
    where = f"[{host}]" if ":" in host else host
    return ClusterAddress(f"{scheme}://{where}:{port or _PORT}", resource=options.get("resource"))


def _number(text: str, whole: str) -> int:
    if not text:
        return os.cpu_count() or 1
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise _unreadable(whole)
    return int(text)


def _unreadable(text: str) -> UsageError:
    shown = "..." if "@" in text else text  # with a password, perhaps
    return UsageError(f"This names no cluster: {shown!r}.", hint=_FORMS)


def url_to_travel(store_url: str) -> str:
    """A store's URL as others may see it: where the database is, and who asks; no password, no key."""
    parts = urlsplit(store_url)
    who, at, where = parts.netloc.rpartition("@")
    options = [(name, value) for name, value in parse_qsl(parts.query) if name in _TRAVELS]
    # (urlunsplit leaves out the empty place of a host, which a socket's URL has)
    address = f"{parts.scheme}://{who.partition(':')[0]}{at}{where}{parts.path}"
    return address + (f"?{urlencode(options, safe='/')}" if options else "")


def require_reachable(address: ClusterAddress, store_url: str) -> None:
    """Raise `UsageError` for a store that workers on other machines cannot open."""
    if address.scheduler is not None and urlsplit(store_url).scheme.startswith("sqlite"):
        raise UsageError(
            "This store is an SQLite file, and workers on other machines cannot share it.",
            hint="Keep runs of a fleet in PostgreSQL: set EVERCELL_STORE here and for the workers to its URL. "
            "On one machine: --on local.",
        )


def require_dask() -> None:
    """Raise `UsageError` where Dask is not installed."""
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise UsageError("Dask is not installed here.", hint='pip install "evercell[dask]"') from error


@contextmanager
def dask_loop() -> Iterator[Any]:
    """A loop in a thread of its own, for clients of Dask: one that has lost its scheduler leaves its own behind."""
    from tornado.ioloop import IOLoop

    made: Future[IOLoop] = Future()

    def run() -> None:
        loop = IOLoop(make_current=True)
        loop.add_callback(made.set_result, loop)
        loop.start()
        loop.close()

    thread = threading.Thread(target=run, name="evercell-dask", daemon=True)
    thread.start()
    loop = made.result()
    try:
        yield loop
    finally:
        loop.add_callback(loop.stop)
        thread.join()


def connect(scheduler: Any, loop: Any) -> Any:
    """A client of Dask on a scheduler (or a cluster of our own). Raises `OSError` where none answers."""
    from distributed import Client

    if isinstance(scheduler, str):
        _knock(scheduler)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions that differ in some detail
        return Client(  # type: ignore[no-untyped-call]
            scheduler, loop=loop, timeout=CONNECT_SECONDS, set_as_default=False, name="evercell"
        )


def leave(opened: Any) -> None:
    """Close a client of Dask, or a cluster of our own. (One that reconnects raises, for its connections are closed
    under it; what there was to close is closed.)
    """
    with suppress(OSError, RuntimeError):
        opened.close()


def _knock(scheduler: str) -> None:
    """Raise `OSError` where nobody listens."""
    parts = urlsplit(scheduler)
    socket.create_connection((str(parts.hostname), parts.port or _PORT), timeout=CONNECT_SECONDS).close()


@contextmanager
def executor_of(executor: Executor | str | None) -> Iterator[Executor | None]:
    """An executor as it is, or that of the cluster which a text names: ``dask`` is the one that this run is on.

    Raises `UsageError` where it names none, or none answers.
    """
    if executor is None or not isinstance(executor, str):
        yield executor
        return
    require_dask()
    address = _named(executor)
    with dask_loop() as loop:
        try:
            client = connect(address.scheduler, loop)
        except OSError as error:
            raise UsageError(
                f"No Dask scheduler answers at {address}.",
                hint="Start it: dask scheduler; or leave executor= out.",
            ) from error
        try:
            yield client.get_executor()
        finally:
            leave(client)


def _named(text: str) -> ClusterAddress:
    if text == "dask":
        text = os.environ.get(THIS_CLUSTER, "")
        if not text:
            raise UsageError(
                "This kernel was not started by a cluster.", hint="Name one: executor='dask://HOST:8786'."
            )
    address = parse_cluster(text)
    if address.scheduler is None:
        raise UsageError(
            f"{text!r} names no cluster that is there.", hint="Leave executor= out: calls run here."
        )
    return address
