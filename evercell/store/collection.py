"""What nothing reaches any more, taken out of a store while others write to it.

Who collects says what is reached; here it is made sure, in the transaction that removes, that nobody reached anything
else meanwhile. A commit that relied on content which is gone by then is refused, and made again (see `relied_on`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.chunks import Blob
from evercell.core.errors import RowDamaged
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.records import Collected, EventKind
from evercell.store.content_names import (
    content_of_attempts,
    content_of_calls,
    content_of_results,
    content_of_threads,
)
from evercell.store.database import Database
from evercell.store.locks import lock_content
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_transaction import begin_on_run
from evercell.store.schema import (
    approvals,
    attempts,
    calls,
    checkpoints,
    children,
    collected,
    events,
    heartbeats,
    leases,
    mission_states,
    missions,
    policies,
    queue,
    results,
    runs,
    scores,
    signals,
    slots,
    steps,
    tags,
    thread_checkpoints,
    thread_writes,
    threads,
    votes,
    waits,
)
from evercell.store.sweeping import mark_collection

_AT_ONCE = 500
"""Bound values of one query."""


@dataclass(frozen=True, slots=True)
class SurveyedRun:
    """What of a run decides what it reaches."""

    id: str
    name: str
    head: str | None
    branch_point: str | None
    parent: str | None
    fence: int
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class SurveyedCheckpoint:
    """What of a checkpoint decides whether it is reached."""

    id: str
    run_id: str
    seq: int
    parent: str | None
    step: str
    origin: str | None
    attempt_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Survey:
    """A store as of one moment."""

    runs: list[SurveyedRun]
    checkpoints: list[SurveyedCheckpoint]
    """By run and number."""
    tagged: frozenset[str]
    """Ids of checkpoints."""
    collected: frozenset[str]
    """Ids of checkpoints whose content was removed before."""


@dataclass(frozen=True, slots=True)
class Removal:
    """What is to go."""

    survey: Survey
    gone: Sequence[Collected]
    """Checkpoints whose content nobody gets any more, each with what stays of it."""
    rows: frozenset[str]
    """Checkpoints whose rows go: nothing builds on them or follows them."""
    runs: frozenset[str]
    """Deleted runs that go with all that is theirs."""
    hidden: frozenset[str]
    """Deleted runs of which branches still see something: they lose their calls, signals, results, and what
    attempts showed."""
    watched: Mapping[str, int]
    """The fencing tokens of runs that nobody was on: a session that came since has reached what it likes."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.gone or self.rows or self.runs or self.hidden)


Bases = Callable[[list[str]], Set[str]]
"""The checkpoints that some checkpoints build on."""


