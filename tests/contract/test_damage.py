"""A row that evercell never wrote is refused by name wherever it is read, and never a traceback of ours. It takes none
of the rows beside it along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from evercell.core.approvals import Vote
from evercell.core.chunks import Supply
from evercell.core.clock import system_clock
from evercell.core.errors import ChunkMissing, EvercellError, RowDamaged, StoreError, StoreUnavailable
from evercell.core.found import Found
from evercell.core.records import NewRun, RunRequest
from evercell.core.statuses import PAUSE
from evercell.store import Store, open_store
from tests.contract.test_store import complete, read_all, take
from tests.contract.test_stored_forms import asked, call
from tests.database import open_database

NO_JSON = "'{\"a\": '"
OTHER_JSON = "'[1, \"no\"]'"

READERS: dict[str, Callable[[Store, Any], object]] = {
    "runs.params": lambda store, run: store.runs.find(run.id),
    "runs.asked": lambda store, run: store.runs.request(run.id),
    "attempts.error": lambda store, run: store.steps.attempts(run.id),
    "attempts.outputs": lambda store, run: store.steps.attempts(run.id),
    "checkpoints.inputs": lambda store, run: store.checkpoints.visible(store.runs.lineage(run.id)),
    "checkpoints.outputs": lambda store, run: store.checkpoints.visible(store.runs.lineage(run.id)),
    "calls.tries": lambda store, run: store.calls.tries(run.id, "one"),
    "calls.blob": lambda store, run: store.calls.of_step(run.id, "one", b"key"),
    "approvals.question": lambda store, run: store.approvals.all(run_id=run.id),
    "approvals.decision": lambda store, run: store.approvals.all(run_id=run.id),
    "votes.vote": lambda store, run: store.approvals.votes(str(_approval_id(store, run))),
    "events.data": lambda store, run: store.journal.events(run.id),
}
"""Column of JSON → how it is read."""


def _approval_id(store: Store, run: Any) -> object:
    found = store.approvals.all(run_id=run.id)
    return found[0].id if found else found.damaged[0].values["id"]


@pytest.fixture
def run(store: Store) -> Any:
    """A run with a row in every table."""
    run = store.runs.create(NewRun(notebook=None))
    lease = take(store, run)
    done = complete(store, lease, "one")
    store.calls.record(lease, call(lease, done.outputs), Supply())
    store.approvals.vote(asked(store, lease), Vote("Send", "ann", system_clock(), "web page"))
    store.runs.set_request(run.id, RunRequest(PAUSE, "me", "now"))
    return run


@pytest.mark.parametrize("value", [NO_JSON, OTHER_JSON], ids=["no JSON", "other JSON"])
@pytest.mark.parametrize("column", READERS)
def test_a_damaged_row_is_refused_by_name(
    store: Store, store_url: str, run: Any, column: str, value: str
) -> None:
    read = READERS[column]
    before = read(store, run)
    table, name = column.split(".")
    with open_database(store_url) as connection:
        connection.execute(sa.text(f"UPDATE {table} SET {name} = {value}"))
    if isinstance(before, Found):
        found = read(store, run)
        assert isinstance(found, Found) and len(found) + len(found.damaged) == len(before)
        error = found.damaged[0]
    else:
        with pytest.raises(RowDamaged) as caught:
            read(store, run)
        error = caught.value
    assert "evercell verify" in error.hint and "Lost is" in error.what


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        ("UPDATE chunks SET start = -1", "outside of its pack"),
        ("UPDATE chunks SET length = 1152921504606846976", "outside of its pack"),
        ("UPDATE chunks SET length = -5", "outside of its pack"),
        ("UPDATE packs SET size = 3", "outside of its pack"),
        ("UPDATE packs SET data = :cut", "cut short"),
        ("UPDATE chunks SET codec = 7", "7 is not a valid Codec"),
    ],
)
def test_a_chunk_whose_row_is_damaged_is_refused_by_name(
    store: Store, store_url: str, run: Any, harm: str, why: str
) -> None:
    (checkpoint,) = store.checkpoints.visible(store.runs.lineage(run.id))
    with open_database(store_url) as connection:
        connection.execute(sa.text(harm), {"cut": b"x"} if ":cut" in harm else {})
    with pytest.raises((ChunkMissing, RowDamaged), match=why):
        read_all(store, checkpoint.outputs.digests)


def test_times_that_are_none_are_refused_by_name(store: Store, store_url: str, run: Any) -> None:
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE runs SET created_at = 9000000000000000000"))
    with pytest.raises(RowDamaged, match="is no time"):
        store.runs.find(run.id)


@pytest.mark.parametrize("revision", ["00x4", "", "4", "9999", "0000"])
def test_a_schema_that_no_evercell_wrote_is_refused_by_name(store_url: str, revision: str) -> None:
    open_store(store_url).close()
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    with pytest.raises(StoreError) as caught:
        open_store(store_url)
    assert caught.value.hint


def test_a_store_that_lost_its_name_is_refused(store_url: str) -> None:
    open_store(store_url).close()
    with open_database(store_url) as connection:
        connection.execute(sa.text("DELETE FROM meta"))
    with pytest.raises(StoreUnavailable) as caught:
        open_store(store_url)
    assert caught.value.hint


def test_text_that_is_none_is_refused_by_name(tmp_path: Any) -> None:
    """SQLite keeps any bytes as text."""
    url = f"sqlite:///{tmp_path}/store.db"
    with open_store(url) as store:
        run = store.runs.create(NewRun(notebook="/w/nb.ipynb"))
        with open_database(url) as connection:
            connection.execute(sa.text("UPDATE runs SET notebook = CAST(x'fffe2f' AS TEXT)"))
        with pytest.raises(EvercellError, match="no text but other bytes"):
            store.runs.find(run.id)
