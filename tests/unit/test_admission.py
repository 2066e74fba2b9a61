"""Who is started next: no limit is exceeded, nobody starves, all are started. Records only: no store, no kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evercell.core.queueing import Limit, Place, Queued, QueuePicture, Slot
from evercell.core.records import Holder, Lease
from evercell.core.statuses import CANCEL, PAUSE, RunStatus
from evercell.engine.admission import RISE, Grant, choose, grant, limits_in_use, obstacle, rate_in_words
from evercell.engine.queue_states import Fate, Obstacles, fate, pause_before

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SOMEBODY = Holder("elsewhere", "boot", 1, 0.0, "ana")


def queued(
    name: str, share: str = "ana", priority: int = 0, limits: Sequence[str] = (), turn: int | None = None
) -> Queued:
    return Queued(
        run_id=name, name=name, notebook=None, status=RunStatus.QUEUED, run_head=None, asked=None,
        place=Place(share, priority, tuple(limits)), enqueued_at=NOON, turn=turn, ready_at=None, starts=0, head=None,
        problem=None, admitted_at=None, admitted_by=None, runner=None, lease=None, is_due=True,
    )  # fmt: skip


class Simulation:
    """Runs that take some turns each, started by the rule with so many jobs, while more may come."""

    def __init__(self, waiting: Sequence[Queued], limits: Sequence[Limit], jobs: int) -> None:
        self.waiting = list(waiting)
        self.limits = {limit.key: limit for limit in limits}
        self.jobs = jobs
        self.running: list[tuple[Queued, int]] = []
        self.slots: list[Slot] = []
        self.turns: dict[str, int] = {}
        self.turn = 0
        self.now = NOON
        self.order: list[Queued] = []

    def go_on(self, length: int = 1) -> list[Queued]:
        """One look: some have ended, others are started."""
        self.now += timedelta(seconds=1)
        self.running = [(entry, left - 1) for entry, left in self.running if left > 1]
        alive = {entry.run_id for entry, _ in self.running}
        self.slots = [
            slot if slot.run_id in alive else replace(slot, given_back_at=slot.given_back_at or self.now)
            for slot in self.slots
        ]
        self.waiting = [e if e.turn is not None else replace(e, turn=self.turn) for e in self.waiting]
        started = choose(
            self.waiting, under_way=[entry.place.share for entry, _ in self.running], turns=self.turns,
            turn=self.turn, uses=limits_in_use(self.limits, self.slots), room=self.jobs - len(self.running),
            now=self.now,
        )  # fmt: skip
        for entry in started:
            self.turn += 1
            self.turns[entry.place.share] = self.turn
            self.waiting.remove(entry)
            self.running.append((entry, length))
            self.slots += [
                Slot(
                    f"{entry.run_id} {key}",
                    key,
                    entry.run_id,
                    "",
                    entry.place.share,
                    None,
                    self.now,
                    self.now,
                )
                for key in entry.place.limits
                if key in self.limits
            ]
        self.order += started
        return started

    def require_limits_kept(self) -> None:
        assert len(self.running) <= self.jobs
        for key, limit in self.limits.items():
            of_key = [slot for slot in self.slots if slot.limit_key == key]
            if limit.at_once is not None:
                assert sum(slot.is_held for slot in of_key) <= limit.at_once
            if limit.rate is not None and limit.period is not None:
                since = self.now - timedelta(seconds=limit.period)
                assert (
                    sum(slot.taken_at is not None and slot.taken_at > since for slot in of_key) <= limit.rate
                )


KEYS = ["openai", "gpu", "nobody set this"]
LIMITS = st.lists(
    st.builds(
        Limit,
        st.sampled_from(KEYS[:2]),
        st.none() | st.integers(1, 3),
        st.none() | st.integers(1, 4),
        st.floats(1, 20),
    ),
    max_size=2,
    unique_by=lambda limit: limit.key,
)
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(["ana", "bo", "čtvrtý"]),
        st.integers(-5, 5),
        st.lists(st.sampled_from(KEYS), unique=True, max_size=2),
        st.integers(1, 4),
    ),
    max_size=25,
)


@given(ENTRIES, LIMITS, st.integers(1, 5))
@settings(max_examples=150)
def test_no_limit_is_ever_exceeded_and_all_are_started(
    drawn: list[tuple[str, int, list[str], int]], limits: list[Limit], jobs: int
) -> None:
    entries = [queued(f"r{n}", share, level, keys) for n, (share, level, keys, _) in enumerate(drawn)]
    simulation = Simulation(entries, limits, jobs)
    for _ in range(1500):
        length = drawn[len(simulation.order) % len(drawn)][3] if drawn else 1
        simulation.go_on(length)
        simulation.require_limits_kept()
        if not simulation.waiting:
            break
    assert sorted(e.run_id for e in simulation.order) == sorted(e.run_id for e in entries)


def test_a_user_with_a_thousand_runs_does_not_hold_up_the_one_with_one() -> None:
    simulation = Simulation([queued(f"a{n:04}") for n in range(1000)], [], jobs=4)
    for _ in range(50):
        simulation.go_on()
    simulation.waiting.append(queued("b", share="bo"))
    assert simulation.go_on()[0].run_id == "b"


def test_starts_are_shared_out_evenly_between_users_with_one_job() -> None:
    entries = [queued(f"a{n:03}") for n in range(100)] + [queued(f"b{n:03}", share="bo") for n in range(100)]
    simulation = Simulation(entries, [], jobs=1)
    for _ in range(60):
        simulation.go_on()
    assert Counter(e.place.share for e in simulation.order) == {"ana": 30, "bo": 30}


def test_the_share_with_fewer_runs_under_way_comes_first() -> None:
    simulation = Simulation([queued(f"a{n}") for n in range(6)], [], jobs=4)
    simulation.go_on(length=3)
    simulation.waiting.append(queued("b", share="bo"))
    simulation.running.pop()
    assert [e.run_id for e in simulation.go_on()] == ["b"]


def test_higher_priority_is_started_first_and_equals_in_the_order_they_came() -> None:
    entries = [queued("a", priority=-1), queued("b"), queued("c", priority=3), queued("d")]
    simulation = Simulation(entries, [], jobs=1)
    while simulation.waiting:
        simulation.go_on()
    assert [e.run_id for e in simulation.order] == ["c", "b", "d", "a"]


@pytest.mark.parametrize("share", ["ana", "bo"])
def test_low_priority_is_not_starved_by_a_stream_of_high_priority(share: str) -> None:
    simulation = Simulation([queued("low", share=share, priority=0)], [], jobs=1)
    for n in range(RISE * 6):
        simulation.waiting.append(replace(queued(f"h{n:04}", priority=5), enqueued_at=simulation.now))
        if any(e.run_id == "low" for e in simulation.go_on()):
            break
    assert "low" in [e.run_id for e in simulation.order]
    assert len(simulation.order) > RISE  # but not at once


def test_a_run_whose_limit_is_full_holds_up_none_behind_it() -> None:
    entries = [queued("a", limits=["gpu"]), queued("b", limits=["gpu"]), queued("c")]
    simulation = Simulation(entries, [Limit("gpu", at_once=1)], jobs=3)
    assert [e.run_id for e in simulation.go_on(length=2)] == ["a", "c"]
    uses = limits_in_use(simulation.limits, simulation.slots)
    assert obstacle(simulation.waiting[0], uses, simulation.now) == "limit gpu: 1 of 1 in use"


def test_a_rate_is_kept_in_any_period_and_says_when_the_next_one_may_begin() -> None:
    limit = Limit("api", rate=2, period=60)
    simulation = Simulation([queued(f"a{n}", limits=["api"]) for n in range(5)], [limit], jobs=9)
    assert len(simulation.go_on()) == 2
    uses = limits_in_use(simulation.limits, simulation.slots)
    assert obstacle(simulation.waiting[0], uses, simulation.now) == "limit api: 2/min, next in 60 s"
    while len(simulation.order) < 5:
        simulation.go_on()
        simulation.require_limits_kept()
    assert simulation.now - NOON > timedelta(minutes=2)


def test_rates_are_written_as_they_were_given() -> None:
    assert [rate_in_words(Limit("k", rate=3, period=p)) for p in (1, 60, 3600, 86400, 7)] == [
        "3/s", "3/min", "3/h", "3/d", "3/7s",
    ]  # fmt: skip


# -- slots of steps ------------------------------------------------------------------------------


def slot(
    name: str, share: str = "ana", *, at: int = 0, taken: bool = False, lent_by: str | None = None
) -> Slot:
    moment = NOON + timedelta(seconds=at)
    return Slot(name, "k", name, "s", share, lent_by, moment, moment if taken else None)


def test_a_slot_goes_to_the_share_that_holds_fewest_and_there_to_who_came_first() -> None:
    one, later = Limit("k", at_once=2), NOON + timedelta(seconds=9)
    held, a, b = slot("h", taken=True), slot("a", at=1), slot("b", "bo", at=2)
    assert grant(one, [held, a, b], b, later) == Grant()
    assert grant(one, [held, a, b], a, later) == Grant("limit k: others are first")
    assert grant(one, [a, b], a, later) == grant(one, [a, b], b, later) == Grant()
    c = slot("c", at=3)
    assert grant(one, [a, b, c], c, later).why_not == "limit k: others are first"
    full = [held, slot("i", taken=True), a]
    assert grant(one, full, a, later).why_not == "limit k: 2 of 2 in use"


def test_what_is_inside_of_a_holder_uses_its_slot_one_at_a_time_so_nobody_waits_for_themselves() -> None:
    limit = Limit("k", at_once=1)
    around, first, second = slot("o", taken=True), slot("a", lent_by="o"), slot("b", lent_by="o")
    assert grant(limit, [around, first, second], first, NOON) == Grant(borrows=True)
    first = replace(first, taken_at=NOON)
    assert grant(limit, [around, first, second], second, NOON).why_not == "limit k: 1 of 1 in use"
    first = replace(first, given_back_at=NOON)
    assert grant(limit, [around, first, second], second, NOON) == Grant(borrows=True)
    around = replace(around, given_back_at=NOON)
    assert grant(limit, [around, second], second, NOON) == Grant()  # it counts by itself
    paced = Limit("k", at_once=1, rate=1, period=60)
    assert "1/min" in grant(paced, [slot("o", taken=True), second], second, NOON).why_not


def test_the_slot_of_a_dead_holder_is_void() -> None:
    held, wanted = slot("h", taken=True), slot("a")
    limit = Limit("k", at_once=1)
    assert (
        grant(
            limit,
            [replace(held, is_live=False), replace(wanted, id="d", is_live=False), wanted],
            wanted,
            NOON,
        )
        == Grant()
    )
    assert grant(limit, [held, wanted], wanted, NOON).why_not


@given(
    st.lists(st.tuples(st.sampled_from(["ana", "bo"]), st.integers(1, 3)), min_size=1, max_size=12),
    st.integers(1, 3),
)
def test_slots_are_never_more_than_the_limit_and_everybody_gets_one(
    wanted: list[tuple[str, int]], at_once: int
) -> None:
    limit = Limit("k", at_once=at_once)
    slots = {f"s{n}": slot(f"s{n}", share, at=n) for n, (share, _) in enumerate(wanted)}
    left = {f"s{n}": length for n, (_, length) in enumerate(wanted)}
    for _ in range(100):
        for name, one in slots.items():
            if one.is_wanted and not grant(limit, [*slots.values()], one, NOON).why_not:
                slots[name] = replace(one, taken_at=NOON)
            assert sum(each.is_held for each in slots.values()) <= at_once
        for name, one in slots.items():
            left[name] -= one.is_held
            if one.is_held and not left[name]:
                slots[name] = replace(one, given_back_at=NOON)
    assert all(one.given_back_at for one in slots.values())


# -- what becomes of an entry --------------------------------------------------------------------


def lease() -> Lease:
    return Lease("r", "session", 1, SOMEBODY, NOON, NOON + timedelta(seconds=30))


@pytest.mark.parametrize(
    ("status", "asked", "runner_lives", "is_held", "expected"),
    [
        (RunStatus.RUNNING, None, True, True, Fate.KEEP),
        (RunStatus.RUNNING, None, True, False, Fate.KEEP),  # its runner starts another kernel
        (RunStatus.RUNNING, None, None, False, Fate.KEEP),  # nobody can tell yet
        (RunStatus.RUNNING, None, False, False, Fate.AGAIN),
        (RunStatus.RUNNING, None, False, True, Fate.AGAIN),  # its kernel lives, and is taken over
        (RunStatus.QUEUED, None, False, False, Fate.AGAIN),
        (RunStatus.PAUSED, None, False, False, Fate.AGAIN),  # its process was told to end
        (RunStatus.PAUSED, PAUSE, False, False, Fate.WAITS),
        (RunStatus.WAITING, None, False, False, Fate.WAITS),
        (RunStatus.RUNNING, CANCEL, False, False, Fate.CANCEL),
        (RunStatus.RUNNING, CANCEL, None, False, Fate.KEEP),
        (RunStatus.COMPLETED, None, False, False, Fate.ENDED),
        (RunStatus.COMPLETED, None, None, False, Fate.ENDED),
        (RunStatus.COMPLETED, None, False, True, Fate.KEEP),  # its kernel is on its way out
        (RunStatus.FAILED, None, False, False, Fate.ENDED),
        (RunStatus.CANCELLED, None, None, False, Fate.ENDED),
    ],
)
def test_what_becomes_of_an_admitted_run(
    status: RunStatus, asked: str | None, runner_lives: bool | None, is_held: bool, expected: Fate
) -> None:
    entry = replace(queued("r"), status=status, asked=asked, admitted_at=NOON, admitted_by="server")
    assert fate(entry, runner_lives=runner_lives, is_held=is_held) is expected


def test_a_run_that_ended_elsewhere_or_was_cancelled_leaves_the_queue() -> None:
    assert fate(replace(queued("r"), status=RunStatus.FAILED), runner_lives=None, is_held=False) is Fate.ENDED
    assert fate(replace(queued("r"), asked=CANCEL), runner_lives=None, is_held=False) is Fate.CANCEL
    assert fate(replace(queued("r"), asked=CANCEL), runner_lives=None, is_held=True) is Fate.KEEP
    assert fate(queued("r"), runner_lives=None, is_held=False) is Fate.KEEP


def test_what_keeps_a_run_from_being_started_is_said() -> None:
    entries = [
        replace(queued("paused"), asked=PAUSE),
        replace(queued("held"), lease=lease()),
        replace(queued("waiting"), status=RunStatus.WAITING, is_due=False),
        replace(queued("later"), ready_at=NOON + timedelta(seconds=9), starts=1),
        replace(queued("answered"), status=RunStatus.WAITING),
        replace(queued("gone"), lease=lease(), runner=SOMEBODY),  # its runner died, and its kernel lives
        replace(queued("set back"), ready_at=NOON + timedelta(hours=1), starts=3),  # the clock was
        replace(queued("at once"), ready_at=NOON - timedelta(hours=1)),
    ]
    picture = QueuePicture(entries, {}, [], {}, [], NOON)
    obstacles = Obstacles(picture, {"held", "gone"}, {})
    assert [obstacles.of(e) for e in entries] == [
        "paused; to go on: evercell unpause paused",
        "executed by somebody else",
        "waits for an answer, a signal or its time",
        "not before 9 s from now",
        "", "", "", "",
    ]  # fmt: skip
    assert [e.name for e in obstacles.candidates()] == ["answered", "gone", "set back", "at once"]


def test_the_pauses_between_starts_that_came_to_nothing_grow_up_to_a_minute() -> None:
    assert [pause_before(n) for n in (0, 1, 2, 3, 4, 20)] == [0, 0, 1, 2, 4, 60]
