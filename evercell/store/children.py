"""Children: runs that a run started, each by a durable call of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.errors import IllegalTransition
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.records import Child, ChildCall, EventKind, Lease, NewRun, Run
from evercell.core.statuses import CANCEL, ENDED, RunStatus
from evercell.store.database import Database
from evercell.store.descendants import ask_to_end, cancel_below, cancel_child, unfinished_children
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_names import until_named
from evercell.store.run_transaction import RunTransaction, begin_on_run
from evercell.store.runs import RUN_COLUMNS, Runs, change_status, read_run, request_of
from evercell.store.schema import children, leases, queue, runs

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Allow = Callable[[Sequence[Run]], None]
"""Raises where a child may not be started below these runs: its parent, whoever started that, and so on."""


@asks_again
class Children:
    """The runs that a store's runs started."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    def start(self, lease: Lease, call: ChildCall, new: NewRun, allow: Allow) -> tuple[Run, bool]:
        """Commit that a run starts another one by this call, and that it is queued; says whether it is a new one.

        Where the call started one before, it is that. Nothing is changed where ``allow`` raises. Raises `LeaseLost`,
        and `IllegalTransition` where the run has ended meanwhile, or is asked to.
        """

        def commit() -> tuple[str, bool]:
            with self._database.run_transaction(lease.run_id, lease) as transaction:
                known = _of_call(transaction.connection, lease.run_id, call)
                if known is not None:
                    return known.run_id, False
                _refuse_ended(transaction)
                allow([*_line_of(transaction.connection, lease.run_id)])
                run = self._insert(transaction, call, new)
                reach("before_child_commit")
            return run.id, True

        run_id, is_new = until_named(new, commit)
        reach("after_child_commit")
        return self._runs.find(run_id), is_new

    def _insert(self, transaction: RunTransaction[Connection], call: ChildCall, new: NewRun) -> Run:
        connection, parent_id = transaction.connection, transaction.row.id
        run = self._runs.insert(connection, new)
        if new.output is None and new.notebook is not None:
            from evercell.store.queue import own_output

            output = own_output(new.notebook, run.name)
            connection.execute(sa.update(runs).where(runs.c.id == run.id).values(output=output))
        row = {
            "parent_id": parent_id, "step": call.step, "step_key": call.step_key, "key": call.key,
            "run_id": run.id, "on_close": call.on_close, "asked_at": transaction.now, "tries": 1,
        }  # fmt: skip
        connection.execute(sa.insert(children), row)
        _enqueue(transaction, run.id, share=new.created_by)
        started = {
            "child": run.id, "name": run.name, "step": call.step, "call": call.key, "on_close": call.on_close,
        }  # fmt: skip
        transaction.append_event(EventKind.CHILD_STARTED, started)
        return run

    # -- reading ---------------------------------------------------------------------------------

    def of_call(self, parent_id: str, call: ChildCall) -> Child | None:
        """The child that a call started, None if it started none."""
        with self._database.reading() as connection:
            return _of_call(connection, parent_id, call)

    def of_run(self, run_id: str) -> Child | None:
        """By what a run was started, None where no run did."""
        query = sa.select(*raw(children)).where(children.c.run_id == run_id)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return read_child(row) if row is not None else None

    def of_parent(self, run_id: str) -> Found[Child]:
        """The children of a run, in the order in which they were asked for."""
        query = sa.select(*raw(children)).where(children.c.parent_id == run_id)
        with self._database.reading() as connection:
            return read_each(connection.execute(query.order_by(children.c.asked_at)).all(), read_child)

    def line(self, run_id: str) -> list[Run]:
        """A run, the one that started it, and so on."""
        with self._database.reading() as connection:
            return _line_of(connection, run_id)

    def parents(self) -> Mapping[str, str]:
        """By the id of each run that another one started, the id of that one."""
        with self._database.reading() as connection:
            rows = connection.execute(sa.select(children.c.run_id, children.c.parent_id)).all()
        return {row.run_id: row.parent_id for row in rows}

    def hosted(self, *, within: float) -> set[str]:
        """The children for which a process was started less than so many seconds ago."""
        with self._database.reading() as connection:
            is_recent = _is_recent(self._database.lease_now(connection), within)
            return set(connection.execute(sa.select(children.c.run_id).where(is_recent)).scalars())

    def to_wait_for(self, run_id: str) -> list[str]:
        """The children that a run does not complete before."""
        with self._database.reading() as connection:
            return unfinished_children(connection, run_id, ("wait",))

    def below(self, run_id: str) -> list[Run]:
        """All runs that a run started, directly or not: level by level, from the top."""
        found: list[Run] = []
        with self._database.reading() as connection:
            level, seen = [run_id], {run_id}
            while level:
                made = _children_of(connection, level)
                fresh = [run for run in made if run.id not in seen]
                seen.update(run.id for run in fresh)
                found += fresh
                level = [run.id for run in fresh]
        return found

    # -- changing --------------------------------------------------------------------------------

    def try_again(self, run_id: str, *, tries: int) -> bool:
        """Commit that a child that failed is to go on at its failed cell, for the ``tries``-th time; False where it
        has not failed, or goes on already.
        """
        with self._database.run_transaction(run_id) as transaction:
            if RunStatus(transaction.row.status) is not RunStatus.FAILED:
                return False
            if self._is_held(transaction):
                return False  # by the session in which it failed, for a moment yet
            change_status(transaction, RunStatus.QUEUED, reason="it is tried again")
            _enqueue(transaction, run_id)
            transaction.connection.execute(
                sa.update(children)
                .where(children.c.run_id == run_id)
                .values(tries=tries, told_at=None, hosted_at=None)
            )
        return True

    def _is_held(self, transaction: RunTransaction[Connection]) -> bool:
        now = self._database.lease_now(transaction.connection)
        held = sa.select(leases.c.token).where(
            leases.c.run_id == transaction.row.id, leases.c.expires_at > now
        )
        return transaction.connection.execute(held).first() is not None

    def note_told(self, run_id: str) -> None:
        """Commit that the failure of a child was told to its parent: whoever asks for it again has it tried again."""
        with self._database.run_transaction(run_id) as transaction:
            told = sa.update(children).where(children.c.run_id == run_id).values(told_at=transaction.now)
            transaction.connection.execute(told)

    def fail(self, run_id: str, *, reason: str) -> None:
        """Commit that a run which was queued could not be started."""
        with self._database.run_transaction(run_id) as transaction:
            if RunStatus(transaction.row.status) not in ENDED:
                change_status(transaction, RunStatus.FAILED, reason=reason)

    def settle_cancelled(self, run_id: str) -> None:
        """Commit that a run which was asked to end, and that nobody is on any more, has ended."""
        with self._database.run_transaction(run_id) as transaction:
            request = request_of(transaction.row)
            is_over = RunStatus(transaction.row.status) in ENDED
            if request is not None and request.what == CANCEL and not is_over:
                change_status(transaction, RunStatus.CANCELLED, reason=f"cancelled by {request.by}")

    def note_hosted(
        self, run_id: str, *, again_after: float, over: datetime | None = None
    ) -> datetime | None:
        """Commit that a process is started for a child, and when; None where one was less than so many seconds ago.

        ``over``: starts up to this moment came to their end.
        """
        with self._database.writing() as connection:
            now = self._database.lease_now(connection)
            at = children.c.hosted_at
            may_start = sa.or_(at.is_(None), ~_is_recent(now, again_after), at <= (over or _NEVER))
            mine = sa.update(children).where(children.c.run_id == run_id, may_start).values(hosted_at=now)
            return now if connection.execute(mine).rowcount == 1 else None

    def cancel(self, run_id: str, *, by: str) -> None:
        """Commit that a run and all that it started are to end. Those that no session is on have ended by that."""
        with self._database.writing() as connection:
            transaction = begin_on_run(connection, run_id, self._database.clock)
            cancel_child(transaction, run_id, change_status, by=by, reason=f"cancelled by {by}")

    def cancel_below(self, run_id: str, *, by: str) -> None:
        """Commit that all that a run started is to end. A session that is on the run is asked to, too, so that it
        starts nothing more.
        """
        with self._database.run_transaction(run_id) as transaction:
            held = sa.select(leases.c.token).where(leases.c.run_id == run_id)
            if transaction.connection.execute(held).first() is not None:
                ask_to_end(transaction, by)
            cancel_below(transaction, change_status, by=by, reason=f"cancelled by {by}")


