"""Schedules: rows that say when a notebook runs next. A firing is one transaction, so that none is lost or doubled."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.errors import ScheduleNameTaken, ScheduleNotFound
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.records import EventKind, NewRun, Run
from evercell.core.schedules import RUN_NAME, CatchUp, Firing, OpenRun, Overlap, Plan, Schedule
from evercell.core.statuses import CANCEL, ENDED, RunStatus
from evercell.core.text import as_word
from evercell.store.database import Database
from evercell.store.locks import lock_admission, lock_names
from evercell.store.outages import asks_again, is_asked_again
from evercell.store.prepared import insert_into
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_names import until_named
from evercell.store.runs import IS_THERE, Runs, change_status
from evercell.store.schema import leases, queue, runs, schedules, tags

Planner = Callable[[Schedule, Sequence[OpenRun]], Plan | None]
"""Says what is to be done for a schedule as it stands, given its runs that have not ended; None: nothing is due."""

HELD_LOOK = timedelta(seconds=1)
"""How soon one looks again whether a run has ended that another one waits for."""

_RAW = raw(schedules)
_RAW_RUN = raw(runs, [runs.c.id, runs.c.name, runs.c.status, runs.c.asked])
_AT_ONCE = 500
"""Bound values of one query."""


@dataclass(frozen=True, slots=True)
class Removed:
    """A schedule that is gone, and its runs that had waited and were cancelled with it."""

    schedule: Schedule
    cancelled: tuple[str, ...]


@asks_again
class Schedules:
    """The schedules of a store."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    # -- made, found, changed --------------------------------------------------------------------

    def add(self, schedule: Schedule) -> Schedule:
        """Commit a new schedule. Raises `ScheduleNameTaken`."""
        with self._database.writing() as connection:
            insert = insert_into(schedules, connection.dialect.name).values(_values(schedule))
            made = connection.execute(insert.on_conflict_do_nothing().returning(schedules.c.name)).first()
        if made is None and not (is_asked_again() and self.find(schedule.name) == schedule):
            raise ScheduleNameTaken(
                f"A schedule named {schedule.name!r} exists already.",
                hint="Choose another name (--name), or remove that one: "
                f"evercell schedule remove {as_word(schedule.name)}.",
            )
        return schedule

    def find(self, name: str) -> Schedule:
        """The schedule of a name; raises `ScheduleNotFound`, with the nearest one."""
        with self._database.reading() as connection:
            row = connection.execute(sa.select(*_RAW).where(schedules.c.name == name)).first()
            if row is None:
                raise _not_found(connection, name)
        return read_schedule(row)

    def all(self) -> Found[Schedule]:
        """Every schedule, the one that fires next first."""
        query = sa.select(*_RAW).order_by(
            schedules.c.next_at.is_(None), schedules.c.next_at, schedules.c.name
        )
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_schedule)

    def pause(self, name: str, at: datetime) -> Schedule:
        """Commit that a schedule does not fire from now on."""
        return self._set(name, {"paused_at": at}, schedules.c.paused_at.is_(None))

    def resume(self, name: str, next_at: datetime | None) -> Schedule:
        """Commit that a paused schedule fires again, at ``next_at`` at first."""
        values = {"paused_at": None, "next_at": next_at}
        return self._set(name, values, schedules.c.paused_at.is_not(None))

    def note(self, name: str, remark: str, at: datetime) -> None:
        """Commit what there is to say about a schedule that cannot fire; the same is said once."""
        self._set(name, {"remark": remark, "remark_at": at}, schedules.c.remark != remark)

    def _set(self, name: str, values: dict[str, Any], where: sa.ColumnElement[bool]) -> Schedule:
        with self._database.writing() as connection:
            connection.execute(sa.update(schedules).where(schedules.c.name == name, where).values(values))
        return self.find(name)

    def remove(self, name: str) -> Removed:
        """Commit that a schedule is gone, and that its runs which no queue has yet are cancelled. Others stay."""
        with self._database.writing() as connection:
            schedule = _locked(connection, name)
            if schedule is None:
                raise _not_found(connection, name)
            lock_admission(connection)
            held = [run for run in self._open_runs(connection, schedule.unfinished) if run.is_held]
            for run in held:
                self._end(connection, run.id, f"its schedule {name} was removed")
            connection.execute(sa.delete(schedules).where(schedules.c.name == name))
        return Removed(schedule, tuple(run.name for run in held))

    # -- firing ----------------------------------------------------------------------------------

    def due(self, now: datetime) -> list[str]:
        """Names of the schedules for which there is something to do, the longest due first."""
        is_due = schedules.c.paused_at.is_(None) & (schedules.c.next_at <= now)
        with self._database.reading() as connection:
            query = sa.select(schedules.c.name).where(is_due).order_by(schedules.c.next_at)
            names = list(connection.execute(query).scalars())
            for schedule in _holding(connection):
                open_runs = self._open_runs(connection, schedule.unfinished)
                if len(open_runs) < 2 or _next_held(open_runs) or any(map(_is_over, open_runs)):
                    names.append(schedule.name)
        return list(dict.fromkeys(names))

    def next_due(self, now: datetime) -> datetime | None:
        """When to look again: at the next firing after ``now``, or soon where a run waits for another one to end."""
        is_next = schedules.c.paused_at.is_(None) & (schedules.c.next_at > now)
        with self._database.reading() as connection:
            at: datetime | None = connection.execute(
                sa.select(sa.func.min(schedules.c.next_at, type_=schedules.c.next_at.type)).where(is_next)
            ).scalar()
            holds = bool(_holding(connection))
        return min(filter(None, (at, now + HELD_LOOK))) if holds else at

    def fire(self, name: str, plan: Planner) -> list[str]:
        """Commit what ``plan`` says of a schedule: runs with their keys, their rows in the queue, and the firing that
        is next, in one transaction. Of several servers at the same instant one does so, and the others see it.

        Returns the ids of the runs made. A schedule that is gone meanwhile makes none.
        """

        def commit() -> list[str]:
            with self._database.writing() as connection:
                return self._fire(connection, name, plan)

        made = until_named(NewRun(None, name=name), commit)
        reach("after_firing_commit")
        return made

    def _fire(self, connection: Connection, name: str, plan: Planner) -> list[str]:
        schedule = _locked(connection, name)
        if schedule is None:
            return []
        lock_admission(connection)  # nobody starts a run that is cancelled here
        open_runs = self._open_runs(connection, schedule.unfinished)
        found = plan(schedule, open_runs)
        cancels = found.cancels if found is not None else ()
        left = [run for run in open_runs if not self._cancelled(connection, run, cancels)]
        made = [self._make(connection, firing) for firing in found.firings] if found is not None else []
        left += [OpenRun(r.id, r.name, r.status, True, False, False) for r in made if r.status not in ENDED]
        if _next_held(left):
            self._enqueue(connection, left[0].id, schedule)
            reach("after_firing_queued")
        changed = schedule if found is None else _moved(schedule, found, self._database.clock())
        changed = replace(changed, unfinished=tuple(run.id for run in left))
        if made:
            changed = replace(changed, last_run=made[-1].id)
        if changed != schedule:
            connection.execute(sa.update(schedules).where(schedules.c.name == name).values(_values(changed)))
        reach("before_firing_commit")
        return [run.id for run in made]

    def start(self, name: str, new: NewRun) -> Run:
        """Commit a run of a schedule beside its firings: into the queue at once, whatever else of it runs."""

        def commit() -> str:
            with self._database.writing() as connection:
                schedule = _locked(connection, name)
                if schedule is None:
                    raise _not_found(connection, name)
                if (made := self._runs.find_keyed(connection, new.run_key)) is not None:
                    return made.id  # committed before, and nobody was told
                lock_admission(connection)
                run = self._make(connection, Firing(self._database.clock(), new))
                self._enqueue(connection, run.id, schedule)
                open_runs = self._open_runs(connection, schedule.unfinished)
                values = {"unfinished": [*(r.id for r in open_runs), run.id], "last_run": run.id}
                connection.execute(sa.update(schedules).where(schedules.c.name == name).values(values))
                return run.id

        return self._runs.find(until_named(new, commit))

    def _make(self, connection: Connection, firing: Firing) -> Run:
        """The run of a firing, which is there already where somebody made it before."""
        found = self._runs.find_keyed(connection, firing.run.run_key)
        if found is not None:
            return found
        name = _free_name(connection, firing.run.name or "run")
        before, is_named, after = (firing.run.output or "").rpartition(RUN_NAME)
        output = f"{before}{name}{after}" if is_named else firing.run.output
        run = self._runs.insert(connection, replace(firing.run, name=name, output=output))
        reach("after_firing_made")
        if not firing.failure:
            return run
        with self._database.run_transaction(run.id, within=connection) as transaction:
            change_status(transaction, RunStatus.FAILED, reason=firing.failure)
        return replace(run, status=RunStatus.FAILED)

    def _enqueue(self, connection: Connection, run_id: str, schedule: Schedule) -> None:
        now = self._database.clock()
        values = {"run_id": run_id, "priority": schedule.priority, "share": schedule.created_by[:200]}
        values |= {"limits": list(schedule.limits), "enqueued_at": now, "starts": 0}
        connection.execute(sa.insert(queue), values)

    # -- its runs --------------------------------------------------------------------------------

    def _open_runs(self, connection: Connection, ids: Sequence[str]) -> list[OpenRun]:
        """Those of some runs that have not ended, in this order."""
        if not ids:
            return []
        now = self._database.lease_now(connection)
        tables = runs.outerjoin(queue, queue.c.run_id == runs.c.id)
        tables = tables.outerjoin(leases, (leases.c.run_id == runs.c.id) & (leases.c.expires_at > now))
        columns = (queue.c.run_id, queue.c.admitted_by, leases.c.run_id)
        labels = ("queued", "started", "held")
        query = sa.select(*_RAW_RUN, *(c.label(name) for c, name in zip(columns, labels, strict=True)))
        found: dict[str, OpenRun] = {}
        for start in range(0, len(ids), _AT_ONCE):
            here = runs.c.id.in_(ids[start : start + _AT_ONCE]) & IS_THERE
            rows = connection.execute(query.select_from(tables).where(here)).all()
            found |= {run.id: run for run in read_each(rows, _open_run) if run is not None}
        return [found[run_id] for run_id in ids if run_id in found]

    def _cancelled(self, connection: Connection, run: OpenRun, cancels: Sequence[str]) -> bool:
        """Whether an open run has ended now: one that is to end, and that no session is on. A session is asked to."""
        if run.id not in cancels and not run.is_asked_to_end:
            return False
        if not run.is_attended:
            self._end(connection, run.id, "a later firing of its schedule took its place")
            return True
        if not run.is_asked_to_end:
            with self._database.run_transaction(run.id, within=connection) as transaction:
                asked = {"what": CANCEL, "by": "its schedule", "at": transaction.now.isoformat()}
                transaction.changes["asked"] = asked
                transaction.append_event(EventKind.RUN_ASKED, asked)
        return False

    def _end(self, connection: Connection, run_id: str, reason: str) -> None:
        with self._database.run_transaction(run_id, within=connection) as transaction:
            change_status(transaction, RunStatus.CANCELLED, reason=reason)
        connection.execute(sa.delete(queue).where(queue.c.run_id == run_id))


