"""The queue on SQLite and on PostgreSQL: admission is one transaction, and none is admitted twice."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from evercell.core.approvals import Vote
from evercell.core.errors import IllegalTransition, LimitNotFound, QueueFull
from evercell.core.ids import new_id
from evercell.core.queueing import Limit, Place, Queued, QueuePicture
from evercell.core.records import Awaited, AwaitedKind, Lease, NewRun, Run, RunRequest, Signal
from evercell.core.statuses import PAUSE, RunStatus
from evercell.engine.admission import choose, limits_in_use
from evercell.engine.holder import this_holder
from evercell.engine.queue_states import Obstacles
from evercell.store import Store, open_store
from tests.contract.test_stored_forms import asked
from tests.database import open_database

TTL = timedelta(seconds=30)
ME = Place("ana")


class SetClock:
    """A clock that a test sets; a little time passes at each look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def store(store_url: str, clock: SetClock) -> Iterator[Store]:
    with open_store(store_url, clock=clock, lease_clock=clock) as opened:
        yield opened


def new(name: str, **more: object) -> NewRun:
    return NewRun(
        notebook=f"/n/{name}.ipynb", name=name, output=f"/n/{name}.out.ipynb", status=RunStatus.QUEUED, **more
    )  # type: ignore[arg-type]


def put(store: Store, name: str, place: Place = ME, at_most: int = 1000) -> Run:
    return store.queue.put_new(new(name), place, at_most=at_most)


def rule(room: int) -> Callable[[QueuePicture], Sequence[Queued]]:
    """As a server chooses, with room for so many."""

    def pick(picture: QueuePicture) -> Sequence[Queued]:
        uses = limits_in_use(picture.limits, picture.slots)
        held = {e.run_id for e in picture.entries if e.lease is not None}
        return choose(
            Obstacles(picture, held, uses).candidates(),
            under_way=[e.place.share for e in picture.entries if e.admitted_at],
            turns=picture.turns, turn=picture.turn, uses=uses, room=room, now=picture.now,
        )  # fmt: skip

    return pick


def admit(store: Store, room: int = 1, server: str = "server") -> list[str]:
    return [entry.name for entry in store.queue.admit(server, rule(room))]


def entry_of(store: Store, run: Run) -> Queued:
    found = store.queue.find(run.id)
    assert found is not None
    return found


def hold(store: Store, run: Run) -> Lease:
    return store.leases.acquire(run.id, session_id=new_id(), holder=this_holder(), ttl=TTL)


def suspend(store: Store, run: Run, *awaited: Awaited) -> None:
    """A kernel takes the run, waits for these, and ends."""
    lease = hold(store, run)
    store.runs.set_status(lease, run.id, RunStatus.RUNNING)
    store.waits.put(lease, awaited)
    store.runs.set_status(lease, run.id, RunStatus.WAITING)
    store.leases.release(lease)


# -- coming and going ----------------------------------------------------------------------------


def test_what_is_put_into_the_queue_is_admitted_once_and_leaves_it_at_its_end(store: Store) -> None:
    run = put(store, "a", Place("bo", 3, ("gpu",)))
    assert entry_of(store, run).place == Place("bo", 3, ("gpu",))
    assert admit(store) == ["a"]
    assert admit(store) == []
    entry = entry_of(store, run)
    assert (entry.admitted_by, entry.runner) == ("server", None)
    assert store.queue.begin(run.id, this_holder())
    assert not store.queue.drop(entry), "another process executes it by now"
    assert store.queue.drop(entry_of(store, run))
    assert store.queue.find(run.id) is None
    assert not store.queue.begin(run.id, this_holder())  # delivered late


def test_a_full_queue_refuses_with_the_number_and_makes_no_run(store: Store) -> None:
    for name in "ab":
        put(store, name, at_most=2)
    with pytest.raises(QueueFull, match="2 runs wait to be started, and no more than 2 may"):
        put(store, "c", at_most=2)
    assert [run.name for run in store.runs.all()] == ["b", "a"]
    admit(store)
    put(store, "c", at_most=2)  # one that is executed does not wait


def test_a_run_that_waits_for_an_answer_takes_no_place_of_the_queue(store: Store) -> None:
    suspend(store, put(store, "a", at_most=1), Awaited(AwaitedKind.SIGNAL, "go"))
    put(store, "b", at_most=1)


def test_a_second_start_with_a_key_is_the_run_of_the_first(store: Store) -> None:
    first = store.queue.put_new(new("a", run_key="nightly"), ME, at_most=1)
    again = store.queue.put_new(replace(new("b", run_key="nightly")), ME, at_most=1)
    assert (again.id, again.name) == (first.id, "a")


