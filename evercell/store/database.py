"""An open store's connections, and its kinds of transaction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection

from evercell.core.clock import Clock
from evercell.core.errors import ForkedProcess, StoreError, StoreUnavailable
from evercell.core.forks import tell_child
from evercell.core.records import Lease
from evercell.store.contention import busy_error, postgres_holder, sqlite_holder
from evercell.store.direct import DirectConnection, keep_for_ever
from evercell.store.opening import connect, driver_errors, parse_url, snapshots, writing
from evercell.store.outages import Outages
from evercell.store.prepared import Direct
from evercell.store.run_transaction import RunTransaction, begin_on_run, begin_under_lease
from evercell.store.schema import meta
from evercell.store.store_files import WatchedPath, file_replaced, log_removed

_SERVER_TIME = sa.select(sa.func.clock_timestamp(type_=sa.DateTime(timezone=True)))


class Database:
    """What the parts of a store share."""

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        create: bool,
        lease_clock: Clock | None = None,
        stuck_after: float = 30.0,
    ) -> None:
        parsed = parse_url(url)
        self.url = parsed.render_as_string(hide_password=True)
        """Where the store is; a password in it is hidden."""
        self.path: str | None = parsed.database if parsed.get_backend_name() == "sqlite" else None
        """Path of the SQLite file, None on PostgreSQL."""
        self.clock = clock
        self._lease_clock = lease_clock or (clock if self.path is not None else None)
        self._has_log = False
        self._file = WatchedPath(Path(self.path)) if self.path is not None else None
        self._engine = connect(url, create=create, stuck_after=stuck_after)
        self._writing_engine = writing(self._engine)
        self._snapshot_engine = snapshots(self._engine)
        self._process = os.getpid()
        self.direct = DirectConnection(self._engine, self.url, self)
        self.outages = Outages(self._explain_busy)
        tell_child(self)
        try:
            self.store_id = self._read_store_id()
            if self._file is not None:
                self._file.look()
                event.listen(self._engine, "do_connect", self._refuse_to_make_another)
        except BaseException:
            self.close()
            raise

    def _read_store_id(self) -> str:
        with self.reading() as connection:
            found = connection.execute(sa.select(meta.c.value).where(meta.c.key == "store_id")).scalar()
        if not isinstance(found, str) or not found.isascii():
            raise StoreUnavailable(
                f"The store {self.url} has lost its name, to which its saved state is bound.",
                hint="Put it back from a backup, or set EVERCELL_STORE to another store.",
            )
        return found

    def require_file(self) -> None:
        """Raise `StoreReplaced` where the database's file is not the one that was opened. (Of SQLite.)

        Where a copy of the same store lies there, the next transaction takes that up.
        """
        file = self._file
        if file is None:
            return
        if not file.is_same():
            is_gone = file.is_gone()
            if not is_gone:
                self._take_up_copy(file)
            raise file_replaced(file.path, is_gone=is_gone)

    def require_files(self) -> None:
        """The same in a transaction that writes: there the log is open, too."""
        self.require_file()
        if self._file is None:
            return
        if os.path.exists(f"{self._file.path}-wal"):  # noqa: PTH110  at every commit
            self._has_log = True
        elif self._has_log:
            raise log_removed(self._file.path)

    def _take_up_copy(self, file: WatchedPath) -> None:
        self._engine.dispose()
        with suppress(StoreError):
            file.forget()
            if self._read_store_id() == self.store_id:
                file.look()
                return
        self._engine.dispose()
        file.refuse()

    def _refuse_to_make_another(self, *_: object) -> None:
        """SQLite would make an empty file where the store's own is gone."""
        if self._file is not None and self._file.is_known and self._file.is_gone():
            raise file_replaced(self._file.path, is_gone=True)

    def lease_now(self, connection: Connection) -> datetime:
        """The moment by the clock that leases live on, the same for all hosts: the server's, where there is one."""
        if self._lease_clock is not None:
            return self._lease_clock()
        now: datetime = connection.execute(_SERVER_TIME).scalar_one()
        return now

    def _explain_busy(self, error: StoreError) -> StoreError:
        holder = None
        if self.path is not None:
            holder = sqlite_holder(self.path)
        else:
            with suppress(StoreError), self.reading() as connection:
                holder = postgres_holder(connection)
        return busy_error(error, self.url, holder)

    def require_own_process(self) -> None:
        """Raise `ForkedProcess` in a child: its connections are its parent's."""
        if os.getpid() != self._process:
            raise ForkedProcess(
                f"Process {os.getpid()} was forked from {self._process}, whose store {self.url} it may not use.",
                hint="Let the child return what it made, and go on with it in the notebook's own process; or start "
                "the child with multiprocessing's 'spawn'.",
            )

    def in_child(self) -> None:
        """Leave all connections to the parent: not even closing one is safe here."""
        keep_for_ever(self._engine, self.direct)

    def close(self) -> None:
        """Close all connections."""
        if os.getpid() != self._process:
            return
        self.direct.close()
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that reads."""
        self.require_own_process()
        with driver_errors(self.url), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A transaction whose queries all see the database as of one moment."""
        self.require_own_process()
        with driver_errors(self.url), self._snapshot_engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes."""
        self.require_own_process()
        with driver_errors(self.url), self._writing_engine.begin() as connection:
            yield connection
            self.require_files()

    @contextmanager
    def run_transaction(
        self, run_id: str, lease: Lease | None = None, *, within: Connection | None = None
    ) -> Iterator[RunTransaction[Connection]]:
        """A write transaction on a run, or a part of the one ``within``. With a lease it first makes sure that it
        still is the run's.

        Raises `LeaseLost` with nothing changed where another session took over.
        """
        with nullcontext(within) if within is not None else self.writing() as connection:
            transaction = (
                begin_under_lease(connection, lease, self.clock)
                if lease
                else begin_on_run(connection, run_id, self.clock)
            )
            yield transaction
            transaction.finish()

    @contextmanager
    def direct_transaction(
        self, lease: Lease, *, synchronous: bool = True
    ) -> Iterator[RunTransaction[Direct]]:
        """As `run_transaction`, for prepared statements only; ``synchronous`` as for `DirectConnection`."""
        with self.direct.transaction(synchronous=synchronous) as direct:
            transaction = begin_under_lease(direct, lease, self.clock)
            yield transaction
            transaction.finish()
            transaction.is_sent = True
