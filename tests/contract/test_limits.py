"""Slots of limits that steps and calls hold, on both databases. Sessions without kernels; other processes are sessions
in threads.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evercell.core.ids import new_id
from evercell.core.queueing import Limit, Place
from evercell.core.records import Lease, NewRun
from evercell.engine.admission import grant
from evercell.engine.holder import this_holder
from evercell.engine.outcome import Ending
from evercell.engine.queueing import list_limits, list_queue
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.store import Store
from tests.contract.test_queue import admit, put
from tests.unit.sessions import Notebook
from tests.waiting import wait_until


@pytest.fixture
def workspace(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_KEY", "the key of all these tests")
    with open_workspace(Settings(store_url, tmp_path / "key")) as made:
        yield made


class Meter:
    """How many are inside at the same time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = self.most = self.calls = 0
        self.enough = threading.Event()

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.calls += 1
            self.most = max(self.most, self.inside)
        self.enough.wait(0.02)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


CALLS = """
import evercell
@evercell.step(limit="api")
def ask(n):
    with meter:
        return n
"""


def notebook(workspace: Workspace, meter: Meter) -> Notebook:
    made = Notebook(workspace)
    made.variables["meter"] = meter
    made.plain(CALLS)
    return made


def hold(store: Store, key: str = "api") -> tuple[Lease, str]:
    """Another run holds a slot."""
    run = store.runs.create(NewRun(None))
    lease = store.leases.acquire(run.id, session_id=new_id(), holder=this_holder(), ttl=timedelta(minutes=5))
    slot_id = new_id()
    assert store.limits.want(lease, key, slot_id=slot_id, holder="a step", lent_by=None)
    assert store.limits.take(slot_id, grant) == ""
    return lease, slot_id


def test_calls_of_several_runs_are_never_more_than_the_limit_and_all_are_made(
    workspace: Workspace, store_url: str, tmp_path: Path
) -> None:
    workspace.store.limits.set(Limit("api", at_once=2), by="ana")
    meter, endings = Meter(), []

    def execute() -> None:
        with open_workspace(Settings(store_url, tmp_path / "key")) as mine:
            own = notebook(mine, meter)
            outcome, _ = own.step(
                "all", "answers = evercell.map(ask, range(4), max_concurrency=4, progress=False)"
            )
            endings.append(outcome.ending)
            own.session.detach()

    threads = [threading.Thread(target=execute) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert endings == [Ending.COMPLETED] * 3
    assert meter.calls == 12
    assert meter.most <= 2
    assert not any(slot.is_held or slot.is_wanted for slot in workspace.store.limits.slots())


def test_a_call_inside_of_a_call_or_a_run_that_holds_the_limit_does_not_wait_for_itself(
    workspace: Workspace,
) -> None:
    store = workspace.store
    store.limits.set(Limit("api", at_once=1), by="ana")
    run = put(store, "whole", Place("ana", limits=("api",)))
    assert admit(store) == ["whole"]
    meter = Meter()
    own = Notebook(workspace, run.id)
    own.variables["meter"] = meter
    own.plain(CALLS + "@evercell.step(limit='api')\ndef outer(n): return [ask(n), ask(n + 1)]")
    outcome, _ = own.step("all", "answers = [outer(1), ask(3)]")
    assert (outcome.ending, own["answers"]) == (Ending.COMPLETED, [[1, 2], 3])
    outcome, _ = own.step("many", "more = evercell.map(ask, range(4), max_concurrency=4, progress=False)")
    assert outcome.ending is Ending.COMPLETED
    assert meter.most == 1
    own.session.detach()


@pytest.fixture
def interruptible() -> Iterator[None]:
    """An interrupt is raised where the main thread is, as in a kernel. (`asyncio.run` would keep it for later.)"""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGINT, interrupt)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("interruptible")
