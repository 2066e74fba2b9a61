"""The store: runs, steps, checkpoints, content and journals in one database. The only room with SQL."""

from __future__ import annotations

from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING

from evercell.core.clock import Clock, system_clock
from evercell.store.approvals import Approvals
from evercell.store.calls import Calls
from evercell.store.checkpoints import Checkpoints
from evercell.store.children import Children
from evercell.store.chunks import Chunks
from evercell.store.claims import Candidate, Claims
from evercell.store.collection import Collections
from evercell.store.database import Database
from evercell.store.journal import Journal
from evercell.store.leases import Leases
from evercell.store.packs import PackWriter
from evercell.store.policies import Policies
from evercell.store.references import References
from evercell.store.results import Results
from evercell.store.runs import Lineage, Runs
from evercell.store.signals import Signals
from evercell.store.steps import Steps
from evercell.store.waits import Waits

if TYPE_CHECKING:
    from evercell.store.audit import Audit
    from evercell.store.condition import Condition
    from evercell.store.excerpts import Excerpts
    from evercell.store.limits import Limits
    from evercell.store.missions import Missions
    from evercell.store.queue import Queue
    from evercell.store.schedules import Schedules
    from evercell.store.scores import Scores
    from evercell.store.servers import Servers
    from evercell.store.sweeping import Sweeps
    from evercell.store.threads import Threads

__all__ = ["Candidate", "Lineage", "Store", "open_store"]


class Store:
    """An open store, a part for each noun. Every method of a part is one transaction; one that writes says so
    in its first line.
    """

    def __init__(self, database: Database) -> None:
        packs = self._packs = PackWriter(database)
        self._database = database
        self.runs = Runs(database)
        self.references = References(database, self.runs)
        self.leases = Leases(database)
        self.claims = Claims(database, self.runs, self.leases)
        self.steps = Steps(database, packs)
        self.checkpoints = Checkpoints(database)
        self.chunks = Chunks(database)
        self.journal = Journal(database)
        self.calls = Calls(database, packs)
        self.signals = Signals(database)
        self.approvals = Approvals(database)
        self.waits = Waits(database)
        self.children = Children(database, self.runs)
        self.results = Results(database, packs)
        self.policies = Policies(database)
        self.collections = Collections(database)
        self.outages = database.outages
        """How long whom the store lets wait while its database is away."""
        self.store_id = database.store_id
        """What the manifests of this store are bound to."""
        self.url = database.url
        """Where the store is; a password in it is hidden."""

    # -- what few kernels ever need: imported at its first use -------------------------------------

    @cached_property
    def schedules(self) -> Schedules:
        from evercell.store.schedules import Schedules

        return Schedules(self._database, self.runs)

    @cached_property
    def queue(self) -> Queue:
        from evercell.store.queue import Queue

        return Queue(self._database, self.runs)

    @cached_property
    def limits(self) -> Limits:
        from evercell.store.limits import Limits

        return Limits(self._database)

    @cached_property
    def missions(self) -> Missions:
        from evercell.store.missions import Missions

        return Missions(self._database, self.approvals)

    @cached_property
    def servers(self) -> Servers:
        from evercell.store.servers import Servers

        return Servers(self._database)

    @cached_property
    def threads(self) -> Threads:
        from evercell.store.threads import Threads

        return Threads(self._database, self._packs)

    @cached_property
    def audit(self) -> Audit:
        from evercell.store.audit import Audit

        return Audit(self._database)

    @cached_property
    def condition(self) -> Condition:
        from evercell.store.condition import Condition

        return Condition(self._database)

    @cached_property
    def excerpts(self) -> Excerpts:
        from evercell.store.excerpts import Excerpts

        return Excerpts(self._database)

    @cached_property
    def scores(self) -> Scores:
        from evercell.store.scores import Scores

        return Scores(self._database)

    @cached_property
    def sweeps(self) -> Sweeps:
        from evercell.store.sweeping import Sweeps

        return Sweeps(self._database)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def open_store(
    url: str,
    *,
    clock: Clock = system_clock,
    create: bool = True,
    lease_clock: Clock | None = None,
    stuck_after: float = 30.0,
) -> Store:
    """Open the store at an SQLAlchemy URL (SQLite or PostgreSQL), making it where it does not exist.

    ``lease_clock`` is what leases expire by; without one the server's clock, and for SQLite ``clock``. A server ends
    a transaction that stands still for ``stuck_after`` seconds.
    Raises `StoreUnavailable`, `StoreTooNew` or `SqliteTooOld`, each with what to do.
    """
    return Store(Database(url, clock=clock, create=create, lease_clock=lease_clock, stuck_after=stuck_after))
