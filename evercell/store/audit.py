"""The store as verification reads it: a run as of one moment, and every row that can be read beside one that cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.approvals import Approval, Vote
from evercell.core.errors import Damaged, JournalBroken, RowDamaged
from evercell.core.found import Found
from evercell.core.mission_states import EDGES
from evercell.core.missions import Mission, MissionEntry
from evercell.core.policy import FrozenPolicy
from evercell.core.records import (
    Attempt,
    Call,
    Checkpoint,
    Child,
    Collected,
    Event,
    Lease,
    Returned,
    Run,
    RunRequest,
    Signal,
    Step,
    Tag,
)
from evercell.core.scores import GivenScore
from evercell.store.approvals import read_approval, read_vote
from evercell.store.calls import read_heartbeat, read_whole_call
from evercell.store.checkpoints import read_listed_checkpoint
from evercell.store.children import read_child
from evercell.store.collection import read_collected
from evercell.store.database import Database
from evercell.store.journal import verified_events
from evercell.store.leases import read_lease
from evercell.store.mission_rows import read_entry, read_mission
from evercell.store.outages import asks_again
from evercell.store.policies import read_frozen
from evercell.store.references import read_tag
from evercell.store.results import read_returned
from evercell.store.rows import raw, read_each, row_of
from evercell.store.runs import request_of, run_of
from evercell.store.schema import (
    approvals,
    attempts,
    calls,
    checkpoints,
    children,
    collected,
    heartbeats,
    leases,
    metadata,
    mission_edges,
    mission_states,
    missions,
    policies,
    results,
    runs,
    scores,
    signals,
    steps,
    tags,
    votes,
)
from evercell.store.scores import read_score
from evercell.store.signals import read_signal
from evercell.store.steps import read_attempt, read_step

R = TypeVar("R")

_LARGE = ("manifest", "source")
"""Columns of a checkpoint that are left out of a listing."""

_QUICK_CHECK_LINES = 20


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """All rows of a run as of one moment, except for the content of checkpoints and calls."""

    run: Run
    fence: int
    """The newest fencing token that was given out."""
    request: RunRequest | None
    events: list[Event]
    """The journal, up to its first bad entry."""
    journal_error: JournalBroken | None
    steps: list[Step]
    attempts: list[Attempt]
    checkpoints: list[Checkpoint]
    """Without manifests and sources."""
    approvals: list[Approval]
    votes: list[tuple[str, Vote]]
    """Each with the id of its approval."""
    tags: list[Tag]
    collected: list[Collected]
    """Checkpoints that were removed."""
    children: list[Child]
    """By what it started other runs."""
    policies: list[FrozenPolicy]
    """What counts for it, or did."""
    missions: list[Mission]
    """What it is to do: one at most, without its states."""
    mission_entries: list[MissionEntry]
    """The states of that."""
    scores: list[GivenScore]
    """What was said of it."""
    deleted_at: datetime | None
    lease: Lease | None
    damaged: list[Damaged]
    """Rows of the run that cannot be read."""


@asks_again
class Audit:
    """What `evercell verify` reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def run_names(self) -> dict[str, str]:
        """The name of every run by its id, in the order of their creation."""
        with self._database.reading() as connection:
            return dict(_named_runs(connection))

    def snapshot(self, run_id: str) -> RunSnapshot:
        """A run as of one moment. Raises `RowDamaged` where its own row cannot be read."""
        with self._database.snapshot() as connection:
            row = connection.execute(sa.select(*raw(runs)).where(runs.c.id == run_id)).one()
            run, fence, request, deleted_at = _read_whole_run(row)
            events, journal_error = _journal(connection, run_id)
            damaged: list[Damaged] = []

            def found(
                table: sa.Table, read: Callable[[Any], R], *, without: tuple[str, ...] = ()
            ) -> Found[R]:
                here = table.c.run_id == run_id
                rows = read_each(_rows(connection, table, here, without=without), read)
                damaged.extend(rows.damaged)
                return rows

            of_run = votes.c.approval_id.in_(sa.select(approvals.c.id).where(approvals.c.run_id == run_id))
            cast = read_each(
                _rows(connection, votes, of_run), lambda row: (str(row.approval_id), read_vote(row))
            )
            damaged.extend(cast.damaged)
            held = found(leases, read_lease)
            started = read_each(_rows(connection, children, children.c.parent_id == run_id), read_child)
            damaged.extend(started.damaged)
            found(heartbeats, read_heartbeat)
            return RunSnapshot(
                run=run,
                fence=fence,
                request=request,
                events=events,
                journal_error=journal_error,
                steps=found(steps, read_step),
                attempts=found(attempts, read_attempt),
                checkpoints=found(checkpoints, read_listed_checkpoint, without=_LARGE),
                approvals=found(approvals, read_approval),
                votes=cast,
                tags=found(tags, read_tag),
                collected=found(collected, read_collected),
                children=started,
                policies=found(policies, read_frozen),
                missions=found(missions, read_mission),
                mission_entries=found(mission_states, read_entry),
                scores=found(scores, read_score),
                deleted_at=deleted_at,
                lease=held[0] if held else None,
                damaged=damaged,
            )

    def calls(self, run_id: str) -> Iterator[Call | RowDamaged]:
        """The recorded calls of a run, one after the other."""
        with self._database.reading() as connection:
            for row in _rows(connection, calls, calls.c.run_id == run_id):
                try:
                    yield read_whole_call(row)
                except RowDamaged as error:
                    yield error

    def signals(self, run_id: str) -> list[Signal | Damaged]:
        """The signals to a run."""
        with self._database.reading() as connection:
            found = read_each(_rows(connection, signals, signals.c.run_id == run_id), read_signal)
        return [*found, *found.damaged]

    def results(self, run_id: str) -> list[Returned | Damaged]:
        """What a run returned."""
        with self._database.reading() as connection:
            found = read_each(_rows(connection, results, results.c.run_id == run_id), read_returned)
        return [*found, *found.damaged]

    def damage(self) -> list[str]:
        """What is wrong with the database as a whole: pages, and rows that belong to nothing; empty if all is well."""
        with self._database.reading() as connection:
            nameless = [error.what for error in _named_runs(connection).damaged]
            return [*_broken_pages(connection), *_orphans(connection), *_edges(connection), *nameless]


