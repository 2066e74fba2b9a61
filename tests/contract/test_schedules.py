"""Every firing is one run: none is lost, none comes twice, whoever looks, whatever is killed, wherever clocks jump."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from evercell.core.errors import (
    RowDamaged,
    RunNotFound,
    ScheduleNameTaken,
    ScheduleNotFound,
    Tampered,
    UsageError,
)
from evercell.core.records import EventKind, Run
from evercell.core.schedules import CatchUp, Overlap, Schedule
from evercell.core.statuses import RunStatus
from evercell.engine.claiming import claim_run
from evercell.engine.scheduling import (
    MOST_WAITING,
    NewSchedule,
    add_schedule,
    fire_due,
    list_schedules,
    pause_schedule,
    resume_schedule,
    start_now,
)
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.database import open_database
from tests.missions import defined, mission_in

BEGIN = datetime(2026, 11, 26, 0, 30, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PAIRS = 50


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def workspace(store_url: str, tmp_path: Path, clock: SetClock) -> Iterator[Workspace]:
    (tmp_path / "nb.ipynb").write_text("{}")
    with open_workspace(Settings(store_url, tmp_path / "key"), clock=clock) as opened:
        yield opened


def add(workspace: Workspace, cron: str = "0 * * * *", name: str = "nightly", **options: Any) -> Schedule:
    notebook = workspace.settings.key_path.parent / "nb.ipynb"
    return add_schedule(workspace, NewSchedule(cron, notebook, name=name, **options))


def runs_of(workspace: Workspace, name: str = "nightly") -> list[Run]:
    """The runs that a schedule made, the oldest first."""
    found = workspace.store.runs.all()
    return sorted(
        (r for r in found if (r.run_key or "").startswith(f"schedule:{name}@")), key=lambda r: r.run_key
    )


def fired_at(workspace: Workspace, name: str = "nightly") -> list[str]:
    return [(run.run_key or "").partition("@")[2] for run in runs_of(workspace, name)]


def queued(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """The rows of the queue by run."""
    with open_database(workspace.settings.store_url) as connection:
        rows = connection.execute(sa.text("SELECT * FROM queue ORDER BY enqueued_at")).mappings()
        return {row["run_id"]: dict(row) for row in rows}


def end(workspace: Workspace, run: Run, status: RunStatus = RunStatus.COMPLETED) -> None:
    """As a server does when a run has ended."""
    store = workspace.store
    if status is not RunStatus.CANCELLED and store.runs.find(run.id).status is RunStatus.QUEUED:
        store.runs.set_status(None, run.id, RunStatus.RUNNING)
    store.runs.set_status(None, run.id, status)
    with open_database(workspace.settings.store_url) as connection:
        connection.execute(sa.text("DELETE FROM queue WHERE run_id = :run"), {"run": run.id})


def is_asked_to_end(workspace: Workspace, run: Run) -> bool:
    request = workspace.store.runs.request(run.id)
    return request is not None and request.what == "cancel"


def words(workspace: Workspace, run: Run) -> str:
    return str([event.data for event in workspace.store.journal.of_kinds(run.id, [EventKind.RUN_STATUS])])


# -- a firing ------------------------------------------------------------------------------------


def test_a_firing_is_a_run_with_its_moment_as_key_in_the_queue(workspace: Workspace, clock: SetClock) -> None:
    params = {"topic": "fusion", "deep": {"n": [1, None]}}
    made = add(
        workspace, "30 3 * * *", timezone="Europe/Berlin", params=params, priority=7, limits=("openai",), kernel="k"
    )  # fmt: skip
    assert made.next_at == datetime(2026, 11, 26, 2, 30, tzinfo=UTC)
    assert fire_due(workspace, clock.now) == made.next_at and runs_of(workspace) == []
    clock.now = made.next_at + timedelta(milliseconds=300)
    next_at = fire_due(workspace, clock.now)
    assert next_at == made.next_at + timedelta(days=1)
    (run,) = runs_of(workspace)
    assert run.run_key == "schedule:nightly@2026-11-26T02:30:00Z"
    assert (run.name, run.status, run.params) == ("nightly-2026-11-26-0330", RunStatus.QUEUED, params)
    assert run.output == str(Path(made.notebook).with_name("nb.nightly-2026-11-26-0330.ipynb"))
    assert workspace.store.runs.chosen_kernel(run) == "k"
    row = queued(workspace)[run.id]
    assert (row["priority"], row["share"], row["limits"]) == (7, made.created_by, '["openai"]')
    assert fire_due(workspace, clock.now) == next_at and len(runs_of(workspace)) == 1
    (listed,) = list_schedules(workspace)
    assert listed.last_run == run and listed.schedule.last_at == made.next_at
    workspace.store.journal.verify(run.id)


def test_nothing_scheduled_is_nothing_to_wait_for(workspace: Workspace) -> None:
    assert fire_due(workspace, BEGIN) is None


def test_names_that_are_taken_get_a_number_and_the_output_follows(
    workspace: Workspace, clock: SetClock, tmp_path: Path
) -> None:
    (tmp_path / "{run}").mkdir()
    add(workspace, output=tmp_path / "{run}" / "at {run}.ipynb")
    clock.now = BEGIN + HOUR
    first = start_now(workspace, "nightly")
    second = start_now(workspace, "nightly")
    assert (first.name, second.name) == ("nightly-2026-11-26-0130", "nightly-2026-11-26-0130-2")
    assert second.output == str(tmp_path / "{run}" / "at nightly-2026-11-26-0130-2.ipynb")
    assert first.run_key != second.run_key and set(queued(workspace)) == {first.id, second.id}


@pytest.mark.parametrize(
    ("catch_up", "expected", "left_out"),
    [
        (CatchUp.ALL, ["01:00", "02:00", "03:00", "04:00"], 0),
        (CatchUp.LAST, ["04:00"], 3),
        (CatchUp.NONE, ["04:00"], 3),
    ],
)
def test_what_nobody_was_there_for_is_made_up_for_as_asked(
    workspace: Workspace, clock: SetClock, catch_up: CatchUp, expected: list[str], left_out: int
) -> None:
    add(workspace, catch_up=catch_up)
    clock.now = BEGIN + 3.5 * HOUR + timedelta(seconds=20)
    fire_due(workspace, clock.now)
    assert [at[11:16] for at in fired_at(workspace)] == expected
    found = workspace.store.schedules.find("nightly")
    assert found.left_out == left_out and ("came too late" in found.remark) == bool(left_out)


def test_without_catching_up_what_is_later_than_a_minute_is_left_out(
    workspace: Workspace, clock: SetClock
) -> None:
    add(workspace, catch_up=CatchUp.NONE)
    clock.now = BEGIN + 1.5 * HOUR + timedelta(seconds=61)
    fire_due(workspace, clock.now)
    found = workspace.store.schedules.find("nightly")
    assert fired_at(workspace) == [] and found.next_at == BEGIN + 2.5 * HOUR
    assert "from 2026-11-26 01:00 UTC until 2026-11-26 02:00 UTC came too late" in found.remark


def test_ten_thousand_missed_firings_are_a_bounded_number_of_runs(
    workspace: Workspace, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_WAITING == 1000
    monkeypatch.setattr("evercell.engine.scheduling.MOST_WAITING", 40)
    add(workspace, "* * * * *", catch_up=CatchUp.ALL)
    clock.now = BEGIN + 10_000 * MINUTE
    fire_due(workspace, clock.now)
    fired = fired_at(workspace)
    assert len(fired) == 40 and fired[-1] == f"{clock.now:%Y-%m-%dT%H:%M:%SZ}"
    assert len(queued(workspace)) == 1, "one after the other"
    assert "left out: 40 are made up for at most" in workspace.store.schedules.find("nightly").remark
    clock.now += MINUTE
    fire_due(workspace, clock.now)
    assert len(fired_at(workspace)) == 40
    found = workspace.store.schedules.find("nightly")
    assert "did not become runs: 40 wait already" in found.remark and found.next_at == clock.now + MINUTE


# -- at a bad time -------------------------------------------------------------------------------


def test_a_firing_is_skipped_while_the_former_runs_and_a_listing_says_so(
    workspace: Workspace, clock: SetClock
) -> None:
    add(workspace, timezone="Europe/Berlin")
    for hours in (0.5, 1.5, 2.5):
        clock.now = BEGIN + hours * HOUR
        fire_due(workspace, clock.now)
    (former,) = runs_of(workspace)
    found = workspace.store.schedules.find("nightly")
    assert found.left_out == 2 and found.remark == (
        f"The firing of 2026-11-26 04:00 CET was skipped: run {former.name} (queued) had not ended."
    )
    end(workspace, former)
    clock.now += HOUR
    fire_due(workspace, clock.now)
    assert [at[11:16] for at in fired_at(workspace)] == ["01:00", "04:00"]


@pytest.mark.parametrize("ended", [RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED])
def test_a_firing_waits_until_the_former_has_ended(
    workspace: Workspace, clock: SetClock, ended: RunStatus
) -> None:
    add(workspace, overlap=Overlap.QUEUE)
    for hours in (0.5, 1.5, 2.5):
        clock.now = BEGIN + hours * HOUR
        fire_due(workspace, clock.now)
    first, second, third = runs_of(workspace)
    assert set(queued(workspace)) == {first.id}
    assert fire_due(workspace, clock.now) == clock.now + timedelta(seconds=1), "it looks again soon"
    assert set(queued(workspace)) == {first.id}
    end(workspace, first, ended)
    fire_due(workspace, clock.now)
    assert set(queued(workspace)) == {second.id}
    end(workspace, third, RunStatus.CANCELLED)
    end(workspace, second)
    assert fire_due(workspace, clock.now) == BEGIN + 3.5 * HOUR and queued(workspace) == {}


def test_missed_firings_run_one_after_the_other_even_where_overlapping_ones_are_skipped(
    workspace: Workspace, clock: SetClock
) -> None:
    add(workspace, catch_up=CatchUp.ALL, overlap=Overlap.SKIP)
    clock.now = BEGIN + 2.5 * HOUR
    fire_due(workspace, clock.now)
    assert len(fired_at(workspace)) == 3 and len(queued(workspace)) == 1


def test_the_former_is_cancelled_where_it_has_not_begun_and_asked_to_end_where_it_runs(
    workspace: Workspace, clock: SetClock
) -> None:
    add(workspace, overlap=Overlap.CANCEL)
    clock.now = BEGIN + HOUR / 2
    fire_due(workspace, clock.now)
    (first,) = runs_of(workspace)
    clock.now += HOUR
    fire_due(workspace, clock.now)
    assert workspace.store.runs.find(first.id).status is RunStatus.CANCELLED
    assert "took its place" in words(workspace, first)
    second = runs_of(workspace)[1]
    assert set(queued(workspace)) == {second.id}
    claim = claim_run(workspace, second)
    workspace.store.runs.set_status(claim.held.lease, second.id, RunStatus.RUNNING)
    clock.now += HOUR
    workspace.store.leases.renew(claim.held.lease, ttl=workspace.lease_ttl)
    fire_due(workspace, clock.now)
    third = runs_of(workspace)[2]
    assert is_asked_to_end(workspace, second)
    assert set(queued(workspace)) == {second.id}, "the new one begins when that one has ended"
    claim.give_back()
    fire_due(workspace, clock.now)
    assert workspace.store.runs.find(second.id).status is RunStatus.CANCELLED
    assert set(queued(workspace)) == {third.id}
    workspace.store.queue.admit("server", lambda picture: picture.entries)
    clock.now += HOUR
    fire_due(workspace, clock.now)
    assert workspace.store.runs.find(third.id).status is RunStatus.QUEUED, "a server starts it just now"
    assert is_asked_to_end(workspace, third)
    for run in (first, second, third):
        workspace.store.journal.verify(run.id)


def test_a_former_run_that_was_deleted_holds_nobody_up(workspace: Workspace, clock: SetClock) -> None:
    add(workspace, overlap=Overlap.QUEUE)
    for hours in (0.5, 1.5):
        clock.now = BEGIN + hours * HOUR
        fire_due(workspace, clock.now)
    first, second = runs_of(workspace)
    workspace.store.references.delete(first.id, by="ann")
    fire_due(workspace, clock.now)
    assert second.id in queued(workspace)


def test_a_notebook_that_vanished_is_a_failed_run_and_the_schedule_goes_on(
    workspace: Workspace, clock: SetClock
) -> None:
    made = add(workspace)
    Path(made.notebook).unlink()
    clock.now = BEGIN + HOUR / 2
    fire_due(workspace, clock.now)
    (run,) = runs_of(workspace)
    assert run.status is RunStatus.FAILED and f"no notebook at {made.notebook} any more" in words(
        workspace, run
    )
    assert queued(workspace) == {}
    workspace.store.journal.verify(run.id)
    Path(made.notebook).write_text("{}")
    clock.now += HOUR
    fire_due(workspace, clock.now)
    assert [r.status for r in runs_of(workspace)] == [RunStatus.FAILED, RunStatus.QUEUED]


# -- paused, removed, damaged --------------------------------------------------------------------


def test_what_falls_into_a_pause_is_not_made_up_for(workspace: Workspace, clock: SetClock) -> None:
    add(workspace, catch_up=CatchUp.ALL)
    pause_schedule(workspace, "nightly")
    clock.now = BEGIN + 2 * HOUR
    assert fire_due(workspace, clock.now) is None and fired_at(workspace) == []
    resumed, passed = resume_schedule(workspace, "nightly")
    assert passed == 2 and resumed.next_at == BEGIN + 2.5 * HOUR and resumed.paused_at is None
    clock.now = BEGIN + 2.5 * HOUR
    fire_due(workspace, clock.now)
    assert [at[11:16] for at in fired_at(workspace)] == ["03:00"]
    with pytest.raises(UsageError, match="Nobody paused"):
        resume_schedule(workspace, "nightly")


def test_a_removed_schedule_takes_along_what_waited_and_leaves_what_runs(
    workspace: Workspace, clock: SetClock
) -> None:
    add(workspace, catch_up=CatchUp.ALL)
    clock.now = BEGIN + 2.5 * HOUR
    fire_due(workspace, clock.now)
    _, second, third = runs_of(workspace)
    removed = workspace.store.schedules.remove("nightly")
    assert removed.cancelled == (second.name, third.name)
    assert [r.status for r in runs_of(workspace)] == [RunStatus.QUEUED] + [RunStatus.CANCELLED] * 2
    assert fire_due(workspace, clock.now + HOUR) is None
    for call in (workspace.store.schedules.remove, workspace.store.schedules.find):
        with pytest.raises(ScheduleNotFound):
            call("nightly")
    add(workspace, catch_up=CatchUp.ALL)
    fire_due(workspace, clock.now)
    assert len(runs_of(workspace)) == 3, "a firing that there was before is not made again"


def test_a_name_is_taken_once_and_a_wrong_one_is_met_with_the_nearest(workspace: Workspace) -> None:
    add(workspace)
    with pytest.raises(ScheduleNameTaken, match="nightly"):
        add(workspace)
    with pytest.raises(ScheduleNotFound) as wrong:
        workspace.store.schedules.find("nightlu")
    assert "nightly" in wrong.value.hint
    for name in ("a@b", "x" * 151, "a/b", "\x1b[2J", " "):
        with pytest.raises(UsageError):
            add(workspace, name=name)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("limits", "{"),
        ("catch_up", "never"),
        ("timezone", "Atlantis/City"),
        ("cron", "0 0 30 2 *"),
        ("params", "7"),
    ],
)
def test_a_schedule_that_cannot_be_read_keeps_no_other_from_firing(
    workspace: Workspace, clock: SetClock, column: str, value: str
) -> None:
    add(workspace)
    add(workspace, name="other")
    with open_database(workspace.settings.store_url) as connection:
        table = sa.table("schedules", sa.column("name"), sa.column(column))
        connection.execute(sa.update(table).where(table.c.name == "nightly").values({column: value}))
    clock.now = BEGIN + HOUR / 2
    assert fire_due(workspace, clock.now) == BEGIN + 1.5 * HOUR
    assert len(fired_at(workspace, "other")) == 1 and fired_at(workspace) == []
    listed = list_schedules(workspace)
    said = [*(row.schedule.remark for row in listed), *map(str, listed.damaged)]
    assert any("cannot fire here" in text or "damaged" in text for text in said)
    workspace.store.schedules.remove("other")


def test_each_run_of_a_schedule_is_a_mission_of_its_own_as_it_was_when_it_was_added(
    workspace: Workspace, clock: SetClock
) -> None:
    definition = defined(approvers=["bob"])
    add(workspace, catch_up=CatchUp.ALL, mission=definition)
    add(workspace, name="other")
    clock.now = BEGIN + 1.5 * HOUR
    fire_due(workspace, clock.now)
    by_hand = start_now(workspace, "nightly")
    made = [*runs_of(workspace)[:2], by_hand]
    missions = [mission_in(workspace, run) for run in made]
    assert [m.definition for m in missions] == [definition] * 3
    assert len({m.mac for m in missions}) == 3, "each is signed for its run"
    assert all(
        str(m.state) == "CREATED" and m.launched_by == r.created_by
        for m, r in zip(missions, made, strict=True)
    )
    assert [workspace.store.missions.get(run.id) for run in runs_of(workspace, "other")] == [None]
    row = next(row for row in list_schedules(workspace) if row.schedule.name == "nightly")
    assert row.as_json()["mission"] == definition.to_json()


@pytest.mark.parametrize(
    "values",
    [
        {"mission": json.dumps(defined(tools=["transfer", "shell"]).to_json())},
        {"mission": None},
        {"mission": "{}"},
        {"mission_mac": b"1"},
        {"mission_mac": None},
    ],
)
def test_a_schedule_whose_mission_was_altered_makes_no_run(
    workspace: Workspace, clock: SetClock, values: dict[str, Any]
) -> None:
    add(workspace, mission=defined())
    with open_database(workspace.settings.store_url) as connection:
        table = sa.table("schedules", *(sa.column(name) for name in values))
        connection.execute(sa.update(table).values(values))
    clock.now = BEGIN + HOUR / 2
    fire_due(workspace, clock.now)
    assert runs_of(workspace) == []
    assert "The mission of schedule nightly" in workspace.store.schedules.find("nightly").remark
    with pytest.raises((Tampered, RowDamaged), match="mission of schedule nightly"):
        start_now(workspace, "nightly")
    assert runs_of(workspace) == []


# -- clocks, servers, kills ----------------------------------------------------------------------


def test_a_clock_that_jumps_doubles_and_loses_nothing(workspace: Workspace, clock: SetClock) -> None:
    add(workspace, "*/20 * * * *", catch_up=CatchUp.ALL)
    for minutes in (30, 90, 30, 45, 91, 31, 110, 130, 70, 150):
        clock.now = BEGIN + minutes * MINUTE
        fire_due(workspace, clock.now)
    expected = [BEGIN + m * MINUTE for m in range(10, 151, 20)]
    assert fired_at(workspace) == [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in expected]


def test_of_two_servers_at_the_same_instant_one_fires(store_url: str, tmp_path: Path) -> None:
    (tmp_path / "nb.ipynb").write_text("{}")
    clock = SetClock()
    with ExitStack() as opened, ThreadPoolExecutor(2) as pool:
        settings = Settings(store_url, tmp_path / "key")
        two = [opened.enter_context(open_workspace(settings, clock=clock)) for _ in range(2)]
        add(two[0], "* * * * *", overlap=Overlap.QUEUE)
        add(two[0], "* * * * *", name="other", overlap=Overlap.CANCEL)
        for _ in range(PAIRS):
            clock.now += MINUTE
            barrier = threading.Barrier(2)

            def fire(workspace: Workspace, barrier: threading.Barrier = barrier) -> datetime | None:
                barrier.wait()
                return fire_due(workspace, clock.now)

            assert all(at is not None and at > clock.now for at in pool.map(fire, two))
        expected = [f"{BEGIN + n * MINUTE:%Y-%m-%dT%H:%M:%SZ}" for n in range(1, PAIRS + 1)]
        for name in ("nightly", "other"):
            assert fired_at(two[0], name) == expected
            for run in runs_of(two[0], name):
                two[0].store.journal.verify(run.id)
        assert len(queued(two[0])) == 2


FIRE = """
import sys
from datetime import datetime
from pathlib import Path
from evercell.engine.scheduling import fire_due
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
url, key, now = sys.argv[1:]
at = datetime.fromisoformat(now)
with open_workspace(Settings(url, Path(key)), clock=lambda: at) as workspace:
    fire_due(workspace, at)
