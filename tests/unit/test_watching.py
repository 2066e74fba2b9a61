"""Whoever shows a step is told of each change."""

from __future__ import annotations

from evercell.engine.watching import Snapshot, StepProgress, StepState, Watchers


def test_a_watcher_sees_the_calls_of_a_step_come_and_go() -> None:
    seen: list[Snapshot] = []
    watchers = Watchers()
    leave = watchers.add(seen.append)
    progress = StepProgress("research", cell_id="c1", why="its code changed", watchers=watchers)
    progress.recorded(1)
    progress.call_replayed()
    progress.call_began("ask")
    assert seen[-1].calls == ("ask",)
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