def _named_runs(connection: Connection) -> Found[tuple[str, str]]:
    query = sa.select(*raw(runs, [runs.c.id, runs.c.name])).order_by(
        sa.type_coerce(runs.c.created_at, sa.BigInteger)
    )
    return read_each(connection.execute(query).all(), _read_name)


@row_of(runs)
def _read_name(row: Row[Any]) -> tuple[str, str]:
    return row.id, row.name


@row_of(runs)
def _read_whole_run(row: Any) -> tuple[Run, int, RunRequest | None, datetime | None]:
    return run_of(row), row.fence, request_of(row), row.deleted_at


def _journal(connection: Connection, run_id: str) -> tuple[list[Event], JournalBroken | None]:
    events: list[Event] = []
    try:
        for event in verified_events(connection, run_id):
            events.append(event)
    except JournalBroken as error:
        return events, error
    return events, None


def _rows(
    connection: Connection,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    *,
    without: tuple[str, ...] = (),
) -> Iterable[Row[Any]]:
    columns = [column for column in table.c if column.name not in without]
    return connection.execute(sa.select(*raw(table, columns)).where(where))


def _broken_pages(connection: Connection) -> list[str]:
    if connection.dialect.name != "sqlite":
        return []
    found = connection.exec_driver_sql(f"PRAGMA quick_check({_QUICK_CHECK_LINES})").scalars().all()
    return [f"SQLite finds: {line}" for text in found if text != "ok" for line in str(text).splitlines()]


def _orphans(connection: Connection) -> Iterator[str]:
    for table in metadata.sorted_tables:
        for key in table.foreign_key_constraints:
            other = key.referred_table.alias()
            own = [element.parent for element in key.elements]
            is_met = (other.c[element.column.name] == element.parent for element in key.elements)
            is_lost = [column.is_not(None) for column in own] + [~sa.exists().where(*is_met)]
            query = sa.select(sa.func.count(), *own).where(*is_lost).group_by(*own)
            for count, *names in connection.execute(query).all():
                whose, parent = " ".join(map(str, names)), key.referred_table.name
                yield f"{count} rows of table {table.name} belong to {whose} of table {parent}, which is not there"


def _edges(connection: Connection) -> Iterator[str]:
    found = {
        (bool(strict), prev, state) for strict, prev, state in connection.execute(sa.select(mission_edges))
    }
    for strict, prev, state in sorted(found ^ EDGES):
        what = "is not there" if (strict, prev, state) in EDGES else "was added"
        yield f"the rule by which a {'strict ' if strict else ''}mission goes from {prev} to {state} {what}"
