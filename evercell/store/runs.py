"""Runs: created, found, listed, moved from status to status."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import IntegrityError

from evercell.core.errors import IllegalTransition, LeaseHeld, RunNotFound, StepNotFound
from evercell.core.found import Found
from evercell.core.ids import ID_LENGTH, new_id
from evercell.core.names import require_name
from evercell.core.records import EventKind, Lease, NewRun, Run, RunRequest
from evercell.core.statuses import ENDED, RUN_TRANSITIONS, RunStatus
from evercell.store.database import Database
from evercell.store.descendants import end_children, ends_children
from evercell.store.locks import lock_names, lock_text, share_content
from evercell.store.mission_states import end_with_run, launch, refuse_closed
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.run_names import NameRace, free_name, require_free_name, until_named
from evercell.store.run_transaction import GENESIS, RunTransaction, begin_on_run, run_deleted
from evercell.store.schema import checkpoints, collected, events, leases, runs, steps, tags

R = TypeVar("R")

_AT_ONCE = 500
"""Bound values of one query."""

RUN_COLUMNS = [
    runs.c[name]
    for name in (
        "id", "name", "notebook", "output", "status", "head", "parent", "branch_point", "branch_seq",
        "params", "created_at", "updated_at", "created_by", "notebook_id", "kernel_id", "archived_at", "run_key",
    )
]  # fmt: skip

_RAW_RUN = raw(runs, RUN_COLUMNS)


IS_THERE = runs.c.deleted_at.is_(None)

# (put together once: to do so takes as long as to execute them)
_WHOLE_POINT = sa.select(checkpoints.c.run_id, checkpoints.c.seq).where(
    checkpoints.c.id == sa.bindparam("id"),
    ~sa.exists().where(collected.c.checkpoint_id == checkpoints.c.id),
)
_ORIGIN = (
    sa.select(runs.c.parent, runs.c.branch_point, runs.c.branch_seq, checkpoints.c.run_id.label("at"))
    .select_from(runs.outerjoin(checkpoints, checkpoints.c.id == runs.c.branch_point))
    .where(runs.c.id == sa.bindparam("run"))
)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The runs whose checkpoints a run sees: itself first, each ancestor up to where it branched off."""

    cuts: tuple[tuple[str, int | None], ...]
    """Run id and the last visible sequence number there (None: all)."""