def test_only_what_has_not_come_to_its_end_is_put_back(store: Store) -> None:
    run = put(store, "a")
    store.queue.put(run.id, Place("ana", 7), at_most=1)
    assert entry_of(store, run).place.priority == 7
    assert store.queue.remove(run.id)
    assert not store.queue.remove(run.id)
    store.runs.set_status(None, run.id, RunStatus.RUNNING)
    store.runs.set_status(None, run.id, RunStatus.FAILED)
    store.queue.put(run.id, ME, at_most=1)
    assert store.runs.find(run.id).status is RunStatus.QUEUED
    store.runs.set_status(None, run.id, RunStatus.CANCELLED)
    with pytest.raises(IllegalTransition, match="nothing to go on with"):
        store.queue.put(run.id, ME, at_most=1)


def test_a_decision_about_an_admission_that_is_past_changes_nothing(store: Store, clock: SetClock) -> None:
    run = put(store, "a")
    admit(store)
    seen = entry_of(store, run)
    assert store.queue.give_back(seen, starts=1, problem="its process is gone")
    clock.now += timedelta(seconds=1)
    admit(store, server="another")
    assert not store.queue.give_back(seen)
    assert not store.queue.drop(seen)
    assert not store.queue.adopt(seen, "server")
    entry = entry_of(store, run)
    assert (entry.admitted_by, entry.starts, entry.problem) == ("another", 1, "its process is gone")


def test_what_waits_longer_than_others_is_known_by_starts_and_not_by_clocks(store: Store) -> None:
    for name in ("a", "b", "c"):
        put(store, name, Place(name))
    assert admit(store, 3) == ["a", "b", "c"]
    picture = store.queue.look()
    assert (picture.turns, picture.turn) == ({"a": 1, "b": 2, "c": 3}, 3)
    put(store, "d")
    assert admit(store, 0) == []
    assert [entry.turn for entry in store.queue.look().entries if entry.name == "d"] == [3]


# -- several servers -----------------------------------------------------------------------------


def test_of_several_servers_none_admits_a_run_twice_and_no_limit_is_exceeded(
    store_url: str, store: Store
) -> None:
    store.limits.set(Limit("gpu", at_once=2), by="ana")
    for n in range(24):
        put(store, f"r{n:02}", Place(f"share {n % 3}", limits=("gpu",) if n % 2 else ()))
    admitted: list[tuple[str, str]] = []
    most: list[int] = []

    def serve(server: str) -> None:
        with open_store(store_url) as mine:
            for _ in range(40):
                for entry in mine.queue.admit(server, rule(2)):
                    admitted.append((entry.name, server))
                    most.append(sum(slot.is_held for slot in mine.limits.slots()))
                    current = mine.queue.find(entry.run_id)
                    assert current is not None
                    mine.queue.drop(current, status=RunStatus.CANCELLED)

    servers = [threading.Thread(target=serve, args=(f"server {n}",)) for n in range(4)]
    for thread in servers:
        thread.start()
    for thread in servers:
        thread.join()
    assert Counter(name for name, _ in admitted) == Counter(f"r{n:02}" for n in range(24))
    assert max(most) <= 2
    assert store.queue.look().entries == []


# -- limits --------------------------------------------------------------------------------------


def test_a_run_holds_its_limits_while_it_is_admitted_and_no_longer(store_url: str, store: Store) -> None:
    store.limits.set(Limit("gpu", at_once=1), by="ana")
    a, b = (put(store, name, Place("ana", limits=("gpu", "nobody set this"))) for name in "ab")
    assert admit(store, 9) == ["a"]
    assert admit(store, 9) == []
    store.queue.give_back(entry_of(store, a))
    store.queue.remove(a.id)
    assert admit(store, 9) == ["b"]
    with open_database(store_url) as connection:  # somebody else took it out of the queue
        connection.execute(sa.text("DELETE FROM queue WHERE run_id = :run"), {"run": b.id})
    put(store, "c", Place("ana", limits=("gpu",)))
    assert admit(store, 9) == ["c"]


def test_a_rate_counts_starts_whenever_they_ended(store: Store, clock: SetClock) -> None:
    store.limits.set(Limit("api", rate=1, period=60), by="ana")
    a = put(store, "a", Place("ana", limits=("api",)))
    put(store, "b", Place("ana", limits=("api",)))
    admit(store)
    store.queue.drop(entry_of(store, a), status=RunStatus.CANCELLED)
    clock.now += timedelta(seconds=58)
    assert admit(store) == []
    clock.now += timedelta(seconds=2)
    assert admit(store) == ["b"]


def test_slots_that_nothing_counts_any_more_are_forgotten_and_a_clock_set_back_holds_nothing_up(
    store: Store, clock: SetClock
) -> None:
    store.limits.set(Limit("api", rate=1, period=60), by="ana")
    for n in range(3):
        run = put(store, f"r{n}", Place("ana", limits=("api",)))
        clock.now += timedelta(seconds=61)
        assert admit(store) == [f"r{n}"]
        store.queue.drop(entry_of(store, run), status=RunStatus.CANCELLED)
    assert len(store.limits.slots()) == 1
    clock.now -= timedelta(hours=1)
    put(store, "next", Place("ana", limits=("api",)))
    assert admit(store) == []
    clock.now += timedelta(seconds=61)
    assert admit(store) == ["next"]


