"""Schedules against a model of a few lines: whatever happens, the runs are those that the rules say, each once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evercell.core.errors import UsageError
from evercell.core.faults import watched
from evercell.core.schedules import CatchUp, Overlap, firing_key
from evercell.core.statuses import RunStatus
from evercell.engine.firing_times import FiringTimes, read_times
from evercell.engine.scheduling import (
    ON_TIME,
    NewSchedule,
    add_schedule,
    fire_due,
    pause_schedule,
    resume_schedule,
)
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.conftest import postgres_database
from tests.contract.test_schedules import PLACES, SetClock, end, queued, runs_of


class Killed(BaseException):
    """As if the process had died there: its transaction is rolled back."""


@dataclass
class Model:
    """What the rules say, told without a database."""

    times: FiringTimes
    catch_up: CatchUp
    overlap: Overlap
    next_at: datetime | None
    is_paused: bool = False
    fired: list[str] = field(default_factory=list)
    open: list[str] = field(default_factory=list)

    def fire(self, now: datetime) -> None:
        if self.is_paused or self.next_at is None or self.next_at > now:
            return
        due, at = [], self.next_at
        while at <= now:
            due.append(at)
            following = self.times.next_after(at)
            assert following is not None
            at = following
        self.next_at = at
        if self.catch_up is CatchUp.LAST:
            due = due[-1:]
        elif self.catch_up is CatchUp.NONE:
            due = [at for at in due if now - at <= ON_TIME]
        if self.overlap is Overlap.SKIP and self.open:
            due = []
        if self.overlap is Overlap.CANCEL and due:
            self.open = []
        keys = [firing_key("nightly", at) for at in due]
        self.fired += keys
        self.open += keys


OPS = st.one_of(
    st.tuples(st.just("tick"), st.integers(10, 200)),
    st.tuples(st.just("tick"), st.integers(10, 200)),
    st.tuples(st.just("advance"), st.integers(1, 200)),
    st.tuples(st.just("jump"), st.integers(-120, 120)),
    st.tuples(st.just("fire"), st.integers(0, 1)),
    st.tuples(st.just("kill"), st.integers(0, len(PLACES) - 1)),
    st.tuples(st.just("end"), st.integers(0, 2)),
    st.tuples(st.just("pause"), st.just(0)),
    st.tuples(st.just("resume"), st.just(0)),
)
CRON = st.sampled_from(["0 * * * *", "*/17 * * * *", "30 2 * * *", "*/30 1,2 * * *", "5,50 * * * *"])
ZONE = st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
ENDINGS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED)


def play(url: str, folder: Path, model: Model, cron: str, ops: list[tuple[str, int]]) -> None:
    """Do all this on a store, and compare it with the model whenever somebody has looked at it."""
    clock = SetClock()
    with ExitStack() as opened:
        two = [
            opened.enter_context(open_workspace(Settings(url, folder / "key"), clock=clock)) for _ in range(2)
        ]
        new = NewSchedule(
            cron, folder / "nb.ipynb", name="nightly", timezone=model.times.zone.key,
            catch_up=model.catch_up, overlap=model.overlap,
        )  # fmt: skip
        model.next_at = add_schedule(two[0], new).next_at
        for op, number in ops:
            act(two, clock, model, op, number)
            if op in ("tick", "fire", "kill", "end"):
                compare(two[1], model, clock.now)
        for run in runs_of(two[0]):
            two[0].store.journal.verify(run.id)


def act(two: list[Workspace], clock: SetClock, model: Model, op: str, number: int) -> None:
    if op == "tick":
        act(two, clock, model, "advance", number)
        act(two, clock, model, "fire", number % 2)
    elif op == "advance":
        clock.now += timedelta(minutes=number, seconds=7)
    elif op == "jump":
        clock.now += timedelta(minutes=number)
    elif op == "fire":
        fire_due(two[number], clock.now)
        model.fire(clock.now)
    elif op == "kill":
        place = PLACES[number].partition(":")[0]
        with suppress(Killed), watched(lambda name: die(name, place)):
            fire_due(two[0], clock.now)
    elif op == "end" and model.open:
        run = next(run for run in runs_of(two[0]) if run.run_key == model.open[0])
        end(two[0], run, ENDINGS[number])
        del model.open[0]
    elif op == "pause":
        pause_schedule(two[0], "nightly")
        model.is_paused = True
    elif op == "resume":
        with suppress(UsageError):
            resume_schedule(two[0], "nightly")
        if model.is_paused:
            model.is_paused, model.next_at = False, model.times.next_after(clock.now)


def die(name: str, place: str) -> None:
    if name == place:
        raise Killed


def compare(workspace: Workspace, model: Model, now: datetime) -> None:
    """A kill may have left all of a firing or nothing: that it did is seen by looking once more."""
    fire_due(workspace, now)
    model.fire(now)
    found = runs_of(workspace)
    assert [run.run_key for run in found] == sorted(model.fired)
    assert len(model.fired) == len(set(model.fired)), "the model doubles none itself"
    unfinished = [r.run_key for r in found if r.status in (RunStatus.QUEUED, RunStatus.RUNNING)]
    assert unfinished == sorted(model.open)
    names = {run.id: run.run_key for run in found}
    assert [names[run_id] for run_id in queued(workspace)] == model.open[:1], (
        "one at a time, the oldest first"
    )
    schedule = workspace.store.schedules.find("nightly")
    assert schedule.next_at == model.next_at and "cannot fire" not in schedule.remark


@settings(max_examples=20)
@given(
    CRON, ZONE, st.sampled_from([*CatchUp]), st.sampled_from([*Overlap]), st.lists(OPS, min_size=6, max_size=25)
)  # fmt: skip
@example(
    "0 * * * *", "UTC", CatchUp.ALL, Overlap.QUEUE, [("advance", 200), ("kill", 3), ("fire", 1), ("end", 0)]
)
def test_the_runs_are_those_that_the_rules_say(
    cron: str, zone: str, catch_up: CatchUp, overlap: Overlap, ops: list[tuple[str, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "nb.ipynb").write_text("{}")
        model = Model(read_times(cron, zone), catch_up, overlap, None)
        play(f"sqlite:///{path / 'store.db'}", path, model, cron, ops)


@pytest.fixture
def postgres(postgres_server: str) -> Iterator[str]:
    yield from postgres_database(postgres_server)


@pytest.mark.postgres
@pytest.mark.parametrize("overlap", [*Overlap])
def test_so_are_they_on_postgresql(postgres: str, tmp_path: Path, overlap: Overlap) -> None:
    (tmp_path / "nb.ipynb").write_text("{}")
    model = Model(read_times("*/17 * * * *", "Europe/Berlin"), CatchUp.ALL, overlap, None)
    ops = [
        ("advance", 20), ("kill", 0), ("fire", 0), ("fire", 1), ("jump", 90), ("kill", 3), ("kill", 4), ("jump", -60),
        ("fire", 1), ("end", 0), ("advance", 61), ("kill", 2), ("fire", 0), ("end", 1), ("pause", 0), ("advance", 99),
        ("fire", 0), ("resume", 0), ("advance", 17), ("fire", 1), ("end", 2), ("end", 0),
    ]  # fmt: skip
    play(postgres, tmp_path, model, "*/17 * * * *", ops)