@asks_again
class Runs:
    """The runs of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, new: NewRun) -> Run:
        """Commit a new run; where one has its key already, that one is returned as it is.

        Without a name it gets the notebook's with the next free number. With a parent it is a branch: its history
        begins at ``branch_point`` and nothing is copied. Raises `RunNameTaken`, `UsageError` for what can be no name,
        or `StepNotFound` where the parent does not see the branch point.
        """

        def commit() -> str:
            with self._database.writing() as connection:
                found = self.find_keyed(connection, new.run_key)
                return (found or self.insert(connection, new)).id

        return self.find(until_named(new, commit))

    def find_by_key(self, run_key: str) -> Run | None:
        """The run of a key, if one was started with it."""
        query = sa.select(*_RAW_RUN).where(runs.c.run_key == run_key, IS_THERE)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return read_run(row) if row else None

    def find_keyed(self, connection: Connection, run_key: str | None) -> Run | None:
        """Within a transaction: the run of a key. Until it ends nobody else makes one; a deleted run's key is free."""
        if run_key is None:
            return None
        lock_text(connection, run_key)
        gone = (runs.c.run_key == run_key) & ~IS_THERE
        connection.execute(sa.update(runs).where(gone).values(run_key=None))
        row = connection.execute(sa.select(*_RAW_RUN).where(runs.c.run_key == run_key)).first()
        return read_run(row) if row else None

    def insert(self, connection: Connection, new: NewRun) -> Run:
        """Within a transaction, and `until_named`: make a run. Of its key there is none yet (`find_keyed`)."""
        if new.name is not None:
            require_name(new.name, "run")
            lock_names(connection)
            require_free_name(connection, new.name)
        name = new.name if new.name is not None else free_name(connection, new.notebook)
        seq, now = self._branch_seq(connection, new), self._database.clock()
        run = Run(
            id=new_id(), name=name, notebook=new.notebook, output=new.output, status=new.status,
            head=new.branch_point, parent=new.parent, branch_point=new.branch_point, branch_seq=seq,
            params=dict(new.params), created_at=now, updated_at=now, created_by=new.created_by,
            notebook_id=new.notebook_id, kernel_id=new.kernel_id, run_key=new.run_key,
        )  # fmt: skip
        values = {column.name: getattr(run, column.name) for column in RUN_COLUMNS}
        values |= {"status": str(run.status), "fence": 0, "journal_seq": 0, "journal_digest": GENESIS}
        try:
            connection.execute(sa.insert(runs), values)
        except IntegrityError as error:
            raise NameRace from error
        created: dict[str, Any] = {"name": name, "notebook": new.notebook}
        if new.parent:
            created |= {"parent": new.parent, "checkpoint": new.branch_point, "seq": seq}
        if new.run_key is not None:
            created["key"] = new.run_key
        if new.reset is not None:
            created["reset"] = dict(new.reset)
        self._append_event(connection, run.id, EventKind.RUN_CREATED, created)
        if new.mission is not None:
            transaction = begin_on_run(connection, run.id, self._database.clock)
            launch(transaction, new.mission)
            transaction.finish()
        if new.kernel is not None:
            self._append_event(connection, run.id, EventKind.KERNEL_CHOSEN, {"kernel": new.kernel})
        if new.parent:
            branched = {"child": run.id, "name": name, "checkpoint": new.branch_point}
            self._append_event(connection, new.parent, EventKind.RUN_BRANCHED, branched)
        return run

    def _append_event(
        self, connection: Connection, run_id: str, kind: EventKind, data: dict[str, Any]
    ) -> None:
        transaction = begin_on_run(connection, run_id, self._database.clock)
        transaction.append_event(kind, data)
        transaction.finish()

    def _branch_seq(self, connection: Connection, new: NewRun) -> int:
        if new.parent is None or new.branch_point is None:
            return 0
        share_content(connection)
        point = connection.execute(_WHOLE_POINT, {"id": new.branch_point}).first()
        cuts = dict(self._lineage(connection, new.parent).cuts)
        if point is None or point.run_id not in cuts or point.seq > (cuts[point.run_id] or point.seq):
            raise StepNotFound(
                f"Checkpoint {new.branch_point} is not part of the history of run {new.parent}.",
                hint="`evercell show RUN` lists the steps to branch from.",
            )
        return int(point.seq)

    # -- finding ---------------------------------------------------------------------------------

    def find(self, ref: str) -> Run:
        """The run with this id, name, or unique beginning of an id (4 characters or more).

        Raises `RunNotFound`, with the nearest name.
        """
        with self._database.reading() as connection:
            where = sa.or_(runs.c.id == ref, runs.c.name == ref)
            found = connection.execute(sa.select(*_RAW_RUN).where(where, IS_THERE)).all()
            if not found and 4 <= len(ref) < ID_LENGTH:
                begins = runs.c.id.startswith(ref.lower(), autoescape=True)
                found = connection.execute(sa.select(*_RAW_RUN).where(begins, IS_THERE).limit(2)).all()
            if len(found) == 1:
                return read_run(found[0])
            by_id = [row for row in found if row.id == ref]
            if by_id:
                return read_run(by_id[0])
            raise self._not_found(connection, ref, is_ambiguous=bool(found))

    def _not_found(self, connection: Connection, ref: str, *, is_ambiguous: bool) -> RunNotFound:
        gone = connection.execute(sa.select(runs.c.deleted_at).where(runs.c.id == ref)).scalar()
        if gone is not None:
            return run_deleted(ref, gone)
        of_tag = sa.select(runs.c.name).select_from(tags.join(runs, runs.c.id == tags.c.run_id))
        tagged = connection.execute(of_tag.where(tags.c.name == ref)).scalar()
        if tagged is not None:
            return RunNotFound(
                f"{ref!r} is a tag, and here the name of a run is needed.",
                hint=f"It names a place of run {tagged}; `evercell tag` says which.",
            )
        if not is_ambiguous and (deleted_at := self._deleted_at(connection, ref)) is not None:
            return run_deleted(ref, deleted_at)
        names = list(connection.execute(sa.select(runs.c.name).where(IS_THERE)).scalars())
        close = difflib.get_close_matches(ref, names, n=1)
        return RunNotFound(
            f"There is no run {ref!r} in {self._database.url}."
            if not is_ambiguous
            else f"More than one run begins with {ref!r}.",
            hint=f"Did you mean {close[0]!r}?" if close else "`evercell runs` lists them.",
        )

    def _deleted_at(self, connection: Connection, name: str) -> datetime | None:
        """When the newest deleted run that was called so was deleted."""
        query = sa.select(runs.c.deleted_at, events.c.data).join(events, events.c.run_id == runs.c.id)
        query = query.where(runs.c.deleted_at.is_not(None), events.c.kind == str(EventKind.RUN_DELETED))
        rows = connection.execute(query.order_by(runs.c.deleted_at.desc())).all()
        return next((row.deleted_at for row in rows if (row.data or {}).get("from") == name), None)

    def all(
        self, *, notebook: str | None = None, limit: int | None = None, archived: bool = True
    ) -> Found[Run]:
        """Runs (of one notebook), the newest first; without those that are archived, if so asked."""
        query = sa.select(*_RAW_RUN).order_by(runs.c.created_at.desc(), runs.c.id.desc()).where(IS_THERE)
        if not archived:
            query = query.where(runs.c.archived_at.is_(None))
        if notebook is not None:
            query = query.where(runs.c.notebook == notebook)
        with self._database.reading() as connection:
            return read_each(connection.execute(query.limit(limit)).all(), read_run)

    def known_by(
        self, *, path: str | None = None, notebook_id: str | None = None, kernel_id: str | None = None,
        cell_ids: Sequence[str] = (), limit: int = 50,
    ) -> Found[Run]:  # fmt: skip
        """Runs that may be of one notebook, those that were written to last first, archived ones behind the others: of
        its path (or with their output there), of its id, of its kernel, or with steps in cells of these ids.
        """
        ways = [
            sa.or_(runs.c.notebook == path, runs.c.output == path) if path else None,
            runs.c.notebook_id == notebook_id if notebook_id else None,
            runs.c.kernel_id == kernel_id if kernel_id else None,
            runs.c.id.in_(sa.select(steps.c.run_id).where(steps.c.cell_id.in_(cell_ids[:_AT_ONCE])))
            if cell_ids
            else None,
        ]
        known = [way for way in ways if way is not None]
        if not known:
            return Found([])
        query = sa.select(*_RAW_RUN).where(sa.or_(*known), IS_THERE)
        query = query.order_by(runs.c.archived_at.is_not(None), runs.c.updated_at.desc()).limit(limit)
        with self._database.reading() as connection:
            return read_each(connection.execute(query).all(), read_run)

    def latest(self, notebook: str) -> Run | None:
        """The run of this notebook that was written to last."""
        query = sa.select(*_RAW_RUN).where(runs.c.notebook == notebook, IS_THERE)
        with self._database.reading() as connection:
            row = connection.execute(query.order_by(runs.c.updated_at.desc()).limit(1)).first()
            return read_run(row) if row else None

    def lineage(self, run_id: str) -> Lineage:
        """Which checkpoints the run sees, its own and inherited ones."""
        with self._database.reading() as connection:
            return self._lineage(connection, run_id)

    def _lineage(self, connection: Connection, run_id: str) -> Lineage:
        """Up through the parents. A branch point may lie in a grand-parent: the runs between add nothing."""
        cuts: list[tuple[str, int | None]] = [(run_id, None)]
        row = connection.execute(_ORIGIN, {"run": run_id}).first()
        while row is not None and row.at is not None:
            cuts.append((row.at, row.branch_seq))
            row = connection.execute(_ORIGIN, {"run": row.at}).first()
        return Lineage(tuple(cuts))

    # -- changing --------------------------------------------------------------------------------

    def set_status(self, lease: Lease | None, run_id: str, status: RunStatus, *, reason: str = "") -> Run:
        """Commit a new status. Without a lease only while nobody holds a live one (else `LeaseHeld`).

        Raises `IllegalTransition` for a change that `RUN_TRANSITIONS` does not know.
        """
        with self._database.run_transaction(run_id, lease) as transaction:
            if lease is None:
                self._refuse_held(transaction)
            change_status(transaction, status, reason=reason)
        return self.find(run_id)

    def _refuse_held(self, transaction: RunTransaction[Connection]) -> None:
        run, now = transaction.row, self._database.lease_now(transaction.connection)
        query = sa.select(leases.c.owner, leases.c.host).where(
            leases.c.run_id == run.id, leases.c.expires_at > now
        )
        held = transaction.connection.execute(query).first()
        if held is not None:
            raise LeaseHeld(
                f"Run {run.name} is held by a session of {held.owner}@{held.host}.",
                hint="Stop that kernel first, or wait until its lease ends.",
            )

    def update(self, run_id: str, **values: str | Mapping[str, Any] | None) -> Run:
        """Commit new values for what a run is found by, its ``output`` or its ``params``."""
        unknown = values.keys() - {"notebook", "notebook_id", "kernel_id", "output", "params"}
        if unknown:
            raise TypeError(f"a run's {sorted(unknown)} cannot be changed")
        with self._database.run_transaction(run_id) as transaction:
            transaction.changes |= values
        return self.find(run_id)

    # -- its kernel ------------------------------------------------------------------------------

    def choose_kernel(self, run_id: str, kernel: str) -> None:
        """Commit in which kernel the run is executed headless from now on."""
        with self._database.run_transaction(run_id) as transaction:
            transaction.append_event(EventKind.KERNEL_CHOSEN, {"kernel": kernel})

    def chosen_kernel(self, run: Run) -> str | None:
        """The kernel that was chosen for the run, or for the run that it branched from; None: the notebook's own."""
        with self._database.reading() as connection:
            run_id: str | None = run.id
            while run_id is not None:
                query = sa.select(events.c.data).where(
                    events.c.run_id == run_id, events.c.kind == str(EventKind.KERNEL_CHOSEN)
                )
                chosen = connection.execute(query.order_by(events.c.seq.desc()).limit(1)).scalar()
                if chosen is not None:
                    return str(chosen.get("kernel"))
                run_id = connection.execute(sa.select(runs.c.parent).where(runs.c.id == run_id)).scalar()
        return None

    # -- requests from outside -------------------------------------------------------------------

    def set_request(self, run_id: str, request: RunRequest | None) -> None:
        """Commit what somebody outside of the run's session wants of it, or (None) that nothing is wanted."""
        data = asdict(request) if request else None
        with self._database.run_transaction(run_id) as transaction:
            transaction.changes["asked"] = data
            transaction.append_event(EventKind.RUN_ASKED, data or {"what": None})

    def request(self, run_id: str) -> RunRequest | None:
        """What is wanted of a run from outside."""
        with self._database.reading() as connection:
            query = sa.select(*raw(runs, [runs.c.id, runs.c.asked])).where(runs.c.id == run_id)
            row = connection.execute(query).first()
            return read_request(row) if row else None


