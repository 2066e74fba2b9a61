"""What a server does at each look, on both databases: who is started, and what becomes of what died. No kernels: a run
is executed by whoever the test says.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evercell.core.errors import EvercellError
from evercell.core.ids import new_id
from evercell.core.queueing import Place, Queued
from evercell.core.records import Awaited, AwaitedKind, Holder, Lease, Run, RunRequest, Signal
from evercell.core.statuses import CANCEL, PAUSE, RunStatus
from evercell.engine.holder import this_holder
from evercell.engine.pausing import unpause
from evercell.engine.queue_states import MOST_STARTS
from evercell.engine.queueing import list_queue
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace
from evercell.headless.serving import Server
from evercell.store import Store, open_store
from tests.contract.test_queue import ME, SetClock, entry_of, new, put, suspend
from tests.outages import Outage
from tests.waiting import wait_until


class Desk:
    """Takes runs, and has them executed by nobody until the test does so."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.living: set[str] = set()
        self.is_away = False

    def start(self, run_id: str) -> None:
        if self.is_away:
            raise EvercellError("Nobody is at the desk.")
        self.started.append(run_id)
        self.living.add(run_id)

    def alive(self) -> set[str]:
        return set(self.living)

    def close(self) -> None:
        self.living.clear()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(store_url: str, clock: SetClock) -> Iterator[Store]:
    with open_store(store_url, clock=clock, lease_clock=clock) as opened:
        yield opened


@pytest.fixture
def workspace(store_url: str, store: Store, clock: SetClock, tmp_path: Path) -> Workspace:
    return Workspace(store, Settings(store_url, tmp_path / "key", timedelta(seconds=30)), clock)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def server(workspace: Workspace, desk: Desk) -> Server:
    return Server(workspace, desk, jobs=2)


