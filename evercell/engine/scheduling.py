"""Schedules: what is due is made into runs, by whoever looks, once. The rules are pure; the store commits them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evercell.core.errors import (
    EvercellError,
    RowDamaged,
    RunNotFound,
    ScheduleNotFound,
    Tampered,
    UsageError,
)
from evercell.core.found import Found
from evercell.core.ids import new_id
from evercell.core.names import require_name
from evercell.core.records import NewRun, Run
from evercell.core.schedules import RUN_NAME, CatchUp, Firing, OpenRun, Overlap, Plan, Schedule, firing_key
from evercell.core.statuses import RunStatus
from evercell.core.text import one_line
from evercell.engine.firing_times import FiringTimes, read_expression, read_times, read_zone
from evercell.engine.holder import this_user
from evercell.engine.missions.scheduled import scheduled_mission, sign_for_schedule
from evercell.engine.queueing import place_of
from evercell.engine.workspace import Workspace

if TYPE_CHECKING:
    from evercell.core.missions import MissionDefinition

ON_TIME = timedelta(minutes=1)
"""A firing that is looked at so late was not missed: with ``--catch-up none`` it still runs."""

MOST_WAITING = 1000
"""Runs of one schedule that have not ended. Firings beyond that are left out: of those that were missed, the oldest."""

LONGEST_NAME = 150
"""Of a schedule: its runs are called by it and a time."""


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """What a schedule is made from."""

    cron: str
    notebook: Path
    name: str | None = None
    """None: the notebook's."""
    timezone: str = "UTC"
    output: Path | None = None
    params: Mapping[str, Any] | None = None
    kernel: str | None = None
    catch_up: CatchUp = CatchUp.LAST
    overlap: Overlap | None = None
    """None: a firing waits where each is made up for, and otherwise is skipped."""
    priority: int = 0
    limits: tuple[str, ...] = ()
    mission: MissionDefinition | None = None
    """What each run is launched as."""


# -- what is due ---------------------------------------------------------------------------------


def fire_due(workspace: Workspace, now: datetime) -> datetime | None:
    """Commit the runs of all schedules that are due, each with its firing's key; returns when to look again (None:
    nothing is scheduled).

    Several servers may do so at the same instant. A schedule that cannot be read or understood here is passed over,
    with a remark in lists, and the others fire.
    """
    store = workspace.store.schedules
    for name in store.due(now):
        try:
            store.fire(name, partial(_plan, workspace, now))
        except ScheduleNotFound:
            continue
        except (RowDamaged, Tampered, UsageError) as error:
            _note(workspace, name, error, now)
    return store.next_due(now)


def _note(workspace: Workspace, name: str, error: EvercellError, now: datetime) -> None:
    try:
        workspace.store.schedules.note(name, f"It cannot fire here: {error.what}", now)
    except (ScheduleNotFound, RowDamaged):
        return


def _plan(
    workspace: Workspace, now: datetime, schedule: Schedule, open_runs: Sequence[OpenRun]
) -> Plan | None:
    if schedule.paused_at is not None or schedule.next_at is None or schedule.next_at > now:
        return None
    plan = plan_firings(schedule, read_times(schedule.cron, schedule.timezone), now, open_runs)
    if schedule.mission is None and schedule.mission_mac is None:
        return plan
    return replace(
        plan,
        firings=tuple(
            replace(firing, run=_as_mission(workspace, schedule, firing.run)) for firing in plan.firings
        ),
    )


def plan_firings(schedule: Schedule, times: FiringTimes, now: datetime, open_runs: Sequence[OpenRun]) -> Plan:
    """What becomes of the firings that are due by now: the rules of ``--catch-up`` and ``--overlap``."""
    first = schedule.next_at or now
    due, are_all = times.newest(first, now, most=MOST_WAITING)
    chosen = _caught_up(schedule.catch_up, due, now)
    remarks = []
    if missed := len(due) - len(chosen):
        remarks.append(_missed(schedule, times, due, missed, first=None if are_all else first))
    kept, left_out = _overlapping(schedule.overlap, chosen, open_runs)
    if left_out:
        remarks.append(_skipped(schedule, times, left_out, open_runs))
    elif not are_all and schedule.catch_up is CatchUp.ALL:
        remarks.append(
            f"Those before {_said(times, due[0])} were left out: {MOST_WAITING:,} are made up for at most."
        )
    failure = _why_not(schedule) if kept else ""
    return Plan(
        next_at=times.next_after(now),
        firings=tuple(Firing(at, _new_run(schedule, times, at), failure) for at in kept),
        cancels=tuple(run.id for run in open_runs) if kept and schedule.overlap is Overlap.CANCEL else (),
        left_out=missed + len(left_out),
        remark=" ".join(remarks),
        last_at=due[-1] if due else None,
    )


