"""What names a cluster, and what of a store's URL may travel to it."""

from __future__ import annotations

import threading

import pytest

from evercell.core.errors import UsageError
from evercell.engine.clusters import (
    THIS_CLUSTER,
    ClusterAddress,
    executor_of,
    parse_cluster,
    require_reachable,
    url_to_travel,
)
from evercell.headless.fleet import Fleet


@pytest.mark.parametrize(
    ("typed", "scheduler", "again"),
    [
        ("dask://head:8786", "tcp://head:8786", "dask://head:8786"),
        ("dask://head", "tcp://head:8786", "dask://head:8786"),
        ("tcp://10.0.0.1:9000", "tcp://10.0.0.1:9000", "dask://10.0.0.1:9000"),
        ("dask://[::1]:8786", "tcp://[::1]:8786", "dask://[::1]:8786"),
        ("tls://head:8786", "tls://head:8786", "dask+tls://head:8786"),
        ("dask://head:1?resource=runs", "tcp://head:1", "dask://head:1?resource=runs"),
        ("local:3", None, "local:3"),
    ],
)
def test_a_cluster_is_named_by_the_address_of_its_scheduler(
    typed: str, scheduler: str | None, again: str
) -> None:
    address = parse_cluster(typed)
    assert address.scheduler == scheduler
    assert str(address) == again
    assert parse_cluster(again) == address


def test_a_cluster_on_this_machine_has_a_worker_for_each_core() -> None:
    assert parse_cluster("local").workers >= 1


@pytest.mark.parametrize(
    "typed",
    ["", "dask", "dask://", "head:8786", "http://head", "local:0", "local:-1", "local:x", "local:²", "dask://head:x",
     "dask://head/path", "dask://head?nothing=1", "dask://head:99999", "dask://[::1", "locally"],
)  # fmt: skip
def test_what_names_no_cluster_is_refused_with_the_forms_that_there_are(typed: str) -> None:
    with pytest.raises(UsageError, match="names no cluster") as refused:
        parse_cluster(typed)
    assert "dask://HOST:8786" in refused.value.hint


def test_a_password_in_a_clusters_address_is_not_repeated() -> None:
    with pytest.raises(UsageError) as refused:
        parse_cluster("dask://me:hunter2@head:8786")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "travels"),
    [
        ("postgresql+psycopg://me:hunter2@db:5432/runs", "postgresql+psycopg://me@db:5432/runs"),
        ("postgresql+psycopg://me:a@b@db/runs", "postgresql+psycopg://me@db/runs"),
        ("postgresql://db/runs?sslmode=require&password=hunter2&sslpassword=x", "postgresql://db/runs?sslmode=require"),
        ("postgresql+psycopg://me:@/runs?host=/run/pg&token=t", "postgresql+psycopg://me@/runs?host=/run/pg"),
        ("postgresql://db/runs#hunter2", "postgresql://db/runs"),
    ],
)  # fmt: skip
def test_no_password_of_the_store_travels(url: str, travels: str) -> None:
    assert url_to_travel(url) == travels


def test_workers_elsewhere_need_a_store_that_they_can_reach() -> None:
    with pytest.raises(UsageError, match="SQLite") as refused:
        require_reachable(ClusterAddress("tcp://head:8786"), "sqlite:////home/me/store.db")
    assert "PostgreSQL" in refused.value.hint
    require_reachable(ClusterAddress(), "sqlite:////home/me/store.db")
    require_reachable(ClusterAddress("tcp://head:8786"), "postgresql+psycopg://db/runs")


@pytest.mark.parametrize("named", ["dask", "local:2", "nowhere", "dask://127.0.0.1:1"])
def test_an_executor_that_is_not_there_is_refused_in_words(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(THIS_CLUSTER, raising=False)
    monkeypatch.setattr("evercell.engine.clusters.CONNECT_SECONDS", 0.2)
    with pytest.raises(UsageError) as refused, executor_of(named):
        pass
    assert refused.value.hint


class _Reconnecting:
    """As Dask's client is for some seconds after its scheduler died."""

    status = "running"

    def submit(self, *_: object, **__: object) -> object:
        return object()

    def close(self) -> None:
        raise RuntimeError("ConnectionPool is closed")


def test_a_fleet_whose_client_is_reconnecting_is_left_without_a_word_and_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("evercell.headless.fleet.connect", lambda *_: _Reconnecting())
    fleet = Fleet(parse_cluster("dask://127.0.0.1:1"), "postgresql+psycopg://db/runs")
    fleet.start("a-run")
    assert [thread for thread in threading.enumerate() if thread.name == "evercell-dask"]
    fleet.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "evercell-dask"]
