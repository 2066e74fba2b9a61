"""Claiming a run: one that is there, or a new one, together with the right to write to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from evercell.core.records import Holder, Lease, NewRun, Run
from evercell.store.database import Database
from evercell.store.leases import Leases, read_lease
from evercell.store.locks import lock_text
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each
from evercell.store.run_names import until_named
from evercell.store.runs import IS_THERE, RUN_COLUMNS, Runs, read_run
from evercell.store.schema import leases, runs


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that may be gone on with, and its lease, expired or not; None after it was given back."""

    run: Run
    lease: Lease | None


Choice = Callable[[Sequence[Candidate]], Run | None]
"""Picks the run to go on with among those of a notebook, the newest first; None: a new one is made."""


@asks_again
class Claims:
    """The claims on a store's runs."""

    def __init__(self, database: Database, runs: Runs, leases: Leases) -> None:
        self._database = database
        self._runs = runs
        self._leases = leases

    def claim(
        self, new: NewRun, choose: Choice, *, session_id: str, holder: Holder, ttl: timedelta
    ) -> tuple[Run, Lease]:
        """Commit that this session holds the run that ``choose`` picks, or a new one, in one transaction.

        Of several claims for one notebook at the same instant each sees what the one before has committed. A new run
        with a key is made where no run has that, and the run that has it is the only one to choose from.
        Nothing is changed where ``choose`` raises.
        """

        def commit() -> tuple[str, Lease]:
            with self._database.writing() as connection:
                found = self._candidates(connection, new)
                for candidate in found:
                    if candidate.lease is not None and candidate.lease.session_id == session_id:
                        return candidate.run.id, candidate.lease  # committed before, and nobody was told
                chosen = choose(found)
                run = self._runs.insert(connection, new) if chosen is None else chosen
                former = next((c.lease for c in found if c.run.id == run.id and c.lease), None)
                lease = self._leases.acquire(
                    run.id, session_id=session_id, holder=holder, ttl=ttl,
                    replacing=former.token if former else None, within=connection,
                )  # fmt: skip
            return run.id, lease

        run_id, lease = until_named(new, commit)
        return self._runs.find(run_id), lease

    def _candidates(self, connection: Connection, new: NewRun) -> list[Candidate]:
        """The notebook's runs. From here on until the transaction ends nobody else claims one of them."""
        notebook = new.notebook
        if new.run_key is not None:
            return self._candidate_of_key(connection, new.run_key)
        if notebook is None:
            return []
        lock_text(connection, notebook)
        of_notebook = sa.and_(runs.c.notebook == notebook, IS_THERE)
        rows = connection.execute(
            sa.select(*raw(runs, RUN_COLUMNS))
            .where(of_notebook)
            .order_by(runs.c.created_at.desc(), runs.c.id.desc())
        ).all()
        held = sa.select(*raw(leases)).join(runs, runs.c.id == leases.c.run_id).where(of_notebook)
        by_run = {row.run_id: read_lease(row) for row in connection.execute(held).all()}
        return [Candidate(run, by_run.get(run.id)) for run in read_each(rows, read_run)]

    def _candidate_of_key(self, connection: Connection, run_key: str) -> list[Candidate]:
        run = self._runs.find_keyed(connection, run_key)
        if run is None:
            return []
        row = connection.execute(sa.select(*raw(leases)).where(leases.c.run_id == run.id)).first()
        return [Candidate(run, read_lease(row) if row else None)]