def _is_recent(now: datetime, seconds: float) -> sa.ColumnElement[bool]:
    """Whether a process was started less than so many seconds ago. (A clock may have been put back since.)"""
    within = timedelta(seconds=seconds)
    return children.c.hosted_at.between(now - within, now + within)


def _of_call(connection: Connection, parent_id: str, call: ChildCall) -> Child | None:
    query = sa.select(*raw(children)).where(
        children.c.parent_id == parent_id,
        children.c.step == call.step,
        children.c.step_key == call.step_key,
        children.c.key == call.key,
    )
    row = connection.execute(query).first()
    return read_child(row) if row is not None else None


def _line_of(connection: Connection, run_id: str) -> list[Run]:
    found: list[Run] = []
    next_id: str | None = run_id
    while next_id is not None and next_id not in {run.id for run in found}:
        row = connection.execute(sa.select(*raw(runs, RUN_COLUMNS)).where(runs.c.id == next_id)).first()
        if row is None:
            break
        found.append(read_run(row))
        parent = sa.select(children.c.parent_id).where(children.c.run_id == next_id)
        next_id = connection.execute(parent).scalar()
    return found


def _children_of(connection: Connection, parents: Sequence[str]) -> list[Run]:
    query = (
        sa.select(*raw(runs, RUN_COLUMNS))
        .join(children, children.c.run_id == runs.c.id)
        .where(children.c.parent_id.in_(parents))
        .order_by(children.c.asked_at, runs.c.id)
    )
    return list(read_each(connection.execute(query).all(), read_run))


