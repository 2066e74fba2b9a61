"""Results: what notebooks returned to whoever started their runs."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Row

from evercell.core.chunks import Blob, Supply, blob_from_json, blob_to_json
from evercell.core.faults import reach
from evercell.core.found import Found
from evercell.core.records import EventKind, Lease, Returned
from evercell.store.database import Database
from evercell.store.outages import asks_again
from evercell.store.packs import PackWriter
from evercell.store.prepared import Prepared, insert_into
from evercell.store.rows import raw, read_each, row_of
from evercell.store.schema import results


@cache
def _put(dialect: str) -> Prepared:
    insert = insert_into(results, dialect)
    keys = [results.c.run_id, results.c.name]
    new = {c.name: insert.excluded[c.name] for c in results.c if not c.primary_key}
    return Prepared(insert.on_conflict_do_update(index_elements=keys, set_=new), columns=results.c.keys())


@asks_again
class Results:
    """What the notebooks of a store's runs returned."""

    def __init__(self, database: Database, packs: PackWriter) -> None:
        self._database = database
        self._packs = packs

    def put(self, lease: Lease, returned: Returned, chunks: Supply) -> None:
        """Commit a value that a run returns, in the place of an earlier one of its name. Raises `LeaseLost`."""
        blob = returned.value if isinstance(returned.value, Blob) else None
        values = {
            "run_id": returned.run_id,
            "name": returned.name,
            "value": None if blob else returned.value,
            "blob": blob_to_json(blob) if blob else None,
            "mac": returned.mac,
            "returned_at": returned.returned_at,
        }
        with self._packs.packed(chunks) as packs, self._database.direct_transaction(lease) as transaction:
            packs.insert(transaction)
            _put(transaction.connection.dialect.name).run(transaction.connection, values)
            said = {"name": returned.name, "digest": returned.mac.hex()}
            transaction.append_event(EventKind.RESULT_RETURNED, said)
            reach("before_result_commit")
        reach("after_result_commit")

    def get(self, run_id: str, name: str) -> Returned | None:
        """What a run returned by this name, None if nothing."""
        query = sa.select(*raw(results)).where(results.c.run_id == run_id, results.c.name == name)
        with self._database.reading() as connection:
            row = connection.execute(query).first()
        return read_returned(row) if row is not None else None

    def of_run(self, run_id: str) -> Found[Returned]:
        """All that a run returned, the first one first."""
        query = sa.select(*raw(results)).where(results.c.run_id == run_id)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(results.c.returned_at, results.c.name)).all()
        return read_each(found, read_returned)


@row_of(results)
def read_returned(row: Row[Any]) -> Returned:
    """The record of a row."""
    value = bytes(row.value) if row.value is not None else blob_from_json(row.blob)
    return Returned(row.run_id, row.name, value, bytes(row.mac), row.returned_at)
