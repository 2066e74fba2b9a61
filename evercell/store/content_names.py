"""Content that is named beside checkpoints: by attempts that did not complete, by calls, by what runs returned, and by
threads.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from evercell.core.chunks import Blob, blob_from_json
from evercell.core.threads import ThreadContent
from evercell.store.rows import raw, row_of
from evercell.store.schema import attempts, calls, results, thread_checkpoints, thread_writes


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


def content_of_threads(connection: Connection, without: Collection[str]) -> Iterator[Blob]:
    """Values of graphs' channels. Each block of a long one comes by itself, since checkpoints share them."""
    for table, read in ((thread_checkpoints, _read_thread_checkpoint), (thread_writes, _read_thread_writes)):
        columns = [*(c for c in table.c if c.primary_key), table.c.run_id, table.c.content]
        for row in connection.execute(sa.select(*raw(table, columns))):
            if row.run_id not in without:
                for blob in read(row):
                    yield from (Blob(0, (digest,), blob.levels) for digest in blob.digests)


@row_of(thread_checkpoints)
def _read_thread_checkpoint(row: Row[Any]) -> Sequence[Blob]:
    return ThreadContent.from_bytes(row.content).blobs


@row_of(thread_writes)
def _read_thread_writes(row: Row[Any]) -> Sequence[Blob]:
    return ThreadContent.from_bytes(row.content).blobs


@row_of(results)
def _read_result(row: Row[Any]) -> Blob:
    return blob_from_json(row.blob)


@row_of(attempts)
def _read_outputs(row: Row[Any]) -> Blob:
    return blob_from_json(row.outputs)


@row_of(calls)
def _read_blob(row: Row[Any]) -> Blob:
    return blob_from_json(row.blob)
