"""The store: runs, steps, checkpoints, content and journals in one database. The only room with SQL."""

from __future__ import annotations

from types import TracebackType

from evercell.core.clock import Clock, system_clock
from evercell.store.approvals import Approvals
from evercell.store.calls import Calls
from evercell.store.journal import Journals
from evercell.store.leases import Leases
from evercell.store.runs import Lineage
from evercell.store.steps import Steps

__all__ = ["Lineage", "Store", "open_store"]


class Store(Steps, Leases, Journals, Calls, Approvals):
    """An open store. Every method is one transaction; a method that writes says so in its first line."""

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()


def open_store(url: str, *, clock: Clock = system_clock, create: bool = True) -> Store:
    """Open the store at an SQLAlchemy URL (SQLite or PostgreSQL), making it where it does not exist.

    Raises `StoreUnavailable`, `StoreTooNew` or `SqliteTooOld`, each with what to do.
    """
    return Store(url, clock=clock, create=create)