"""

PLACES = [
    "after_firing_made", "after_firing_made:2", "after_firing_queued", "before_firing_commit", "after_firing_commit",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_at_any_line_that_writes_loses_and_doubles_no_firing(
    workspace: Workspace, clock: SetClock, place: str
) -> None:
    add(workspace, catch_up=CatchUp.ALL)
    clock.now = BEGIN + 1.5 * HOUR
    url, key = workspace.settings.store_url, workspace.settings.key_path
    done = subprocess.run(
        [sys.executable, "-c", FIRE, url, str(key), clock.now.isoformat()],
        env={**os.environ, "EVERCELL_FAULT": place}, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    is_committed = place == "after_firing_commit"
    assert len(runs_of(workspace)) == (2 if is_committed else 0), "all of it, or nothing"
    fire_due(workspace, clock.now)
    first, second = runs_of(workspace)
    assert [at[11:16] for at in fired_at(workspace)] == ["01:00", "02:00"]
    assert set(queued(workspace)) == {first.id}
    for run in (first, second):
        workspace.store.journal.verify(run.id)


def test_the_places_of_kills_are_all_lines_that_write() -> None:
    import evercell.store.schedules as module

    source = Path(module.__file__).read_text()
    named = {line.split('reach("')[1].split('"')[0] for line in source.splitlines() if 'reach("' in line}
    assert named == {place.partition(":")[0] for place in PLACES}


def test_a_run_by_hand_is_beside_the_firings(workspace: Workspace, clock: SetClock) -> None:
    add(workspace, overlap=Overlap.QUEUE)
    clock.now = BEGIN + HOUR / 2
    fire_due(workspace, clock.now)
    by_hand = start_now(workspace, "nightly")
    assert by_hand.id in queued(workspace) and len(queued(workspace)) == 2
    clock.now += HOUR
    fire_due(workspace, clock.now)
    assert len(queued(workspace)) == 2 and len(runs_of(workspace)) == 3
    with pytest.raises(ScheduleNotFound):
        start_now(workspace, "nobody")
    with pytest.raises(RunNotFound):
        workspace.store.runs.find("nobody")
