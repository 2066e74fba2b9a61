"""The queue: which runs are to be started, under which limits, and who starts them. Admission is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.errors import IllegalTransition, QueueFull
from evercell.core.faults import reach
from evercell.core.ids import new_id
from evercell.core.queueing import Place, Queued, QueuePicture
from evercell.core.records import Holder, Lease, NewRun, Run
from evercell.core.statuses import ENDED, RunStatus
from evercell.store.database import Database
from evercell.store.leases import read_lease
from evercell.store.limits import forget_slots, read_limits, read_slots
from evercell.store.locks import lock_admission
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_names import until_named
from evercell.store.run_transaction import begin_on_run
from evercell.store.runs import IS_THERE, Runs, change_status, read_request
from evercell.store.schema import leases, queue, runs, shares, slots
from evercell.store.servers import read_servers
from evercell.store.waits import due_runs

Choice = Callable[[QueuePicture], Sequence[Queued]]
"""Which runs of the queue are to be started now, in this order."""

_NOT_STARTED = [str(status) for status in (RunStatus.WAITING, *ENDED)]
"""How runs stand that are in the queue and wait for no start. (A server removes those that have ended.)"""

_OF_RUN = (runs.c.name, runs.c.notebook, runs.c.status, runs.c.asked, runs.c.head)
_ENTRY = sa.select(
    *raw(queue), *(column.label(f"run_{column.name}") for column in raw(runs, _OF_RUN))
).join_from(queue, runs, runs.c.id == queue.c.run_id)


@dataclass(frozen=True, slots=True)
class Strays:
    """Ids of runs that nobody put into the queue, and nobody is on."""

    due: list[str]
    """What they waited for is there."""
    dead: list[str]
    """The lease of whoever was on them has ended, by a clock that may have jumped."""


@asks_again
class Queue:
    """The queue of a store."""

    def __init__(self, database: Database, runs: Runs) -> None:
        self._database = database
        self._runs = runs

    # -- coming and going ------------------------------------------------------------------------

    def put_new(self, new: NewRun, place: Place, *, at_most: int) -> Run:
        """Commit a new run that is to be started; where one has its key already, that one, as it is. Where it has no
        output notebook, it gets one of its own.

        Raises `QueueFull` where ``at_most`` are in the queue, with nothing made.
        """

        def commit() -> str:
            with self._database.writing() as connection:
                lock_admission(connection)
                found = self._runs.find_keyed(connection, new.run_key)
                if found is not None:
                    return found.id
                run = self._runs.insert(connection, new)
                if new.output is None and new.notebook is not None:
                    output = own_output(new.notebook, run.name)
                    connection.execute(sa.update(runs).where(runs.c.id == run.id).values(output=output))
                self._insert(connection, run.id, place, at_most)
                reach("before_enqueue_commit")
                return run.id

        run_id = until_named(new, commit)
        reach("after_enqueue_commit")
        return self._runs.find(run_id)

    def put(self, run_id: str, place: Place, *, at_most: int) -> None:
        """Commit that a run is to be gone on with; one that is in the queue has this place from now on.

        Raises `QueueFull`, or `IllegalTransition` for one that has come to its end.
        """
        with self._database.writing() as connection:
            lock_admission(connection)
            transaction = begin_on_run(connection, run_id, self._database.clock)
            status = RunStatus(transaction.row.status)
            if status in (RunStatus.COMPLETED, RunStatus.CANCELLED):
                raise IllegalTransition(
                    f"Run {transaction.row.name} is {status}: there is nothing to go on with.",
                    hint="`evercell branch` makes a new run from any of its steps.",
                )
            there = sa.select(queue.c.run_id).where(queue.c.run_id == run_id)
            if connection.execute(there).first():
                values = {"priority": place.priority, "share": place.share, "limits": list(place.limits)}
                connection.execute(sa.update(queue).where(queue.c.run_id == run_id).values(values))
            else:
                self._insert(connection, run_id, place, at_most)
            if status is RunStatus.FAILED:
                change_status(transaction, RunStatus.QUEUED, reason="to be gone on with")
            transaction.finish()

    def _insert(self, connection: Connection, run_id: str, place: Place, at_most: int) -> None:
        waits_to_start = sa.and_(queue.c.admitted_at.is_(None), runs.c.status.not_in(_NOT_STARTED), IS_THERE)
        count = sa.select(sa.func.count()).select_from(queue.join(runs, runs.c.id == queue.c.run_id))
        waiting = connection.execute(count.where(waits_to_start)).scalar_one()
        if waiting >= at_most:
            raise QueueFull(
                f"The queue is full: {waiting} runs wait to be started, and no more than {at_most} may.",
                hint="See them with `evercell queue`. To let more in: --max-queued, or the setting max_queued.",
            )
        connection.execute(
            sa.insert(queue).values(
                run_id=run_id, priority=place.priority, share=place.share, limits=list(place.limits),
                enqueued_at=self._database.clock(), starts=0,
            )
        )  # fmt: skip

    def take_in(self, run_ids: Sequence[str]) -> None:
        """Commit that these runs, which nobody put here, are gone on with, each in the share of whoever made it."""
        with self._database.writing() as connection:
            lock_admission(connection)
            known = sa.select(queue.c.run_id).where(queue.c.run_id.in_(run_ids))
            new = set(run_ids) - {row.run_id for row in connection.execute(known)}
            made = sa.select(runs.c.id, runs.c.created_by).where(runs.c.id.in_(new))
            for row in connection.execute(made).all():
                self._insert(connection, row.id, Place(row.created_by[:200]), at_most=2**31)

    def remove(self, run_id: str) -> bool:
        """Commit that nobody starts the run any more; says whether it was in the queue. A session on it goes on."""
        with self._database.writing() as connection:
            lock_admission(connection)
            self._give_slots_back(connection, run_id)
            return bool(connection.execute(sa.delete(queue).where(queue.c.run_id == run_id)).rowcount)

    # -- looking ---------------------------------------------------------------------------------

    def look(self) -> QueuePicture:
        """All that admission looks at, as of one moment."""
        with self._database.snapshot() as connection:
            return self._picture(connection)

    def strays(self) -> Strays:
        """Headless runs that may go on now, though nobody put them here."""
        with self._database.snapshot() as connection:
            lease_now = self._database.lease_now(connection)
            due = due_runs(self._database.clock(), lease_now).order_by(None)
            is_dead = sa.and_(
                # (queued: whoever claimed it died before its kernel was on it)
                runs.c.status.in_([str(RunStatus.RUNNING), str(RunStatus.QUEUED)]),
                runs.c.asked.is_(None),
                sa.exists().where(leases.c.run_id == runs.c.id, leases.c.expires_at <= lease_now),
            )
            query = sa.select(runs.c.id, runs.c.status).where(
                sa.or_(runs.c.id.in_(due), is_dead),
                runs.c.notebook.is_not(None), runs.c.output.is_not(None), runs.c.archived_at.is_(None), IS_THERE,
                ~sa.exists().where(queue.c.run_id == runs.c.id),
            )  # fmt: skip
            found = connection.execute(query).all()
        is_due = {row.id: row.status == str(RunStatus.WAITING) for row in found}
        return Strays([id_ for id_ in is_due if is_due[id_]], [id_ for id_ in is_due if not is_due[id_]])

    def _picture(self, connection: Connection) -> QueuePicture:
        rows = connection.execute(_ENTRY.where(IS_THERE)).all()
        now = self._database.lease_now(connection)
        held: dict[str, Lease] = {}
        due: set[str] = set()
        if rows:
            found = read_each(connection.execute(sa.select(*raw(leases))).all(), read_lease)
            held = {lease.run_id: lease for lease in found}
        if any(row.run_status == RunStatus.WAITING for row in rows):
            due = {row.id for row in connection.execute(due_runs(self._database.clock(), now))}
        entries = list(read_each(rows, lambda row: read_queued(row, held, due)))
        turns = {row.name: row.turn for row in connection.execute(sa.select(shares))}
        limits = read_limits(connection)
        return QueuePicture(
            entries, limits, read_slots(connection, now) if limits else [], turns, read_servers(connection), now,
            max(turns.values(), default=0),
        )  # fmt: skip

    # -- admission -------------------------------------------------------------------------------

    def admit(self, server_id: str, choose: Choice) -> list[Queued]:
        """Commit that a server starts those that ``choose`` picks, with a slot of each of their limits.

        Of several servers at the same instant each sees what the one before admitted.
        """
        with self._database.writing() as connection:
            lock_admission(connection)
            now = self._database.lease_now(connection)
            for key in read_limits(connection):
                forget_slots(connection, key, now)
            picture = self._picture(connection)
            chosen = list(choose(picture))
            turn = picture.turn
            connection.execute(sa.update(queue).where(queue.c.turn.is_(None)).values(turn=turn))
            for entry in chosen:
                turn += 1
                self._admit(connection, server_id, entry, picture)
                self._note_turn(
                    connection, entry.place.share, turn, is_new=entry.place.share not in picture.turns
                )
                picture.turns[entry.place.share] = turn
            reach("before_admission_commit")
        reach("after_admission_commit")
        return chosen

    def _admit(self, connection: Connection, server_id: str, entry: Queued, picture: QueuePicture) -> None:
        self._give_slots_back(connection, entry.run_id)
        connection.execute(
            sa.update(queue)
            .where(queue.c.run_id == entry.run_id)
            .values(admitted_at=picture.now, admitted_by=server_id, runner=None, ready_at=None)
        )
        for key in entry.place.limits:
            if key in picture.limits:
                connection.execute(
                    sa.insert(slots).values(
                        id=new_id(), limit_key=key, run_id=entry.run_id, holder="", share=entry.place.share,
                        wanted_at=picture.now, taken_at=picture.now,
                    )
                )  # fmt: skip

    def _note_turn(self, connection: Connection, share: str, turn: int, *, is_new: bool) -> None:
        if is_new:
            connection.execute(sa.insert(shares).values(name=share, turn=turn))
        else:
            connection.execute(sa.update(shares).where(shares.c.name == share).values(turn=turn))

    def _give_slots_back(self, connection: Connection, run_id: str) -> None:
        connection.execute(
            sa.update(slots)
            .where(slots.c.run_id == run_id, slots.c.token.is_(None), slots.c.given_back_at.is_(None))
            .values(given_back_at=self._database.lease_now(connection))
        )

    # -- what becomes of the admitted ------------------------------------------------------------

    def begin(self, run_id: str, runner: Holder) -> bool:
        """Commit that this process executes the run, which it has claimed; False where it is not admitted any more."""
        with self._database.writing() as connection:
            mine = sa.update(queue).where(queue.c.run_id == run_id, queue.c.admitted_at.is_not(None))
            return connection.execute(mine.values(runner=asdict(runner))).rowcount == 1

    def give_back(
        self, entry: Queued, *, ready_at: datetime | None = None, starts: int = 0, problem: str | None = None,
        keeps_runner: bool = False,
    ) -> bool:  # fmt: skip
        """Commit that an admitted run waits again; False where it is not as it was seen."""
        values: dict[str, Any] = {
            "admitted_at": None, "admitted_by": None, "ready_at": ready_at, "starts": starts, "problem": problem,
            "head": entry.run_head,
        }  # fmt: skip
        if not keeps_runner:
            values["runner"] = None
        with self._database.writing() as connection:
            lock_admission(connection)
            done = connection.execute(sa.update(queue).where(_as_seen(entry)).values(values)).rowcount
            if done:
                self._give_slots_back(connection, entry.run_id)
            return bool(done)

    def drop(self, entry: Queued, *, status: RunStatus | None = None, reason: str = "") -> bool:
        """Commit that a run leaves the queue, having come to its end (or to ``status``); False where it is not as it
        was seen: it may have failed then, and be queued anew by now.
        """
        stands = sa.exists().where(runs.c.id == queue.c.run_id, runs.c.status == str(entry.status))
        is_same = sa.and_(_as_seen(entry), queue.c.enqueued_at == entry.enqueued_at, stands)
        with self._database.writing() as connection:
            lock_admission(connection)
            if not connection.execute(sa.delete(queue).where(is_same)).rowcount:
                return False
            self._give_slots_back(connection, entry.run_id)
            if status is not None:
                with self._database.run_transaction(entry.run_id, within=connection) as transaction:
                    change_status(transaction, status, reason=reason)
            return True

    def adopt(self, entry: Queued, server_id: str) -> bool:
        """Commit that another server looks after an admitted run; False where it is not as it was seen."""
        with self._database.writing() as connection:
            mine = sa.update(queue).where(_as_seen(entry)).values(admitted_by=server_id)
            return bool(connection.execute(mine).rowcount)

    def find(self, run_id: str) -> Queued | None:
        """The run's entry, None where it is not in the queue."""
        with self._database.reading() as connection:
            row = connection.execute(_ENTRY.where(queue.c.run_id == run_id)).first()
            return read_queued(row, {}, {run_id}) if row is not None else None


