"""The fleet: runs are handed to the workers of a Dask cluster, each of which starts the kernel on its own host.

Dask decides where, notices workers that died, and tries elsewhere. What is to run, and what became of it, is in the
store alone: a scheduler that lost its memory, or a delivery that came twice, changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Any

from evercell.core.errors import FleetAway
from evercell.core.ids import new_id
from evercell.core.text import one_line
from evercell.engine.clusters import (
    CONNECT_SECONDS,
    ClusterAddress,
    connect,
    dask_loop,
    leave,
    require_dask,
    require_reachable,
    url_to_travel,
)
from evercell.headless.fleet_task import PROBLEMS, Answer, execute_on_worker

if TYPE_CHECKING:
    from distributed import Client, Future

log = logging.getLogger("evercell.fleet")


class Fleet:
    """A Dask cluster that executes runs for `evercell serve`. One that went away, and came back empty, is used anew."""

    def __init__(self, address: ClusterAddress, store_url: str) -> None:
        """Nothing is connected yet. Raises `UsageError` without Dask, or where workers cannot share the store."""
        require_dask()
        require_reachable(address, store_url)
        self._address = address
        self._store_url = store_url if address.scheduler is None else url_to_travel(store_url)
        self._opened = ExitStack()
        self._loop: Any = None
        self._client: Client | None = None
        self._cluster: Any = None
        self._futures: dict[str, Future[Any]] = {}

    @property
    def runs_on(self) -> str:
        """The cluster's address, for people."""
        return str(self._address)

    def start(self, run_id: str) -> None:
        """Hand a run to the cluster. Raises `FleetAway` where its scheduler does not answer."""
        client = self._connected()
        resource = {self._address.resource: 1} if self._address.resource else None
        # of each delivery: what Dask remembers of an earlier one is past
        key = f"evercell-{run_id}-{new_id()}"
        with _away(self._address):
            self._futures[run_id] = client.submit(
                execute_on_worker, run_id, self._store_url, key=key, pure=False, resources=resource
            )

    def alive(self) -> frozenset[str]:
        """The runs that Dask has in hand: those that wait for a worker, and those on one.

        While its scheduler does not answer nobody knows: what was handed to it counts. Of one that came back empty no
        former run is alive.
        """
        try:
            if self._futures:
                self._connected()
        except FleetAway:
            return frozenset(self._futures)
        for run_id, future in list(self._futures.items()):
            if future.status != "pending":
                del self._futures[run_id]
                _say_problem(run_id, future)
        return frozenset(self._futures)

    def close(self) -> None:
        """Leave the cluster. What its workers execute goes on, for other servers, too, to hear of from the store; a
        cluster of our own ends, and its runs are suspended.
        """
        self._futures.clear()
        for opened in (self._client, self._cluster):
            if opened is not None:
                leave(opened)
        self._client = self._cluster = self._loop = None
        self._opened.close()

    def _connected(self) -> Client:
        """A client on a scheduler that answers; a former one that gave up is replaced."""
        if self._client is not None and self._client.status == "running":
            return self._client
        if self._client is not None and self._client.status == "connecting":
            raise _fleet_away(self._address)
        if self._loop is None:
            self._loop = self._opened.enter_context(dask_loop())
        with _away(self._address):
            self._client = connect(self._address.scheduler or self._own_cluster(), self._loop)
        return self._client

    def _own_cluster(self) -> Any:
        from distributed import LocalCluster

        if self._cluster is None:
            # a thread for the run, and one for what it maps over the cluster
            self._cluster = LocalCluster(
                n_workers=self._address.workers,
                threads_per_worker=2,
                resources={"runs": 1},
                dashboard_address=None,
            )
        return self._cluster


@contextmanager
def _away(address: ClusterAddress) -> Iterator[None]:
    """What Dask raises where its scheduler cannot be reached, as ours."""
    try:
        yield
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # the last two: of a client that closes at this instant
        raise _fleet_away(address) from error


def _fleet_away(address: ClusterAddress) -> FleetAway:
    return FleetAway(
        f"No Dask scheduler answers at {address}.",
        hint="Start it: dask scheduler. Runs wait in the queue, and are handed out when it is there.",
    )


def _say_problem(run_id: str, future: Future[Any]) -> None:
    """Log why a run was not executed, where it is no matter of the run itself: evercell is not installed there, say."""
    answer = _answer(future)
    if answer.word in PROBLEMS:
        log.warning("evercell: run %s was not executed to its end: %s", run_id, one_line(answer.why))


def _answer(future: Future[Any]) -> Answer:
    with suppress(OSError, RuntimeError, TimeoutError):
        if future.status == "finished":
            return Answer(**future.result(timeout=CONNECT_SECONDS))
        if future.status == "error":
            return Answer("refused", str(future.exception(timeout=CONNECT_SECONDS)))
    return Answer("lost", "the scheduler forgot it")