@row_of(runs)
def _open_run(row: Row[Any]) -> OpenRun | None:
    status, is_queued = RunStatus(row.status), row.queued is not None
    if status in ENDED and not (status is RunStatus.FAILED and is_queued):
        return None
    return OpenRun(
        row.id, row.name, status,
        is_held=status is RunStatus.QUEUED and not is_queued,
        is_attended=row.held is not None or row.started is not None,
        is_asked_to_end=bool(row.asked) and row.asked["what"] == CANCEL,
    )  # fmt: skip


def _is_over(run: OpenRun) -> bool:
    return run.is_asked_to_end and not run.is_attended


def _next_held(open_runs: Sequence[OpenRun]) -> bool:
    """Whether the first of them waits for nothing any more."""
    return bool(open_runs) and open_runs[0].is_held


def _moved(schedule: Schedule, plan: Plan, now: datetime) -> Schedule:
    moved = replace(schedule, next_at=plan.next_at, last_at=plan.last_at or schedule.last_at)
    if not plan.remark:
        return moved
    return replace(moved, left_out=schedule.left_out + plan.left_out, remark=plan.remark, remark_at=now)


def _holding(connection: Connection) -> list[Schedule]:
    """Schedules with a run that may wait for another one to end."""
    query = sa.select(*_RAW).where(sa.type_coerce(schedules.c.unfinished, sa.Text).contains(","))
    return list(read_each(connection.execute(query).all(), read_schedule))