def _caught_up(rule: CatchUp, due: Sequence[datetime], now: datetime) -> list[datetime]:
    if rule is CatchUp.ALL:
        return list(due)
    if rule is CatchUp.LAST:
        return list(due[-1:])
    return [at for at in due if now - at <= ON_TIME]


def _overlapping(
    rule: Overlap, chosen: list[datetime], open_runs: Sequence[OpenRun]
) -> tuple[list[datetime], list[datetime]]:
    """Those that become runs, and those that do not, since others have not ended."""
    if rule is Overlap.CANCEL:
        return chosen, []
    room = MOST_WAITING - len(open_runs) if rule is Overlap.QUEUE or not open_runs else 0
    return chosen[: max(0, room)], chosen[max(0, room) :]


def _missed(
    schedule: Schedule, times: FiringTimes, due: Sequence[datetime], count: int, *, first: datetime | None
) -> str:
    beginning = _said(times, first or due[0])
    how_many = f"{count:,} firing{'s' * (count > 1)}" if first is None else f"More than {count:,} firings"
    until = f" until {_said(times, due[-1])}" if count > 1 else ""
    return f"{how_many} from {beginning}{until} came too late (--catch-up {schedule.catch_up})."


def _skipped(
    schedule: Schedule, times: FiringTimes, left_out: Sequence[datetime], open_runs: Sequence[OpenRun]
) -> str:
    which = f"The firing of {_said(times, left_out[-1])}"
    if len(left_out) > 1:
        which = f"{len(left_out):,} firings until {_said(times, left_out[-1])}"
    if schedule.overlap is Overlap.QUEUE:
        return f"{which} did not become runs: {len(open_runs):,} wait already."
    former = open_runs[-1]
    was = "was" if len(left_out) == 1 else "were"
    return f"{which} {was} skipped: run {former.name} ({former.status}) had not ended."


def _said(times: FiringTimes, moment: datetime) -> str:
    return f"{moment.astimezone(times.zone):%Y-%m-%d %H:%M %Z}"


def _why_not(schedule: Schedule) -> str:
    """Why a run of it cannot begin: its notebook was there, and has vanished. (The folder may be another host's.)"""
    path = Path(schedule.notebook)
    try:
        if path.parent.is_dir() and not path.is_file():
            return f"There is no notebook at {path} any more."
    except OSError:
        pass  # whoever executes it says so
    return ""


def _new_run(schedule: Schedule, times: FiringTimes, at: datetime, *, by: str | None = None) -> NewRun:
    here = at.astimezone(times.zone)
    name = f"{schedule.name}-{here:%Y-%m-%d-%H%M}"
    notebook = Path(schedule.notebook)
    pattern = schedule.output or str(notebook.with_name(f"{notebook.stem}.{RUN_NAME}.ipynb"))
    return NewRun(
        notebook=schedule.notebook, name=name, output=pattern, params=schedule.params,
        created_by=by or schedule.created_by, status=RunStatus.QUEUED, kernel=schedule.kernel,
        run_key=firing_key(schedule.name, at),
    )  # fmt: skip


def _as_mission(workspace: Workspace, schedule: Schedule, new: NewRun) -> NewRun:
    """The run, launched as what the schedule says. Raises `Tampered`, `RowDamaged`."""
    mission = scheduled_mission(workspace, schedule)
    return new if mission is None else replace(new, mission=replace(mission, by=new.created_by))


# -- made, paused, removed -----------------------------------------------------------------------