@asks_again
class Collections:
    """What `evercell gc` reads and removes, but for chunks and packs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def survey(self) -> Survey:
        """All that decides what is reached, as of one moment. Raises `RowDamaged`: nobody knows what a damaged row
        would reach.
        """
        with self._database.snapshot() as connection:
            found = _rows(connection, runs, _read_run, runs.c.created_at)
            made = _rows(connection, checkpoints, _read_checkpoint, checkpoints.c.run_id, checkpoints.c.seq)
            tagged = connection.execute(sa.select(tags.c.checkpoint_id)).scalars()
            gone = connection.execute(sa.select(collected.c.checkpoint_id)).scalars()
            return Survey(found, made, frozenset(tagged), frozenset(gone))

    def content_beside(self, without: Collection[str], *, purged: Collection[str]) -> Iterator[Blob]:
        """The content that attempts and calls name, but for those of the runs ``without``; and what threads name, but
        for what the ``purged`` runs made.
        """
        with self._database.snapshot() as connection:
            yield from content_of_attempts(connection, without)
            yield from content_of_calls(connection, without)
            yield from content_of_results(connection, without)
            yield from content_of_threads(connection, purged)

    def of_run(self, run_id: str) -> Found[Collected]:
        """The checkpoints of a run that were collected, by their number."""
        query = sa.select(*raw(collected)).where(collected.c.run_id == run_id).order_by(collected.c.seq)
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_collected)

    def remove(self, removal: Removal, bases_of: Bases) -> bool:
        """Commit that it is gone; False, with nothing changed, where somebody reached some of it meanwhile.

        ``bases_of`` tells what checkpoints that were committed meanwhile build on.
        """
        with self._database.writing() as connection:
            lock_content(connection)
            if self._is_reached(connection, removal, bases_of):
                return False
            for run_id, gone in _by_run(removal.gone).items():
                if run_id not in removal.runs:
                    self._leave_tombs(connection, run_id, gone)
            reach("gc_before_rows")
            _delete(connection, checkpoints, checkpoints.c.id, removal.rows)
            self._empty(connection, removal.hidden)
            self._purge(connection, removal.runs)
            mark_collection(connection)
            reach("gc_before_commit")
        reach("gc_after_rows")
        return True

    def _is_reached(self, connection: Connection, removal: Removal, bases_of: Bases) -> bool:
        """Whether a session, a branch, a tag or a checkpoint that was not there before reaches what is to go."""
        now = _rows(connection, runs, _read_run, runs.c.created_at)
        doomed = {one.checkpoint_id for one in removal.gone} | removal.rows
        before = {run.id: run for run in removal.survey.runs}
        for run in now:
            if {run.head, run.branch_point} & doomed and not (run.is_deleted and run.id in before):
                return True
            if run.id in removal.watched and run.fence != removal.watched[run.id]:
                return True
            if run.id not in before and run.parent in removal.runs:
                return True
        known = {checkpoint.id for checkpoint in removal.survey.checkpoints}
        everything = _rows(connection, checkpoints, _read_checkpoint, checkpoints.c.seq)
        new = [made for made in everything if made.id not in known]
        if any(made.parent in doomed for made in new) or not doomed.isdisjoint(bases_of([m.id for m in new])):
            return True
        return not doomed.isdisjoint(connection.execute(sa.select(tags.c.checkpoint_id)).scalars())

    def _leave_tombs(self, connection: Connection, run_id: str, gone: list[Collected]) -> None:
        transaction = begin_on_run(connection, run_id, self._database.clock, is_deleted=True)
        values = [
            {column.name: getattr(one, column.name) for column in collected.c}
            | {"collected_at": transaction.now}
            for one in gone
        ]
        connection.execute(sa.insert(collected), values)
        ids = [one.checkpoint_id for one in gone]
        transaction.append_event(EventKind.CHECKPOINTS_COLLECTED, {"checkpoints": ids})
        transaction.finish()

    def _empty(self, connection: Connection, run_ids: Set[str]) -> None:
        for table in (calls, signals, heartbeats, results, scores):
            _delete(connection, table, table.c.run_id, run_ids)
        for some in _some(run_ids):
            nothing = sa.update(attempts).where(attempts.c.run_id.in_(some)).values(outputs=sa.null())
            connection.execute(nothing)

    def _purge(self, connection: Connection, run_ids: Set[str]) -> None:
        for some in _some(run_ids):
            asked = sa.select(approvals.c.id).where(approvals.c.run_id.in_(some))
            connection.execute(sa.delete(votes).where(votes.c.approval_id.in_(asked)))
        for table in (
            approvals, calls, signals, heartbeats, leases, tags, collected, events, attempts, steps, checkpoints,
            results, queue, slots, waits, policies, mission_states, missions, scores, children, thread_writes,
            thread_checkpoints,
        ):  # fmt: skip
            _delete(connection, table, table.c.run_id, run_ids)
        _delete(connection, children, children.c.parent_id, run_ids)
        if run_ids:
            _delete_empty_threads(connection)
        for some in _some(run_ids):
            connection.execute(sa.update(runs).where(runs.c.id.in_(some)).values(parent=sa.null()))
        _delete(connection, runs, runs.c.id, run_ids)


def _rows(connection: Connection, table: sa.Table, read: Callable[[Any], Any], *order: Any) -> list[Any]:
    """All rows of a table; raises `RowDamaged` for the first that cannot be read."""
    columns = [table.c[name] for name in _COLUMNS[table.name]]
    query = sa.select(*raw(table, columns)).order_by(
        *(sa.type_coerce(by, sa.types.NullType()) for by in order)
    )
    found = read_each(connection.execute(query).all(), read)
    for error in found.damaged:
        assert isinstance(error, RowDamaged)
        raise error
    return list(found)


_COLUMNS = {
    "runs": ("id", "name", "head", "branch_point", "parent", "fence", "deleted_at"),
    "checkpoints": ("id", "run_id", "seq", "parent", "step", "origin", "attempt_id", "created_at"),
}


def _delete(
    connection: Connection, table: sa.Table, column: sa.ColumnElement[Any], values: Collection[str]
) -> None:
    for some in _some(values):
        connection.execute(sa.delete(table).where(column.in_(some)))


def _delete_empty_threads(connection: Connection) -> None:
    used = [
        sa.exists().where(table.c.thread == threads.c.key) for table in (thread_checkpoints, thread_writes)
    ]
    connection.execute(sa.delete(threads).where(~sa.or_(*used)))


def _some(values: Collection[str]) -> Iterator[list[str]]:
    ordered = sorted(values)
    for start in range(0, len(ordered), _AT_ONCE):
        yield ordered[start : start + _AT_ONCE]


def _by_run(gone: Sequence[Collected]) -> dict[str, list[Collected]]:
    found: dict[str, list[Collected]] = {}
    for one in gone:
        found.setdefault(one.run_id, []).append(one)
    return found


@row_of(runs)
def _read_run(row: Row[Any]) -> SurveyedRun:
    is_deleted = row.deleted_at is not None
    return SurveyedRun(row.id, row.name, row.head, row.branch_point, row.parent, row.fence, is_deleted)


@row_of(checkpoints)
def _read_checkpoint(row: Row[Any]) -> SurveyedCheckpoint:
    return SurveyedCheckpoint(
        row.id, row.run_id, row.seq, row.parent, row.step, row.origin, row.attempt_id, row.created_at
    )


@row_of(collected)
def read_collected(row: Row[Any]) -> Collected:
    """The record of a row."""
    return Collected(**{column.name: getattr(row, column.name) for column in collected.c})
