"""Content that is named beside checkpoints: by attempts that did not complete, by calls, and by what runs returned."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.chunks import Blob, blob_from_json
from evercell.store.rows import raw, row_of
from evercell.store.schema import attempts, calls, results


def content_of_attempts(connection: Connection, without: Collection[str]) -> Iterator[Blob]:
    """What attempts showed that did not complete."""
    query = sa.select(*raw(attempts, [attempts.c.id, attempts.c.run_id, attempts.c.outputs]))
    for row in connection.execute(query.where(attempts.c.outputs.is_not(None))):
        if row.run_id not in without:
            yield _read_outputs(row)


def content_of_calls(connection: Connection, without: Collection[str]) -> Iterator[Blob]:
    """Results of calls that are in chunks."""
    columns = [calls.c.run_id, calls.c.step, calls.c.step_key, calls.c.key, calls.c.blob]
    for row in connection.execute(sa.select(*raw(calls, columns)).where(calls.c.blob.is_not(None))):
        if row.run_id not in without:
            yield _read_blob(row)


def content_of_results(connection: Connection, without: Collection[str]) -> Iterator[Blob]:
    """Values that runs returned and that are in chunks."""
    columns = [results.c.run_id, results.c.name, results.c.blob]
    for row in connection.execute(sa.select(*raw(results, columns)).where(results.c.blob.is_not(None))):
        if row.run_id not in without:
            yield _read_result(row)


@row_of(results)
def _read_result(row: Row[Any]) -> Blob:
    return blob_from_json(row.blob)


@row_of(attempts)
def _read_outputs(row: Row[Any]) -> Blob:
    return blob_from_json(row.outputs)


@row_of(calls)
def _read_blob(row: Row[Any]) -> Blob:
    return blob_from_json(row.blob)
