"""Whoever shows a step is told of each change."""

from __future__ import annotations

import json
import threading

import pytest

from evercell.engine.watching import Snapshot, StepProgress, StepState, Watchers, snapshot_from_json


def test_a_watcher_sees_the_calls_of_a_step_come_and_go() -> None:
    seen: list[Snapshot] = []
    watchers = Watchers()
    leave = watchers.add(seen.append)
    progress = StepProgress("research", cell_id="c1", why="its code changed", watchers=watchers)
    progress.recorded(1)
    progress.call_replayed()
    progress.call_began("ask")
    assert seen[-1].calls == ()
    progress.beat()
    assert (seen[-1].calls, seen[-1].replayed) == (("ask",), 1)
    progress.call_executed(ok=True, tries=[{"tokens_in": 3, "tokens_out": 4, "cost": 0.5}])
    progress.call_left("ask")
    with progress.waiting("ann"):
        assert (seen[-1].state, seen[-1].waits_for) == (StepState.WAITING, "ann")
    progress.enter(StepState.COMPLETED)
    last = seen[-1]
    assert (last.step, last.cell_id, last.why, last.state) == (
        "research",
        "c1",
        "its code changed",
        "completed",
    )
    assert (last.executed, last.replayed, last.recorded, last.calls) == (1, 1, 1, ())
    assert (last.tokens, last.cost) == (7, 0.5)
    leave()
    progress.enter(StepState.FAILED)
    assert seen[-1] is last


def test_a_step_under_way_is_told_of_though_its_thread_is_busy() -> None:
    told = threading.Event()
    watchers = Watchers()
    progress = StepProgress("research", watchers=watchers)
    watchers.add(lambda snapshot: told.set() if snapshot.calls == ("ask",) else None)
    with progress.under_way():
        progress.call_began("ask")
        assert told.wait(60)


def test_a_step_that_raises_is_under_way_no_more() -> None:
    seen: list[Snapshot] = []
    watchers = Watchers()
    watchers.add(seen.append)
    progress = StepProgress("research", watchers=watchers)
    with pytest.raises(KeyError), progress.under_way():
        raise KeyError
    assert seen[-1].state is StepState.FAILED


def test_a_watcher_that_fails_is_told_no_more_and_ends_no_step() -> None:
    seen: list[Snapshot] = []

    def fail(snapshot: Snapshot) -> None:
        raise ValueError(snapshot)

    watchers = Watchers()
    watchers.add(fail)
    watchers.add(seen.append)
    StepProgress("research", watchers=watchers).enter(StepState.COMPLETED)
    assert [s.state for s in seen] == ["running", "completed"]


def test_it_waits_as_long_as_one_of_several_waits() -> None:
    progress = StepProgress("research")
    with progress.waiting("ann"):
        with progress.waiting("bob"):
            assert progress.snapshot().waits_for == "bob"
        assert (progress.snapshot().state, progress.snapshot().waits_for) == (StepState.WAITING, "ann")
    assert progress.snapshot().state is StepState.RUNNING


def test_a_call_of_an_earlier_attempt_that_ends_late_is_none_of_this_one() -> None:
    progress = StepProgress("research")
    progress.call_began("ask")
    progress.begin_attempt(2)
    progress.call_left("ask")
    progress.call_began("ask")
    assert progress.snapshot().calls == ("ask",)


def test_a_snapshot_crosses_processes_and_what_is_none_is_refused() -> None:
    progress = StepProgress("plan <b>", cell_id="c1")
    progress.call_began("ask")
    snapshot = progress.snapshot()
    assert snapshot_from_json(json.loads(json.dumps(snapshot.as_json()))) == snapshot
    for other in ({}, {"state": "running"}, {"state": "odd", "step": 1}, {"state": []}):
        assert snapshot_from_json(other) is None


def test_a_further_attempt_counts_from_its_first_call() -> None:
    progress = StepProgress("research")
    progress.call_executed(ok=False, tries=[])
    progress.expect(3)
    assert (progress.snapshot().failed, progress.snapshot().expected) == (1, 4)
    progress.begin_attempt(2)
    assert (progress.snapshot().attempt, progress.snapshot().executed, progress.snapshot().expected) == (
        2,
        0,
        None,
    )


def test_a_step_whose_wait_ended_its_kernel_says_what_it_waits_for() -> None:
    progress = StepProgress("ask")
    with pytest.raises(Exhausted), progress.waiting("ann to answer 'Send?'"):
        raise Exhausted
    assert progress.snapshot().waits_for == "", "it goes on"
    progress.enter(StepState.WAITING)
    assert progress.snapshot().waits_for == "ann to answer 'Send?'"


class Exhausted(Exception):
    """What ends a wait."""
