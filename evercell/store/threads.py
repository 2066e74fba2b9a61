"""Threads: the checkpoints of agents' graphs, and what their tasks wrote beside them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.chunks import Supply
from evercell.core.errors import ContentCollected, RowDamaged
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.records import Lease
from evercell.core.threads import ThreadCheckpoint, ThreadKey, ThreadOrigin, ThreadWrites
from evercell.store.checkpoints import ANCESTORS
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.packs import ContentTransaction, PackWriter
from evercell.store.prepared import Direct, Prepared, insert_into
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import (
    LAST_COLLECTION,
    checkpoints,
    meta,
    thread_checkpoints,
    thread_writes,
    threads,
)
from evercell.store.sweeping import mark_collection

_AT_ONCE = 500
"""Bound values of one query."""

_MARK = Prepared(sa.select(meta.c.value).where(meta.c.key == LAST_COLLECTION))


@cache
def _put_thread(dialect: str) -> Prepared:
    return Prepared(insert_into(threads, dialect).on_conflict_do_nothing(), columns=threads.c.keys())


@cache
def _put_checkpoint(dialect: str) -> Prepared:
    insert = insert_into(thread_checkpoints, dialect)
    keys = [thread_checkpoints.c.thread, thread_checkpoints.c.id]
    new = {c.name: insert.excluded[c.name] for c in thread_checkpoints.c if not c.primary_key}
    again = insert.on_conflict_do_update(index_elements=keys, set_=new)
    return Prepared(again, columns=thread_checkpoints.c.keys())


@cache
def _put_writes(dialect: str) -> Prepared:
    """Insert what a task wrote; with what it wrote before (of the mac ``replaced``) in it, in the place of that."""
    insert = insert_into(thread_writes, dialect)
    keys = [c for c in thread_writes.c if c.primary_key]
    new = {name: insert.excluded[name] for name in ("path", "call", "content", "mac", "made_at")}
    replaced = sa.bindparam("replaced", type_=thread_writes.c.mac.type)
    again = insert.values({c.name: sa.bindparam(c.name, type_=c.type) for c in thread_writes.c})
    return Prepared(
        again.on_conflict_do_update(
            index_elements=keys, set_=new, where=thread_writes.c.mac.in_([insert.excluded.mac, replaced])
        )
    )


@dataclass(frozen=True, slots=True)
class Listed:
    """A checkpoint of a thread without its content."""

    thread: ThreadKey
    id: str
    parent: str | None
    origin: ThreadOrigin


@dataclass
class _Plain:
    """A transaction outside of any run."""

    connection: Direct
    now: datetime
    row: Any
    is_sent: bool = False


@dataclass(frozen=True, slots=True)
class _Mark:
    last_collection: str


@asks_again
class Threads:
    """The threads of a store."""

    def __init__(self, database: Database, packs: PackWriter) -> None:
        self._database = database
        self._packs = packs

    # -- writing ---------------------------------------------------------------------------------

    def put(
        self, made: ThreadCheckpoint, chunks: Supply, *, lease: Lease | None, as_of: str | None = None
    ) -> str:
        """Commit a checkpoint with its new content, in the place of an earlier one of its id.

        With a lease only as long as that is held: raises `LeaseLost`. ``as_of``: the mark of the store's last
        collection when it was found to have the rest of the content; raises `ContentCollected` where it has another
        by now. Returns the mark.
        """
        with self._packs.packed(chunks) as packs, self._transaction(lease) as transaction:
            mark = _same_mark(transaction, as_of)
            packs.insert(transaction)
            direct = transaction.connection
            _put_thread(direct.dialect.name).run(direct, _thread(made.thread, transaction.now))
            _put_checkpoint(direct.dialect.name).run(direct, _checkpoint_values(made))
            reach("before_thread_commit")
        reach("after_thread_commit")
        return mark

    def put_writes(
        self, made: ThreadWrites, chunks: Supply, *, lease: Lease | None, replaced: bytes = b""
    ) -> str | None:
        """Commit what a task wrote; returns the mark of the store's last collection.

        None, with nothing changed, where it wrote before: then its author puts the two together, in the place of the
        former ones of the mac ``replaced``. Raises `LeaseLost`.
        """
        with self._packs.packed(chunks) as packs, self._transaction(lease) as transaction:
            mark = _same_mark(transaction, None)
            packs.insert(transaction)
            direct = transaction.connection
            _put_thread(direct.dialect.name).run(direct, _thread(made.thread, transaction.now))
            values = _writes_values(made) | {"replaced": replaced}
            written = _put_writes(direct.dialect.name).run(direct, values).rowcount
            reach("before_thread_writes_commit")
        reach("after_thread_writes_commit")
        return mark if written else None

    @contextmanager
    def _transaction(self, lease: Lease | None) -> Iterator[ContentTransaction]:
        if lease is not None:
            with self._database.direct_transaction(lease) as leased:
                yield leased
            return
        with self._database.direct.transaction() as direct:
            mark = _MARK.run(direct, {}).fetchone()
            plain = _Plain(direct, self._database.clock(), _Mark(mark[0] if mark else ""))
            yield plain
            plain.is_sent = True

    def add(self, made: Sequence[ThreadCheckpoint], writes: Sequence[ThreadWrites]) -> None:
        """Commit checkpoints and writes whose content is in the store: those of a thread that is copied."""
        with self._database.direct.transaction() as direct:
            now, dialect = self._database.clock(), direct.dialect.name
            for key in {one.thread for one in made} | {one.thread for one in writes}:
                _put_thread(dialect).run(direct, _thread(key, now))
            for one in made:
                _put_checkpoint(dialect).run(direct, _checkpoint_values(one))
            for other in writes:
                _put_writes(dialect).run(direct, _writes_values(other) | {"replaced": b""})

    def delete(self, keys: Collection[ThreadKey]) -> None:
        """Commit that these threads are gone, with all that is theirs."""
        digests = [key.digest for key in keys]
        with self._database.writing() as connection:
            for some in _some(digests):
                for column in (thread_writes.c.thread, thread_checkpoints.c.thread, threads.c.key):
                    connection.execute(sa.delete(column.table).where(column.in_(some)))
            mark_collection(connection)

    def delete_checkpoints(self, gone: Collection[tuple[ThreadKey, str]]) -> None:
        """Commit that these checkpoints are gone, with what tasks wrote after them."""
        with self._database.writing() as connection:
            for key, checkpoint_id in gone:
                for table, column in (
                    (thread_writes, thread_writes.c.checkpoint_id), (thread_checkpoints, thread_checkpoints.c.id),
                ):  # fmt: skip
                    mine = sa.and_(table.c.thread == key.digest, column == checkpoint_id)
                    connection.execute(sa.delete(table).where(mine))
            mark_collection(connection)

    def mark(self) -> str:
        """What the store's last collection left: as long as it is the same, no content was removed."""
        with self._database.reading() as connection:
            query = sa.select(meta.c.value).where(meta.c.key == LAST_COLLECTION)
            return str(connection.execute(query).scalar() or "")

    # -- reading ---------------------------------------------------------------------------------

    def get(self, key: ThreadKey, checkpoint_id: str) -> ThreadCheckpoint | None:
        """A checkpoint, None where there is none of this id."""
        query = _CHECKPOINTS.where(
            thread_checkpoints.c.thread == key.digest, thread_checkpoints.c.id == checkpoint_id
        )
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return read_checkpoint(row) if row is not None else None

    def listed(
        self, *, thread_id: str | None = None, ns: str | None = None, before: str | None = None,
        limit: int | None = None, graph_runs: Collection[str] | None = None,
    ) -> list[Listed]:  # fmt: skip
        """Checkpoints (of one thread, one namespace, of some runs of a graph), newest first, without content."""
        query = _LISTED
        if thread_id is not None and ns is not None:
            query = query.where(thread_checkpoints.c.thread == ThreadKey(thread_id, ns).digest)
        elif thread_id is not None:
            query = query.where(threads.c.thread_id == thread_id)
        elif ns is not None:
            query = query.where(threads.c.ns == ns)
        if before is not None:
            query = query.where(thread_checkpoints.c.id < before)
        if graph_runs is not None:
            query = query.where(thread_checkpoints.c.graph_run.in_(list(graph_runs)))
        query = query.order_by(thread_checkpoints.c.id.desc()).limit(limit)
        with self._database.reading() as connection:
            return [_read_listed(row) for row in connection.execute(query).all()]

    def writes(self, key: ThreadKey, checkpoint_id: str) -> Found[ThreadWrites]:
        """What tasks wrote after a checkpoint, in the order in which they did."""
        query = _WRITES.where(
            thread_writes.c.thread == key.digest, thread_writes.c.checkpoint_id == checkpoint_id
        )
        with self._database.reading() as connection:
            found = read_each(connection.execute(query).all(), read_writes)
        return Found([*sorted(found, key=lambda made: made.made_at), *found.damaged])

    def made_by(self, run_id: str | None) -> Iterator[ThreadCheckpoint | ThreadWrites | RowDamaged]:
        """All that a run made, or (None) that was made outside of any, one after the other."""
        parts: list[
            tuple[sa.Select[Any], sa.Column[Any], Callable[[Any], ThreadCheckpoint | ThreadWrites]]
        ] = [
            (_CHECKPOINTS, thread_checkpoints.c.run_id, read_checkpoint),
            (_WRITES, thread_writes.c.run_id, read_writes),
        ]
        with self._database.reading() as connection:
            for query, made_in, read in parts:
                mine = made_in.is_(None) if run_id is None else made_in == run_id
                for row in connection.execute(query.where(mine)):
                    try:
                        yield read(row)
                    except RowDamaged as error:
                        yield error

    def keys(self, thread_id: str) -> list[ThreadKey]:
        """The namespaces of a thread."""
        query = sa.select(*raw(threads)).where(threads.c.thread_id == thread_id)
        with self._database.reading() as connection:
            return [_read_thread(row) for row in connection.execute(query.order_by(threads.c.ns)).all()]

    def completed(self, attempts: Collection[str]) -> set[str]:
        """Those of these attempts that completed their steps."""
        found: set[str] = set()
        with self._database.reading() as connection:
            for some in _some([*attempts]):
                query = sa.select(checkpoints.c.attempt_id).where(checkpoints.c.attempt_id.in_(some))
                found.update(connection.execute(query).scalars())
        return found

    def attempts_behind(self, checkpoint_id: str) -> set[str]:
        """The attempts that made a run's checkpoint and those before it, also where it only repeats one."""
        behind = ANCESTORS.subquery()
        made = sa.select(checkpoints.c.attempt_id, checkpoints.c.origin)
        query = made.join(behind, behind.c.id == checkpoints.c.id)
        with self._database.reading() as connection:
            rows = connection.execute(query, {"id": checkpoint_id}).all()
            found = {row.attempt_id for row in rows}
            for some in _some([row.origin for row in rows if row.origin is not None]):
                repeated = sa.select(checkpoints.c.attempt_id).where(checkpoints.c.id.in_(some))
                found.update(connection.execute(repeated).scalars())
        return found - {None}