def own_output(notebook: str, run_name: str) -> str:
    """The output notebook of a run that has none given: beside its notebook, and no other run's."""
    path = PurePath(notebook)
    return str(path.with_name(f"{path.stem}.{run_name.replace('/', '-')}.ipynb"))


def _as_seen(entry: Queued) -> sa.ColumnElement[bool]:
    """It is the same admission, by the same server, executed by the same process, or none."""
    return sa.and_(
        queue.c.run_id == entry.run_id,
        queue.c.admitted_at.is_not_distinct_from(entry.admitted_at),
        queue.c.admitted_by.is_not_distinct_from(entry.admitted_by),
        queue.c.runner.is_not_distinct_from(asdict(entry.runner) if entry.runner else None),
    )


@row_of(queue)
def read_queued(row: Row[Any], held: dict[str, Lease], due: set[str]) -> Queued:
    """The record of a row, which has columns of the run as ``run_…``."""
    request = read_request(_RunRow(row.run_id, row.run_asked))
    status = RunStatus(row.run_status)
    if not isinstance(row.limits, list):
        raise TypeError("its limits are no list")
    return Queued(
        run_id=row.run_id, name=row.run_name, notebook=row.run_notebook, status=status, run_head=row.run_head,
        asked=request.what if request is not None else None,
        place=Place(row.share, row.priority, tuple(map(str, row.limits))),
        enqueued_at=row.enqueued_at, turn=row.turn, ready_at=row.ready_at, starts=row.starts, head=row.head,
        problem=row.problem, admitted_at=row.admitted_at, admitted_by=row.admitted_by,
        runner=Holder(**row.runner) if row.runner else None, lease=held.get(row.run_id),
        is_due=status is not RunStatus.WAITING or row.run_id in due,
    )  # fmt: skip


class _RunRow:
    """The part of a run's row that says what is asked of it."""

    def __init__(self, run_id: str, asked: object) -> None:
        self._values = {"id": run_id, "asked": asked}

    def _asdict(self) -> dict[str, object]:
        return dict(self._values)