@pytest.fixture
def gone() -> Holder:
    """A process of this machine that has died."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return replace(this_holder(), pid=process.pid, started=1.0)


ELSEWHERE = Holder("elsewhere", "another boot", 7, 1.0, "bo")


def begin(store: Store, run: Run, holder: Holder) -> Lease:
    """Whoever executes the run has claimed it, and its kernel is on it."""
    lease = store.leases.acquire(run.id, session_id=new_id(), holder=holder, ttl=timedelta(seconds=30))
    assert store.queue.begin(run.id, holder)
    store.runs.set_status(lease, run.id, RunStatus.RUNNING)
    return lease


def names(store: Store, desk: Desk) -> list[str]:
    return [store.runs.find(run_id).name for run_id in desk.started]


def test_as_many_are_started_as_there_are_jobs_and_the_next_when_one_ends(
    store: Store, server: Server, desk: Desk
) -> None:
    runs = {name: put(store, name) for name in "abc"}
    server.tick()
    server.tick()
    assert names(store, desk) == ["a", "b"]
    lease = begin(store, runs["a"], this_holder())
    store.runs.set_status(lease, runs["a"].id, RunStatus.COMPLETED)
    store.leases.release(lease)
    server.tick()  # its process is about to end
    assert names(store, desk) == ["a", "b"]
    desk.living.remove(runs["a"].id)
    store.queue.drop(entry_of(store, runs["a"]))  # as its process does
    server.tick()
    assert names(store, desk) == ["a", "b", "c"]


def test_a_run_whose_process_died_is_started_again_at_once_and_then_after_pauses(
    store: Store, server: Server, desk: Desk, clock: SetClock, gone: Holder
) -> None:
    run = put(store, "a")
    server.tick()
    begin(store, run, gone)
    desk.living.clear()
    server.tick()
    assert names(store, desk) == ["a", "a"]
    desk.living.clear()  # it never claimed it
    server.tick()
    assert names(store, desk) == ["a", "a"]
    entry = entry_of(store, run)
    assert (entry.starts, entry.problem) == (2, "its process is gone")
    clock.now += timedelta(seconds=2)
    server.tick()
    assert names(store, desk) == ["a", "a", "a"]


def test_a_server_until_idle_waits_for_the_next_start_of_a_run_whose_process_died(
    store: Store, server: Server, desk: Desk, clock: SetClock, gone: Holder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = put(store, "a")
    server.tick()
    begin(store, run, gone)
    desk.living.clear()
    server.tick()
    desk.living.clear()
    server.tick()
    assert names(store, desk) == ["a", "a"] and entry_of(store, run).starts == 2

    def executed(run_id: str) -> None:
        desk.started.append(run_id)
        store.queue.drop(entry_of(store, run))  # as its process does at its end

    class Passing(threading.Event):
        """A second passes at each wait."""

        def wait(self, timeout: float | None = None) -> bool:
            assert len(desk.started) < 3 or not timeout or clock.now.minute < 5, "it never ends"
            clock.now += timedelta(seconds=1)
            return self.is_set()

    monkeypatch.setattr(desk, "start", executed)
    server.serve(Passing(), until_idle=True)
    assert names(store, desk) == ["a", "a", "a"]


def test_a_run_that_is_started_in_vain_again_and_again_has_failed_and_says_why(
    store: Store, server: Server, desk: Desk, clock: SetClock
) -> None:
    run = put(store, "a")
    for _ in range(2 * MOST_STARTS + 5):
        server.tick()
        desk.living.clear()
        clock.now += timedelta(minutes=2)
    assert store.runs.find(run.id).status is RunStatus.FAILED
    assert store.queue.find(run.id) is None
    said = [event.data.get("reason") for event in store.journal.events(run.id)]
    assert f"started {MOST_STARTS} times without completing a step: its process is gone" in said
    assert len(desk.started) == MOST_STARTS


def test_what_waits_holds_no_job_and_goes_on_when_it_is_answered(
    store: Store, server: Server, desk: Desk, clock: SetClock
) -> None:
    runs = {name: put(store, name) for name in "abc"}
    server.tick()
    for name in "ab":
        lease = begin(store, runs[name], this_holder())
        store.waits.put(lease, [Awaited(AwaitedKind.SIGNAL, "go")])
        store.runs.set_status(lease, runs[name].id, RunStatus.WAITING)
        store.leases.release(lease)
        store.queue.give_back(entry_of(store, runs[name]))
    desk.living.clear()
    server.tick()
    assert names(store, desk) == ["a", "b", "c"]
    store.signals.send(Signal(runs["b"].id, "go", b"", b"", clock.now, "ana"))
    server.tick()
    assert names(store, desk) == ["a", "b", "c", "b"]


def test_headless_runs_that_nobody_queued_are_gone_on_with(
    store: Store, server: Server, desk: Desk, clock: SetClock, gone: Holder
) -> None:
    answered, killed, frozen = (store.runs.create(new(name)) for name in ("answered", "killed", "frozen"))
    suspend(store, answered, Awaited(AwaitedKind.MOMENT, due_at=clock.now))
    for run, holder in ((killed, gone), (frozen, this_holder())):
        lease = store.leases.acquire(run.id, session_id=new_id(), holder=holder, ttl=timedelta(seconds=30))
        store.runs.set_status(lease, run.id, RunStatus.RUNNING)
    server.tick()
    assert names(store, desk) == ["answered"]
    clock.now += timedelta(seconds=31)
    server.tick()
    assert names(store, desk) == ["answered", "killed"]  # the other one's process lives


def test_a_clock_that_jumps_by_an_hour_starts_nothing_twice(
    store: Store, server: Server, desk: Desk, clock: SetClock
) -> None:
    here, elsewhere = put(store, "here"), put(store, "elsewhere")
    server.tick()
    begin(store, here, this_holder())
    begin(store, elsewhere, ELSEWHERE)
    clock.now += timedelta(hours=1)
    for _ in range(3):
        server.tick()
    desk.living.clear()  # even if it asks the store alone
    server.tick()
    assert names(store, desk) == ["here", "elsewhere"]
    clock.now -= timedelta(hours=2)
    put(store, "next")
    server.tick()
    assert sorted(names(store, desk)) == ["elsewhere", "here"]  # two jobs, both under way
    assert {entry.name: entry.admitted_by for entry in store.queue.look().entries}["here"] == server.id


def test_a_machine_that_vanished_is_believed_gone_when_its_lease_has_ended_whatever_the_cluster_says(
    store: Store, workspace: Workspace, desk: Desk, clock: SetClock
) -> None:
    workspace.settings = replace(
        workspace.settings, lease_ttl=timedelta(0)
    )  # a jump of clocks is soon ruled out
    server = Server(workspace, desk, jobs=2, runs_on="dask://head:8786")
    run = put(store, "a")
    server.tick()
    begin(store, run, ELSEWHERE)
    server.tick()
    assert names(store, desk) == ["a"]
    clock.now += timedelta(seconds=31)
    assert run.id in desk.living, "the cluster waits for five minutes before it gives a worker up"
    wait_until(lambda: bool(server.tick()) and names(store, desk) == ["a", "a"], "another start")
    for _ in range(3):  # whoever takes it now needs some seconds until the lease is theirs
        clock.now += timedelta(seconds=20)
        server.tick()
    assert names(store, desk) == ["a", "a"]
    assert entry_of(store, run).starts == 1
    begin(store, run, replace(ELSEWHERE, boot="a third one's"))
    clock.now += timedelta(seconds=31)
    wait_until(lambda: bool(server.tick()) and entry_of(store, run).starts == 2, "word that it is gone, too")
    clock.now += timedelta(seconds=2)
    server.tick()
    assert names(store, desk) == ["a", "a", "a"]


def test_the_runs_of_a_server_that_was_killed_are_looked_after_by_the_next_one(
    workspace: Workspace, store: Store, desk: Desk, gone: Holder
) -> None:
    lives, died, never = (put(store, name) for name in ("lives", "died", "never started"))
    killed = Server(workspace, Desk(), jobs=9)
    killed.tick()
    store.servers.remove(killed.id)
    store.servers.note(killed.id, gone, jobs=9, runs_on=None)
    begin(store, lives, this_holder())
    begin(store, died, gone)
    server = Server(workspace, desk, jobs=9)
    server.tick()
    server.tick()
    assert sorted(names(store, desk)) == ["died", "never started"]
    assert {e.admitted_by for e in store.queue.look().entries} == {server.id}
    assert [row.id for row in store.servers.all()] == [server.id]
    assert store.queue.find(never.id) is not None


def test_a_paused_run_is_left_alone_and_a_cancelled_one_leaves_the_queue(
    workspace: Workspace, store: Store, server: Server, desk: Desk
) -> None:
    paused, cancelled = put(store, "paused"), put(store, "cancelled")
    store.runs.set_request(paused.id, RunRequest(PAUSE, "bo", ""))
    store.runs.set_request(cancelled.id, RunRequest(CANCEL, "bo", ""))
    server.tick()
    assert names(store, desk) == []
    assert [row.why for row in list_queue(workspace).rows] == ["paused; to go on: evercell unpause paused"]
    assert store.runs.find(cancelled.id).status is RunStatus.CANCELLED
    unpause(workspace, "paused")
    server.tick()
    assert names(store, desk) == ["paused"]


def test_where_nobody_can_execute_runs_they_wait_and_none_fails(
    store: Store, server: Server, desk: Desk, clock: SetClock
) -> None:
    run = put(store, "a")
    desk.is_away = True
    for _ in range(MOST_STARTS + 5):
        server.tick()
        clock.now += timedelta(seconds=6)
    entry = entry_of(store, run)
    assert (entry.admitted_at, entry.starts, entry.problem) == (None, 0, "Nobody is at the desk.")
    desk.is_away = False
    server.tick()
    assert names(store, desk) == ["a"]


def test_of_several_servers_each_run_is_started_by_one(store_url: str, store: Store, tmp_path: Path) -> None:
    runs = [put(store, f"r{n:02}", Place(f"share {n % 3}")) for n in range(12)]
    desks = [Desk() for _ in range(3)]

    def serve(desk: Desk) -> None:
        with open_store(store_url) as mine:
            settings = Settings(store_url, tmp_path / "key")
            one = Server(Workspace(mine, settings), desk, jobs=2)
            for _ in range(12):
                one.tick()
                for run_id in list(desk.living):
                    finish(mine, mine.queue.find(run_id))
                    desk.living.remove(run_id)

    threads = [threading.Thread(target=serve, args=(desk,)) for desk in desks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    started = Counter(run_id for desk in desks for run_id in desk.started)
    assert started == Counter(run.id for run in runs)


def finish(store: Store, entry: Queued | None) -> None:
    assert entry is not None
    store.queue.drop(entry, status=RunStatus.CANCELLED)


def test_a_store_that_goes_away_is_waited_for_and_that_is_said_once(store_url: str, tmp_path: Path) -> None:
    desk, said, stop = Desk(), [], threading.Event()
    with open_store(store_url) as store:
        server = Server(
            Workspace(store, Settings(store_url, tmp_path / "key")), desk, jobs=1, say=said.append
        )
        put(store, "a")
        thread = threading.Thread(target=server.serve, args=(stop,))
        thread.start()
        try:
            wait_until(lambda: bool(desk.started), "the first start")
            outage = Outage(store_url)
            outage.begin()
            wait_until(lambda: any("is away" in text for text in said), "word of the outage")
            outage.end()
            wait_until(lambda: any("is back" in text for text in said), "word of the store's return")
            put(store, "b", ME)
            finish(store, store.queue.find(desk.started[0]))
            desk.living.clear()
            wait_until(lambda: len(desk.started) == 2, "the next start")
        finally:
            stop.set()
            thread.join()
    assert sum("is away" in text for text in said) == 1