def change_status(transaction: RunTransaction[Any], status: RunStatus, *, reason: str = "") -> None:
    """Within a transaction: change the run's status and journal it; the same status is no change.

    Raises `IllegalTransition`, and `MissionClosed` where the run came to its end as a mission.
    """
    run = transaction.row
    current = RunStatus(run.status)
    if status is current:
        return
    if current in ENDED:
        refuse_closed(transaction)
    if status not in RUN_TRANSITIONS[current]:
        raise IllegalTransition(
            f"Run {run.name} is {current} and cannot become {status}.",
            hint="`evercell branch` makes a new run from any of its steps.",
        )
    transaction.changes["status"] = str(status)
    data = {"from": str(current), "to": str(status)} | ({"reason": reason} if reason else {})
    transaction.append_event(EventKind.RUN_STATUS, data)
    if status in ENDED:
        end_with_run(transaction, status, reason=reason)
    if ends_children(status):
        end_children(transaction, status, change_status)


@row_of(runs)
def read_run(row: Row[Any]) -> Run:
    """The record of a row with at least `RUN_COLUMNS`."""
    return run_of(row)


def run_of(row: Any) -> Run:
    """The record of what `row_of` decoded."""
    values = {column.name: getattr(row, column.name) for column in RUN_COLUMNS}
    if not isinstance(row.params, dict):
        raise TypeError("its parameters are no JSON object")
    return Run(**{**values, "status": RunStatus(row.status)})


@row_of(runs)
def read_request(row: Any) -> RunRequest | None:
    """What the row of a run says is wanted of it from outside."""
    return request_of(row)


def request_of(row: Any) -> RunRequest | None:
    """The request in what `row_of` decoded."""
    stored = row.asked
    return RunRequest(stored["what"], stored["by"], stored["at"]) if stored else None