def test_a_call_that_waits_says_so_and_is_given_up_when_it_is_interrupted(workspace: Workspace) -> None:
    store = workspace.store
    store.limits.set(Limit("api", at_once=1), by="ana")
    lease, slot_id = hold(store)
    meter = Meter()
    own = notebook(workspace, meter)
    seen: list[Any] = []

    def interrupt() -> None:
        wait_until(lambda: any(slot.is_wanted for slot in store.limits.slots()), "the wish for a slot")
        seen.extend(list_limits(workspace))
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    outcome, _ = own.step("all", "answer = ask(1)")
    thread.join()
    assert outcome.ending is Ending.INTERRUPTED
    assert [(row.held, row.wanted) for row in seen] == [(1, 1)]
    assert meter.calls == 0
    assert [slot.holder for slot in store.limits.slots()] == ["a step"]
    store.limits.give_back(slot_id)
    outcome, _ = own.step("all", "answer = ask(1)")
    assert (outcome.ending, meter.calls) == (Ending.COMPLETED, 1)
    store.leases.release(lease)
    own.session.detach()


def test_the_slot_of_a_holder_that_lost_its_lease_is_void(workspace: Workspace) -> None:
    store = workspace.store
    store.limits.set(Limit("api", at_once=1), by="ana")
    lease, _ = hold(store)
    taken = store.leases.acquire(
        lease.run_id,
        session_id=new_id(),
        holder=this_holder(),
        ttl=timedelta(minutes=5),
        replacing=lease.token,
    )
    other, _ = hold(store)
    store.leases.release(other)
    store.leases.release(taken)
    hold_again, _ = hold(store)
    store.leases.release(hold_again)
    assert len(store.limits.slots()) == 1  # the others are forgotten


def test_a_rate_is_shared_by_all_runs(workspace: Workspace) -> None:
    store = workspace.store
    store.limits.set(Limit("api", rate=2, period=3600), by="ana")
    for _ in range(2):
        lease, slot_id = hold(store)
        store.limits.give_back(slot_id)
        store.leases.release(lease)
    run = store.runs.create(NewRun(None))
    lease = store.leases.acquire(run.id, session_id=new_id(), holder=this_holder(), ttl=timedelta(minutes=5))
    slot_id = new_id()
    store.limits.want(lease, "api", slot_id=slot_id, holder="a step", lent_by=None)
    store.limits.want(lease, "api", slot_id=slot_id, holder="a step", lent_by=None)  # asked again
    assert store.limits.take(slot_id, grant).startswith("limit api: 2/h, next in ")
    assert [(row.begun, row.wanted) for row in list_limits(workspace)] == [(2, 1)]
    store.limits.remove("api")
    assert store.limits.take(slot_id, grant) == ""  # nothing is limited any more
    store.limits.give_back(slot_id)
    store.leases.release(lease)


def test_a_limit_that_nobody_set_limits_nothing_and_that_is_said_once_in_a_step(workspace: Workspace) -> None:
    own = notebook(workspace, Meter())
    outcome, executor = own.step("all", "answers = [ask(1), ask(2)]")
    assert outcome.ending is Ending.COMPLETED
    assert [note for note in executor.notes if "api" in note] == [
        "nobody has set the limit 'api' in this store, so it limits nothing: evercell limit set api --at-once 4"
    ]
    own.session.detach()


def test_the_queue_says_which_step_waits_for_a_limit(workspace: Workspace) -> None:
    store = workspace.store
    store.limits.set(Limit("api", at_once=1), by="ana")
    holder, slot_id = hold(store)
    run = put(store, "a")
    admit(store)
    lease = store.leases.acquire(run.id, session_id=new_id(), holder=this_holder(), ttl=timedelta(minutes=5))
    store.limits.want(lease, "api", slot_id=new_id(), holder="plan ask#0", lent_by=None)
    (row,) = list_queue(workspace).rows
    assert (row.state, row.why) == ("running", "plan ask#0 waits for limit api")
    store.limits.give_back(slot_id)
    for each in (holder, lease):
        store.leases.release(each)
