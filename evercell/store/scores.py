"""Scores: what evaluators said of runs and their steps. Of one name the newest counts; the journal has all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.found import Found
from evercell.core.records import EventKind
from evercell.core.scores import GivenScore
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import scores

_COLUMNS = (
    "run_id", "step", "name", "value", "label", "reason", "evaluator", "version", "given_at", "given_by", "mac",
)  # fmt: skip


@asks_again
class Scores:
    """The scores of a store's runs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def give(self, run_id: str, given: Sequence[GivenScore]) -> None:
        """Commit scores of a run, whoever is on it. Each takes the place of an earlier one of its name."""
        if not given:
            return
        with self._database.run_transaction(run_id) as transaction:
            for one in given:
                here = scores.c.run_id == run_id, scores.c.step == one.step, scores.c.name == one.name
                transaction.connection.execute(sa.delete(scores).where(*here))
                row = {name: getattr(one, name) for name in _COLUMNS}
                transaction.connection.execute(sa.insert(scores), {**row, "run_id": run_id})
            said = [
                {
                    "step": one.step,
                    "name": one.name,
                    "value": one.value,
                    "label": one.label,
                    "mac": one.mac.hex(),
                }
                for one in given
            ]
            transaction.append_event(EventKind.SCORES_GIVEN, {"by": given[0].given_by, "scores": said})

    def of_run(self, run_id: str) -> Found[GivenScore]:
        """Those of a run and its steps, by name."""
        query = (
            sa.select(*raw(scores)).where(scores.c.run_id == run_id).order_by(scores.c.step, scores.c.name)
        )
        with self._database.reading() as connection:
            rows = connection.execute(query).all()
        return read_each(rows, read_score)


@row_of(scores)
def read_score(row: Row[Any]) -> GivenScore:
    """The record of a row."""
    return GivenScore(
        row.run_id, row.step, row.name, row.value, row.label, row.reason, row.evaluator, row.version, row.given_at,
        row.given_by, bytes(row.mac),
    )  # fmt: skip
