"""Threads of agents' graphs as rows: written once, under the lease of the step that makes them, with their content."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from evercell.core.chunks import Blob, Chunk, Codec, Supply
from evercell.core.errors import ContentCollected, LeaseLost, UsageError
from evercell.core.records import NewRun
from evercell.core.threads import (
    ThreadCheckpoint,
    ThreadContent,
    ThreadKey,
    ThreadOrigin,
    ThreadWrites,
    require_text,
)
from evercell.engine.collecting import collect
from evercell.engine.holder import this_holder
from evercell.engine.naming import delete_run
from evercell.engine.reachability import KeepRules
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import open_workspace
from evercell.state import split
from evercell.store import Store
from tests.contract.test_store import take
from tests.database import open_database

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = ThreadKey("Gespräch 🜁 <b>", "child:1|x")


def _checkpoint(id_: str, *, key: ThreadKey = KEY, origin: ThreadOrigin = ThreadOrigin()) -> ThreadCheckpoint:  # noqa: B008
    return ThreadCheckpoint(key, id_, None, origin, "graph-run", b"content", b"m" * 32, NOW)


def _writes(content: bytes, *, attempt: str = "") -> ThreadWrites:
    origin = ThreadOrigin(attempt=attempt)
    return ThreadWrites(KEY, "c1", "task", "~path", origin, content, content.ljust(32, b"."), NOW)


def test_a_checkpoint_comes_back_as_it_was(store: Store) -> None:
    made = _checkpoint("c1")
    store.threads.put(made, Supply(), lease=None)
    store.threads.put(made, Supply(), lease=None)
    assert store.threads.get(KEY, "c1") == made
    assert store.threads.get(KEY, "c2") is None
    assert store.threads.keys(KEY.thread_id) == [KEY]


def test_checkpoints_are_listed_newest_first_by_thread_and_namespace(store: Store) -> None:
    other = ThreadKey(KEY.thread_id, "")
    for id_ in ("c2", "c1", "c3"):
        store.threads.put(_checkpoint(id_), Supply(), lease=None)
    store.threads.put(_checkpoint("c4", key=other), Supply(), lease=None)
    listed = store.threads.listed(thread_id=KEY.thread_id, ns=KEY.ns)
    assert [row.id for row in listed] == ["c3", "c2", "c1"]
    assert [row.id for row in store.threads.listed(thread_id=KEY.thread_id)] == ["c4", "c3", "c2", "c1"]
    assert [row.id for row in store.threads.listed(before="c3", limit=1)] == ["c2"]


def test_what_a_task_wrote_stays_until_its_author_puts_more_to_it(store: Store) -> None:
    store.threads.put(_checkpoint("c1"), Supply(), lease=None)
    first, both = _writes(b"first"), _writes(b"first and second")
    assert store.threads.put_writes(first, Supply(), lease=None) is not None
    assert store.threads.put_writes(first, Supply(), lease=None) is not None
    assert store.threads.put_writes(both, Supply(), lease=None) is None
    assert [made.content for made in store.threads.writes(KEY, "c1")] == [b"first"]
    assert store.threads.put_writes(both, Supply(), lease=None, replaced=first.mac) is not None
    store.threads.put_writes(_writes(b"other", attempt="a2"), Supply(), lease=None)
    assert {made.content for made in store.threads.writes(KEY, "c1")} == {b"first and second", b"other"}


def test_a_session_that_lost_its_lease_writes_no_checkpoint(store: Store) -> None:
    run = store.runs.create(NewRun(notebook=None))
    lost = take(store, run)
    take(store, run, this_holder(), replacing=lost.token)
    origin = ThreadOrigin(run.id, "one", "attempt")
    blob, chunks = split(b"x" * 100)
    with pytest.raises(LeaseLost):
        store.threads.put(_checkpoint("c1", origin=origin), chunks, lease=lost)
    with pytest.raises(LeaseLost):
        store.threads.put_writes(replace(_writes(b"w"), origin=origin), chunks, lease=lost)
    assert store.threads.get(KEY, "c1") is None
    assert store.chunks.absent(blob.digests) == set(blob.digests)


def test_a_checkpoint_that_relied_on_content_is_refused_once_some_was_removed(store: Store) -> None:
    mark = store.threads.put(_checkpoint("c1"), Supply(), lease=None)
    assert store.threads.put(_checkpoint("c2"), Supply(), lease=None, as_of=mark) == mark
    store.threads.delete([ThreadKey("another")])
    with pytest.raises(ContentCollected):
        store.threads.put(_checkpoint("c3"), Supply(), lease=None, as_of=mark)
    assert store.threads.get(KEY, "c3") is None


def test_a_thread_that_is_deleted_takes_only_itself(store: Store) -> None:
    other = ThreadKey("other")
    for key in (KEY, other):
        store.threads.put(_checkpoint("c1", key=key), Supply(), lease=None)
    store.threads.put_writes(_writes(b"w"), Supply(), lease=None)
    store.threads.delete([KEY])
    assert store.threads.get(KEY, "c1") is None and not store.threads.writes(KEY, "c1")
    assert store.threads.get(other, "c1") is not None


@pytest.mark.parametrize(
    "blobs",
    [
        [],
        [Blob(3, (b"a" * 32,))],
        [Blob(1 << 40, tuple(bytes([n]) * 32 for n in range(200)), 7), Blob(0, (b"z" * 32,), 1)],
    ],
)
def test_content_is_read_as_it_was_written(blobs: list[Blob]) -> None:
    content = ThreadContent(b"\0header\xff" * 50, blobs)
    read = ThreadContent.from_bytes(content.to_bytes())
    assert (read.header, list(read.blobs)) == (content.header, blobs)


@pytest.mark.parametrize("damage", [b"", b"\xff", b"\x05abc", b"\x01h\x03\x00\x02" + b"d" * 40, b"\x80" * 30])
def test_damaged_content_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="cut short"):
        ThreadContent.from_bytes(damage)


@pytest.mark.parametrize("text", ["a\0b", "half \ud800", "x" * 11])
def test_a_text_that_no_database_keeps_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be stored"):
        require_text(text, "A thread's id", longest=10)


def test_one_chunk_is_stored_once_whoever_brings_it(store: Store) -> None:
    blob, _ = split(b"same")
    chunk = Chunk(blob.digests[0], 4, Codec.RAW, b"same")
    for id_ in ("c1", "c2"):
        store.threads.put(_checkpoint(id_), Supply.of([chunk]), lease=None)
    assert store.chunks.absent(blob.digests) == set()


def test_what_threads_name_stays_until_they_are_deleted(tmp_path: Path, store_url: str) -> None:
    """Its blocks, too, and what these name."""
    parts = [split(bytes([n]) * 50) for n in range(4)]
    digests = [blob.digests[0] for blob, _ in parts]
    block, block_chunks = split(b"".join(digests[:3]))
    content = ThreadContent(b"h", [Blob(0, block.digests, 1), Blob(0, (digests[3],))])
    chunks = Supply.of(
        chunk for supply in [*(supply for _, supply in parts), block_chunks] for chunk in supply
    )
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        store = workspace.store
        store.threads.put(replace(_checkpoint("c1"), content=content.to_bytes()), chunks, lease=None)
        store.threads.put_writes(
            _writes(ThreadContent(b"w", [Blob(50, (digests[0],))]).to_bytes()), Supply(), lease=None
        )
        collect(workspace, KeepRules(), grace=0)
        assert store.chunks.absent([*digests, *block.digests]) == set()
        store.threads.delete_checkpoints([(KEY, "c1")])
        collect(workspace, KeepRules(), grace=0)
        assert store.chunks.absent([*digests, *block.digests]) == {*digests, *block.digests}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (None, None),
        ("UPDATE thread_checkpoints SET parent = 'another'", "is not what was signed"),
        ("UPDATE thread_writes SET task = 'another'", "is not what was signed"),
        ("DELETE FROM chunks", "chunks cannot be used"),
        ("UPDATE thread_checkpoints SET made_at = made_at", None),
    ],
)
def test_verify_names_threads_that_are_not_as_they_were_signed(
    tmp_path: Path, store_url: str, change: str | None, found: str | None
) -> None:
    """Those of runs, and those that were made outside of any."""
    blob, chunks = split(b"x" * 100)
    content = ThreadContent(b"h", [blob]).to_bytes()
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        store, signer = workspace.store, workspace.signer
        run = store.runs.create(NewRun(notebook=None))
        for id_, origin in (("c1", ThreadOrigin()), ("c2", ThreadOrigin(run.id, "one", "attempt"))):
            made = replace(_checkpoint(id_, origin=origin), content=content)
            store.threads.put(replace(made, mac=signer.sign(made.signed_part)), chunks, lease=None)
            writes = replace(_writes(content), checkpoint_id=id_, origin=origin)
            store.threads.put_writes(
                replace(writes, mac=signer.sign(writes.signed_part)), Supply(), lease=None
            )
        if change is not None:
            with open_database(store_url) as connection:
                connection.execute(sa.text(change))
        report = verify_store(workspace)
        problems = [*report.problems, *report.runs[0].problems]
    assert all(found is not None and found in problem.what for problem in problems)
    assert (len(report.problems) > 0, len(report.runs[0].problems) > 0) == (
        found is not None,
        found is not None,
    )


def test_a_run_that_is_deleted_and_collected_takes_its_threads_along(tmp_path: Path, store_url: str) -> None:
    blob, chunks = split(b"x" * 100)
    content = ThreadContent(b"h", [blob]).to_bytes()
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        store = workspace.store
        run, kept = (store.runs.create(NewRun(notebook=None)) for _ in range(2))
        for key, owner in ((ThreadKey("gone"), run), (ThreadKey("kept"), kept)):
            origin = ThreadOrigin(owner.id, "one", "attempt")
            made = replace(_checkpoint("c1", key=key, origin=origin), content=content)
            store.threads.put(made, chunks, lease=None)
        delete_run(workspace, run)
        collect(workspace, KeepRules(), grace=0)
        assert store.threads.keys("gone") == [] and store.threads.get(ThreadKey("gone"), "c1") is None
        assert store.threads.get(ThreadKey("kept"), "c1") is not None
        assert store.chunks.absent(blob.digests) == set()
