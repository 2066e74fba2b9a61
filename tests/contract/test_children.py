"""Children and results on each database: one row for one call, whoever asks at the same instant; whole values."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evercell.core.chunks import Supply
from evercell.core.clock import system_clock
from evercell.core.errors import IllegalTransition, LeaseLost
from evercell.core.ids import new_id
from evercell.core.queueing import Place
from evercell.core.records import Awaited, AwaitedKind, ChildCall, Lease, NewRun, Returned, Run
from evercell.core.statuses import RunStatus
from evercell.engine.collecting import collect
from evercell.engine.diagnosis import diagnose
from evercell.engine.holder import this_holder
from evercell.engine.queueing import list_queue
from evercell.engine.reachability import KeepRules
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.state import join, split
from evercell.store import Store, open_store
from tests.contract.test_queue import rule

NEW = NewRun("/nb/child.ipynb", params={"day": 1}, status=RunStatus.QUEUED)


def leased(store: Store, run: Run | None = None) -> Lease:
    run = run or store.runs.create(NewRun(None))
    session, ttl = new_id(), timedelta(minutes=5)
    return store.leases.acquire(run.id, session_id=session, holder=this_holder(), ttl=ttl)


def asked(store: Store, lease: Lease, key: str = "run_notebook#0", on_close: str = "cancel") -> Run:
    call = ChildCall("agent", b"k" * 32, key, on_close)
    return store.children.start(lease, call, NEW, lambda _: None)[0]


def test_one_call_is_one_child_whoever_asks_at_the_same_instant(store: Store, store_url: str) -> None:
    lease = leased(store)
    together, found = threading.Barrier(4), []

    def ask() -> None:
        with open_store(store_url) as own:
            together.wait()
            found.append(asked(own, lease).id)

    racers = [threading.Thread(target=ask) for _ in range(4)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(set(found)) == 1
    (child,) = store.children.of_parent(lease.run_id)
    assert store.children.of_run(child.run_id) == child == store.children.of_call(lease.run_id, child.call)
    assert store.children.parents() == {child.run_id: lease.run_id}


def test_a_session_that_lost_its_run_starts_nothing(store: Store) -> None:
    lease = leased(store)
    store.leases.acquire(
        lease.run_id,
        session_id="other",
        holder=this_holder(),
        ttl=timedelta(minutes=5),
        replacing=lease.token,
    )
    with pytest.raises(LeaseLost):
        asked(store, lease)
    assert store.children.parents() == {}


def test_a_parent_that_has_ended_or_is_asked_to_starts_nothing(store: Store) -> None:
    for end in (
        lambda lease: store.runs.set_status(lease, lease.run_id, RunStatus.COMPLETED),
        lambda lease: store.children.cancel(lease.run_id, by="ann"),
    ):
        lease = leased(store)
        first = asked(store, lease)
        end(lease)
        with pytest.raises(IllegalTransition):
            asked(store, lease, key="run_notebook#1")
        assert asked(store, lease).id == first.id, "the one that was started is found"


def test_a_tree_is_listed_and_cancelled_from_its_top(store: Store) -> None:
    root = leased(store)
    middle = leased(store, asked(store, root))
    store.runs.set_status(middle, middle.run_id, RunStatus.RUNNING)
    lowest = [asked(store, middle, str(n), on_close) for n, on_close in enumerate(("cancel", "wait", "keep"))]
    assert [run.id for run in store.children.below(root.run_id)] == [
        middle.run_id,
        *(run.id for run in lowest),
    ]
    assert [run.id for run in store.children.line(lowest[0].id)] == [lowest[0].id, middle.run_id, root.run_id]
    store.children.cancel_below(root.run_id, by="ann")
    assert [str(store.runs.find(run.id).status) for run in lowest] == ["cancelled", "cancelled", "queued"]
    for lease in (root, middle):
        request = store.runs.request(lease.run_id)
        assert request is not None and request.what == "cancel"
    store.children.settle_cancelled(middle.run_id)
    assert store.runs.find(middle.run_id).status is RunStatus.CANCELLED


def test_a_child_that_failed_is_queued_again_once(store: Store) -> None:
    child = asked(store, leased(store))
    assert not store.children.try_again(child.id, tries=2), "it has not failed"
    store.children.fail(child.id, reason="its notebook is gone")
    store.children.note_told(child.id)
    assert store.children.try_again(child.id, tries=2)
    assert not store.children.try_again(child.id, tries=3)
    row = store.children.of_run(child.id)
    assert row is not None and (row.tries, row.told_at) == (2, None)
    assert store.runs.find(child.id).status is RunStatus.QUEUED


def test_one_process_of_those_that_look_starts_a_child(store: Store) -> None:
    child = asked(store, leased(store))
    first = store.children.note_hosted(child.id, again_after=60)
    assert first is not None
    assert store.children.note_hosted(child.id, again_after=60) is None
    assert store.children.hosted(within=60) == {child.id}
    second = store.children.note_hosted(child.id, again_after=60, over=first)
    assert second is not None, "the first is known to have come to nothing"
    assert store.children.note_hosted(child.id, again_after=60, over=first) is None, "that is over, and known"
    assert store.children.note_hosted(child.id, again_after=0) is not None


def test_of_all_who_look_at_one_instant_one_starts_a_child_and_one_the_run_at_the_top(
    store: Store, store_url: str
) -> None:
    top = leased(store)
    child = asked(store, top)
    store.waits.put(top, [Awaited(AwaitedKind.RUN, child.id), Awaited(AwaitedKind.MOMENT)])
    for _ in range(10):
        over = store.leases.now()  # what was started before came to its end
        for run in (top.run_id, child.id):
            together, made = threading.Barrier(4), []

            def look(run: str = run, over: Any = over, together: Any = together, made: Any = made) -> None:
                with open_store(store_url) as own:
                    together.wait()
                    note = own.children.note_hosted if run == child.id else own.waits.note_hosted
                    made.append(note(run, again_after=60, over=over))

            racers = [threading.Thread(target=look) for _ in range(4)]
            for racer in racers:
                racer.start()
            for racer in racers:
                racer.join()
            assert sum(at is not None for at in made) == 1


def test_a_run_for_which_a_process_is_started_is_due_until_it_says_anew_what_it_waits_for(
    store: Store,
) -> None:
    lease = leased(store)
    store.runs.set_status(lease, lease.run_id, RunStatus.RUNNING)
    store.waits.put(lease, [])
    store.runs.set_status(lease, lease.run_id, RunStatus.WAITING)
    store.leases.release(lease)
    at = store.waits.note_hosted(lease.run_id, again_after=60)
    assert at is not None
    assert store.waits.note_hosted(lease.run_id, again_after=60) is None
    assert store.waits.note_hosted(lease.run_id, again_after=60, over=at) is not None
    assert store.waits.due() == [lease.run_id]
    again = leased(store, store.runs.find(lease.run_id))
    store.waits.put(again, [Awaited(AwaitedKind.SIGNAL, "paid")])
    store.leases.release(again)
    assert store.waits.due() == []
    assert store.waits.note_hosted(lease.run_id, again_after=60) is not None


def test_large_values_stay_where_they_are_reached(tmp_path: Path, store_url: str) -> None:
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        store = workspace.store
        lease = leased(store, asked(store, leased(store)))
        for number in (1, 2):
            content = bytes([number]) * 50_000 + new_id().encode() * 20_000
            _put(store, lease, "rows", content)
        collect(workspace, KeepRules(), grace=0)
        (returned,) = store.results.of_run(lease.run_id)
        assert not isinstance(returned.value, bytes)
        assert bytes(join(returned.value, store.chunks)) == content
        assert store.results.get(lease.run_id, "row") is None


def _put(store: Store, lease: Lease, name: str, content: bytes) -> None:
    value: Any
    chunks: Supply
    value, chunks = split(content)
    store.results.put(lease, Returned(lease.run_id, name, value, b"m" * 32, system_clock()), chunks)


def test_six_parents_that_wait_and_two_places_come_to_an_end(store: Store) -> None:
    """Who waits for a child holds no place: a pool of parents does not lock itself up."""
    for number in range(6):
        new = NewRun(f"/nb/parent-{number}.ipynb", status=RunStatus.QUEUED)
        store.queue.put_new(new, Place("me"), at_most=100)
    most, starts = 0, 0
    while (entries := store.queue.look().entries) and starts < 100:
        chosen = store.queue.admit("server", rule(2))
        most, starts = max(most, len(chosen)), starts + len(chosen)
        assert chosen, [(entry.name, entry.status) for entry in entries]
        for entry in chosen:
            _execute(store, store.runs.find(entry.run_id))
    assert most == 2
    assert {run.status for run in store.runs.all()} == {RunStatus.COMPLETED}
    assert len(store.runs.all()) == 18


def _execute(store: Store, run: Run) -> None:
    """As a runner would: a parent starts two children and waits, a child completes."""
    lease = leased(store, run)
    store.runs.set_status(lease, run.id, RunStatus.RUNNING)
    status = RunStatus.COMPLETED
    if run.notebook is not None and "parent" in run.notebook:
        made = [asked(store, lease, str(n)) for n in range(2)]
        left = [child for child in made if child.status is not RunStatus.COMPLETED]
        if left:
            store.waits.put(lease, [Awaited(AwaitedKind.RUN, child.id) for child in left])
            status = RunStatus.WAITING
    store.runs.set_status(lease, run.id, status)
    store.leases.release(lease)
    entry = store.queue.find(run.id)
    assert entry is not None
    assert store.queue.give_back(entry) if status is RunStatus.WAITING else store.queue.drop(entry)


def test_a_child_that_has_ended_is_not_in_the_queue_though_nobody_served_it(
    store: Store, tmp_path: Path, store_url: str
) -> None:
    """A server takes such rows away, and there may be none."""
    parent = leased(store)
    lease = leased(store, asked(store, parent))
    store.runs.set_status(lease, lease.run_id, RunStatus.RUNNING)
    store.runs.set_status(lease, lease.run_id, RunStatus.COMPLETED)
    store.leases.release(lease)
    settings = Settings(store_url, tmp_path / "key")
    with open_workspace(settings) as workspace:
        assert list_queue(workspace).rows == []
    assert [found.what for found in diagnose(settings) if found.check == "queue"] == ["empty"]
    store.queue.put_new(NEW, Place("me"), at_most=1)


@pytest.mark.parametrize("is_child", [True, False])
def test_a_run_that_failed_and_is_queued_anew_is_not_taken_away_by_a_server_that_saw_it_fail(
    store: Store, is_child: bool
) -> None:
    """Nobody would ever start it: it was queued, and in no queue."""
    run = asked(store, leased(store)) if is_child else store.queue.put_new(NEW, Place("me"), at_most=9)
    store.children.fail(run.id, reason="its kernel died")
    seen = store.queue.find(run.id)
    assert seen is not None
    if is_child:
        assert store.children.try_again(run.id, tries=2)
    else:
        store.queue.put(run.id, Place("me"), at_most=9)
    assert not store.queue.drop(seen)
    left = store.queue.find(run.id)
    assert left is not None
    assert left.status is RunStatus.QUEUED
    assert [entry.run_id for entry in store.queue.admit("server", rule(1))] == [run.id]