def _refuse_ended(transaction: RunTransaction[Connection]) -> None:
    """What a run starts ends with it: so it starts nothing any more."""
    request, status = request_of(transaction.row), RunStatus(transaction.row.status)
    if status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
        raise IllegalTransition(
            f"Run {transaction.row.name} is {status}: it starts no other run.",
            hint="A step of it that executes again may: %%step STEP --rerun.",
        )
    if request is not None and request.what == CANCEL:
        raise IllegalTransition(
            f"Run {transaction.row.name} was cancelled by {request.by}: it starts no other run.",
            hint="It ends in a moment, and what it started with it.",
        )


def _enqueue(transaction: RunTransaction[Connection], run_id: str, *, share: str = "") -> None:
    """A row of the queue, with what its parent's says of priority and limits."""
    connection = transaction.connection
    of_parent = connection.execute(sa.select(queue).where(queue.c.run_id == transaction.row.id)).first()
    connection.execute(sa.delete(queue).where(queue.c.run_id == run_id))
    values: dict[str, Any] = {
        "run_id": run_id,
        "priority": of_parent.priority if of_parent else 0,
        "share": of_parent.share if of_parent else share,
        "limits": of_parent.limits if of_parent else [],
        "enqueued_at": transaction.now,
        "starts": 0,
    }
    connection.execute(sa.insert(queue), values)


@row_of(children)
def read_child(row: Row[Any]) -> Child:
    """The record of a row."""
    call = ChildCall(row.step, bytes(row.step_key), row.key, row.on_close)
    return Child(row.parent_id, call, row.run_id, row.asked_at, row.tries, row.told_at)