def _free_name(connection: Connection, wanted: str) -> str:
    """The name, with a number where a run or a tag has it. Nobody else gives one until the transaction ends."""
    lock_names(connection)
    names = sa.union_all(*(sa.select(table.c.name) for table in (runs, tags))).subquery()
    name, number = wanted, 1
    while connection.execute(sa.select(names.c.name).where(names.c.name == name)).first():
        number += 1
        name = f"{wanted}-{number}"
    return name


def _locked(connection: Connection, name: str) -> Schedule | None:
    """The schedule, which nobody else changes until the transaction ends."""
    query = sa.select(*_RAW).where(schedules.c.name == name).with_for_update()
    row = connection.execute(query).first()
    return read_schedule(row) if row is not None else None


def _not_found(connection: Connection, name: str) -> ScheduleNotFound:
    names = list(connection.execute(sa.select(schedules.c.name)).scalars())
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"Did you mean {close[0]!r}?" if close else "`evercell schedule list` lists them."
    return ScheduleNotFound(f"There is no schedule {name!r}.", hint=hint)


def _values(schedule: Schedule) -> dict[str, Any]:
    values = asdict(schedule)
    texts = {name: str(values[name]) for name in ("catch_up", "overlap")}
    lists = {name: list(values[name]) for name in ("limits", "unfinished")}
    return {**values, **texts, **lists, "params": dict(schedule.params)}


@row_of(schedules)
def read_schedule(row: Row[Any]) -> Schedule:
    """The record of a row."""
    values = {field.name: getattr(row, field.name) for field in fields(Schedule)}
    if not isinstance(row.params, dict):
        raise TypeError("its parameters are no JSON object")
    for name in ("limits", "unfinished"):
        if not isinstance(values[name], list) or not all(isinstance(text, str) for text in values[name]):
            raise TypeError(f"{name} is no list of texts")
        values[name] = tuple(values[name])
    return Schedule(**{**values, "catch_up": CatchUp(row.catch_up), "overlap": Overlap(row.overlap)})