def test_a_limit_is_set_anew_and_removed(store: Store) -> None:
    store.limits.set(Limit("openai", at_once=4), by="ana")
    store.limits.set(Limit("openai", rate=10, period=60), by="bo")
    assert store.limits.all() == {"openai": Limit("openai", None, 10, 60)}
    with pytest.raises(LimitNotFound, match="no limit 'opena1'"):
        store.limits.remove("opena1")
    store.limits.remove("openai")
    assert store.limits.all() == {}


# -- what waits without a kernel -----------------------------------------------------------------


def test_a_run_is_due_when_any_of_what_it_waits_for_is_there(store: Store, clock: SetClock) -> None:
    lease = hold(store, other := put(store, "other"))
    question = asked(store, lease)
    waiting = {
        "moment": Awaited(AwaitedKind.MOMENT, due_at=clock.now + timedelta(minutes=5)),
        "signal": Awaited(AwaitedKind.SIGNAL, "go"),
        "late signal": Awaited(AwaitedKind.SIGNAL, "stop", clock.now + timedelta(minutes=9)),
        "approval": Awaited(AwaitedKind.APPROVAL, question.id),
        "run": Awaited(AwaitedKind.RUN, other.id),
    }
    made = {name: put(store, name) for name in waiting}
    for name, awaited in waiting.items():
        suspend(store, made[name], awaited, Awaited(AwaitedKind.SIGNAL, "never"))
    assert store.waits.of_run(made["run"].id) != []

    def due() -> set[str]:
        names = {run.id: name for name, run in made.items()}
        return {names[run_id] for run_id in store.waits.due()}

    assert due() == set()
    store.signals.send(Signal(made["signal"].id, "go", b"", b"", clock.now, "ana"))
    store.signals.send(Signal(made["late signal"].id, "go", b"", b"", clock.now, "ana"))  # another one
    assert due() == {"signal"}
    store.approvals.vote(question, Vote("Send", "zoe", clock.now, "web page"))
    assert due() == {"signal", "approval"}
    clock.now += timedelta(minutes=5)
    assert due() == {"signal", "approval", "moment"}
    store.runs.set_status(hold_again(store, lease), other.id, RunStatus.RUNNING)
    store.runs.set_status(lease, other.id, RunStatus.FAILED)
    clock.now += timedelta(minutes=5)
    assert due() == set(waiting)


def hold_again(store: Store, lease: Lease) -> Lease:
    return store.leases.renew(lease, ttl=timedelta(hours=1))


def test_what_a_run_waits_for_is_what_it_waited_for_last(store: Store, clock: SetClock) -> None:
    run = put(store, "a")
    suspend(store, run, Awaited(AwaitedKind.MOMENT, due_at=clock.now))
    lease = hold(store, run)
    store.waits.put(lease, [Awaited(AwaitedKind.SIGNAL, "go")])
    store.leases.release(lease)
    assert store.waits.of_run(run.id) == [Awaited(AwaitedKind.SIGNAL, "go")]
    assert store.waits.due() == []


def test_a_run_that_is_paused_or_held_is_not_due(store: Store, clock: SetClock) -> None:
    run = put(store, "a")
    suspend(store, run, Awaited(AwaitedKind.MOMENT, due_at=clock.now))
    assert store.waits.due() == [run.id]
    lease = hold(store, run)
    assert store.waits.due() == []
    store.leases.release(lease)
    store.runs.set_request(run.id, RunRequest(PAUSE, "bo", ""))
    assert store.waits.due() == []


def test_headless_runs_that_nobody_queued_are_found_when_they_may_go_on(
    store: Store, clock: SetClock
) -> None:
    answered = store.runs.create(new("answered"))
    suspend(store, answered, Awaited(AwaitedKind.MOMENT, due_at=clock.now))
    dead = store.runs.create(new("dead"))
    store.runs.set_status(hold(store, dead), dead.id, RunStatus.RUNNING)
    before_its_kernel = store.runs.create(new("before its kernel"))
    hold(store, before_its_kernel)
    given_back = store.runs.create(new("given back"))
    store.leases.release(hold(store, given_back))
    in_a_notebook = store.runs.create(NewRun("/n/mine.ipynb", "mine"))
    hold(store, in_a_notebook)
    assert (store.queue.strays().due, store.queue.strays().dead) == ([answered.id], [])
    clock.now += TTL + timedelta(seconds=1)
    assert {*store.queue.strays().dead} == {dead.id, before_its_kernel.id}
    store.queue.take_in([answered.id, dead.id, before_its_kernel.id])
    store.queue.take_in([answered.id])
    strays = store.queue.strays()
    assert (strays.due, strays.dead) == ([], [])
    assert sorted(admit(store, 1)) == ["answered"]