def _same_mark(transaction: ContentTransaction, as_of: str | None) -> str:
    mark = str(transaction.row.last_collection or "")
    if as_of is not None and as_of != mark:
        raise ContentCollected(
            "Content of a thread may have been removed meanwhile; nothing was committed.",
            hint="It is written anew by itself.",
        )
    return mark


def _some(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


# -- rows ----------------------------------------------------------------------------------------


_OF_THREAD = [threads.c.thread_id, threads.c.ns]
_CHECKPOINTS = sa.select(*raw(thread_checkpoints), *raw(threads, _OF_THREAD)).join(
    threads, threads.c.key == thread_checkpoints.c.thread
)
_WRITES = sa.select(*raw(thread_writes), *raw(threads, _OF_THREAD)).join(
    threads, threads.c.key == thread_writes.c.thread
)
_LISTED = sa.select(
    *raw(
        thread_checkpoints,
        [thread_checkpoints.c[n] for n in ("id", "parent", "run_id", "step", "attempt", "call")],
    ),
    *raw(threads, _OF_THREAD),
).join(threads, threads.c.key == thread_checkpoints.c.thread)


def _thread(key: ThreadKey, now: datetime) -> dict[str, Any]:
    return {"key": key.digest, "thread_id": key.thread_id, "ns": key.ns, "created_at": now}


def _checkpoint_values(made: ThreadCheckpoint) -> dict[str, Any]:
    return {
        "thread": made.thread.digest,
        "id": made.id,
        "parent": made.parent,
        **_origin_values(made.origin),
        "graph_run": made.graph_run,
        "content": made.content,
        "mac": made.mac,
        "made_at": made.made_at,
    }


def _writes_values(made: ThreadWrites) -> dict[str, Any]:
    return {
        "thread": made.thread.digest,
        "checkpoint_id": made.checkpoint_id,
        "task": made.task,
        "path": made.path,
        **_origin_values(made.origin),
        "content": made.content,
        "mac": made.mac,
        "made_at": made.made_at,
    }


def _origin_values(origin: ThreadOrigin) -> dict[str, Any]:
    return {"run_id": origin.run_id, "step": origin.step, "attempt": origin.attempt, "call": origin.call}


@row_of(threads)
def _read_thread(row: Row[Any]) -> ThreadKey:
    return ThreadKey(row.thread_id, row.ns)


@row_of(thread_checkpoints)
def read_checkpoint(row: Row[Any]) -> ThreadCheckpoint:
    """The record of a row, with its thread's id and namespace."""
    origin = ThreadOrigin(row.run_id, row.step, row.attempt, row.call)
    key = ThreadKey(row.thread_id, row.ns)
    return ThreadCheckpoint(key, row.id, row.parent, origin, row.graph_run, row.content, row.mac, row.made_at)


@row_of(thread_writes)
def read_writes(row: Row[Any]) -> ThreadWrites:
    """The record of a row, with its thread's id and namespace."""
    origin = ThreadOrigin(row.run_id, row.step, row.attempt, row.call)
    key = ThreadKey(row.thread_id, row.ns)
    return ThreadWrites(key, row.checkpoint_id, row.task, row.path, origin, row.content, row.mac, row.made_at)


@row_of(thread_checkpoints)
def _read_listed(row: Row[Any]) -> Listed:
    origin = ThreadOrigin(row.run_id, row.step, row.attempt, row.call)
    return Listed(ThreadKey(row.thread_id, row.ns), row.id, row.parent, origin)