def add_schedule(workspace: Workspace, new: NewSchedule) -> Schedule:
    """Commit a schedule. Raises `UsageError` for one that says no times, never fires, or has no such zone, and
    `ScheduleNameTaken`.
    """
    name = new.name or new.notebook.stem
    require_name(name, "schedule")
    if len(name) > LONGEST_NAME:
        raise UsageError(
            f"The name of a schedule has at most {LONGEST_NAME} characters, and this one {len(name)}.",
            hint="Name it: --name",
        )
    times = FiringTimes(read_expression(new.cron), read_zone(new.timezone))
    place = place_of(priority=new.priority, limits=new.limits)
    now = workspace.clock()
    waits = Overlap.QUEUE if new.catch_up is CatchUp.ALL else Overlap.SKIP
    return workspace.store.schedules.add(
        Schedule(
            name, times.expression, times.zone.key, str(new.notebook.absolute()),
            str(new.output.absolute()) if new.output else None, dict(new.params or {}), new.kernel,
            new.catch_up, new.overlap or waits, place.priority, place.limits,
            next_at=times.next_after(now), last_at=None, paused_at=None, created_at=now, created_by=this_user(),
            **_mission_columns(workspace, name, new.mission),
        )
    )  # fmt: skip


def _mission_columns(workspace: Workspace, name: str, definition: MissionDefinition | None) -> dict[str, Any]:
    if definition is None:
        return {}
    mac = sign_for_schedule(workspace.signer, name, definition)
    return {"mission": definition.to_json(), "mission_mac": mac}


def pause_schedule(workspace: Workspace, name: str) -> Schedule:
    """Commit that a schedule does not fire until it is resumed. Runs that it made go on."""
    return workspace.store.schedules.pause(name, workspace.clock())


def resume_schedule(workspace: Workspace, name: str) -> tuple[Schedule, int]:
    """Commit that it fires again, from now on; and how many firings fell into the pause: nobody makes up for them."""
    schedule, now = workspace.store.schedules.find(name), workspace.clock()
    if schedule.paused_at is None:
        raise UsageError(
            f"Nobody paused schedule {name}.", hint="`evercell schedule list` says how each stands."
        )
    times = read_times(schedule.cron, schedule.timezone)
    passed, _ = times.newest(schedule.next_at, now, most=MOST_WAITING) if schedule.next_at else ([], True)
    return workspace.store.schedules.resume(name, times.next_after(now)), len(passed)


def start_now(workspace: Workspace, name: str) -> Run:
    """Commit a run of a schedule at this moment, beside its firings."""
    schedule, now = workspace.store.schedules.find(name), workspace.clock()
    times = read_times(schedule.cron, schedule.timezone)
    if failure := _why_not(schedule):
        raise UsageError(failure, hint="Put it back, or remove the schedule.")
    new = _as_mission(workspace, schedule, _new_run(schedule, times, now, by=this_user()))
    key = f"{firing_key(schedule.name, now)} by hand {new_id()}"
    return workspace.store.schedules.start(name, replace(new, run_key=key))


# -- listed --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A schedule as a listing shows it."""

    schedule: Schedule
    times: FiringTimes | None
    """None where its expression or zone cannot be read here."""
    last_run: Run | None

    def as_json(self) -> dict[str, object]:
        """For ``--json``."""
        found = self.schedule
        moments = {name: getattr(found, name) for name in ("next_at", "last_at", "paused_at", "created_at")}
        last = self.last_run
        return {
            "name": found.name, "cron": found.cron, "timezone": found.timezone, "notebook": found.notebook,
            "output": found.output, "params": dict(found.params), "kernel": found.kernel,
            "catch_up": str(found.catch_up), "overlap": str(found.overlap), "priority": found.priority,
            "limits": list(found.limits), "mission": dict(found.mission) if found.mission is not None else None,
            **{name: at.isoformat() if at else None for name, at in moments.items()},
            "created_by": found.created_by,
            "last_run": {"id": last.id, "name": last.name, "status": str(last.status)} if last else None,
            "left_out": found.left_out, "remark": one_line(found.remark),
        }  # fmt: skip


def list_schedules(workspace: Workspace) -> Found[ScheduleRow]:
    """Every schedule, the one that fires next first."""
    found = workspace.store.schedules.all()
    return Found([*(schedule_row(workspace, schedule) for schedule in found), *found.damaged])


def schedule_row(workspace: Workspace, schedule: Schedule) -> ScheduleRow:
    """A schedule with its times and its newest run."""
    try:
        times = read_times(schedule.cron, schedule.timezone)
    except UsageError:
        times = None
    try:
        last = workspace.store.runs.find(schedule.last_run) if schedule.last_run else None
    except (RunNotFound, RowDamaged):
        last = None
    return ScheduleRow(schedule, times, last)
