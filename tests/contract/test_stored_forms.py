"""What is kept as JSON comes back as it was: whole, in its order, and in the form that older versions wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from evercell.core.approvals import Approval, Question, Vote, question_digest, question_to_json
from evercell.core.canonical import canonical_json
from evercell.core.chunks import Blob, Supply
from evercell.core.clock import system_clock
from evercell.core.ids import new_id
from evercell.core.records import Call, ErrorRecord, Lease, NewRun
from evercell.core.statuses import AttemptStatus
from evercell.store import Store
from tests.contract.test_store import complete, take
from tests.database import open_database

INDEXED = Blob(3_000_000, (b"a" * 32, b"b" * 32), levels=2)
"""A blob that names the chunks of an index."""

FIELDS = ["subject", "body", "copies", "attachment"]


@pytest.fixture
def lease(store: Store) -> Lease:
    return take(store, store.runs.create(NewRun(notebook=None, params={"z": 1, "a": 2})))


def call(lease: Lease, value: Blob | bytes) -> Call:
    return Call(
        lease.run_id, "one", b"key", "ask#0", 0, "ask", b"arguments", ok=True, value=value, mac=b"mac",
        tries=(), ended_at=system_clock(),
    )  # fmt: skip


def asked(store: Store, lease: Lease) -> Approval:
    """An approval with a form, as it is found in the store."""
    form = {"type": "object", "properties": {name: {"default": name.upper()} for name in FIELDS}}
    question = Question(("Send", "Do not"), {"text/plain": "…"}, form, ("zoe", "ann"))
    draft = Approval(
        new_id(), lease.run_id, "one", b"key", "approve#0", "Send?", question,
        question_digest("Send?", question), system_clock(), "me",
    )  # fmt: skip
    store.approvals.ask(lease, draft)
    return store.approvals.find(draft.id)


# -- blobs ---------------------------------------------------------------------------------------


def test_a_blob_keeps_its_levels_wherever_it_is_stored(store: Store, lease: Lease) -> None:
    done = complete(store, lease, "one", outputs=INDEXED)
    attempt = store.steps.begin(lease, step="two", cell_id=None, key=b"k")
    error = ErrorRecord("ValueError", "no")
    store.steps.fail(
        lease, attempt, status=AttemptStatus.FAILED, error=error, outputs=INDEXED, chunks=Supply()
    )
    store.calls.record(lease, call(lease, INDEXED), Supply())
    assert store.checkpoints.get(done.id).outputs == INDEXED
    assert [a.outputs for a in store.steps.attempts(lease.run_id, step="two")] == [INDEXED]
    assert [c.value for c in store.calls.of_step(lease.run_id, "one", b"key")] == [INDEXED]


@pytest.mark.parametrize("column", ["checkpoints.outputs", "attempts.outputs", "calls.blob"])
def test_a_blob_as_older_versions_wrote_it_is_read(
    store: Store, store_url: str, lease: Lease, column: str
) -> None:
    done = complete(store, lease, "one")
    store.calls.record(lease, call(lease, done.outputs), Supply())
    table, name = column.split(".")
    older = canonical_json({"size": 7, "digests": [digest.hex() for digest in done.outputs.digests]})
    with open_database(store_url) as connection:
        connection.execute(sa.text(f"UPDATE {table} SET {name} = :older"), {"older": older})
    found = {
        "checkpoints": lambda: store.checkpoints.get(done.id).outputs,
        "attempts": lambda: store.steps.attempts(lease.run_id)[0].outputs,
        "calls": lambda: store.calls.of_step(lease.run_id, "one", b"key")[0].value,
    }
    assert found[table]() == done.outputs


# -- approvals -----------------------------------------------------------------------------------


def test_the_fields_of_a_form_keep_their_order(store: Store, lease: Lease) -> None:
    approval = asked(store, lease)
    assert approval.question.form is not None
    assert list(approval.question.form["properties"]) == FIELDS
    values: dict[str, Any] = {name: {"z": 1, "a": 2} for name in FIELDS}
    decided = store.approvals.vote(approval, Vote("Send", "ann", system_clock(), "web page", values=values))
    for found in (decided, store.approvals.find(approval.id)):
        assert found.decision is not None and found.decision.values is not None
        assert list(found.decision.values) == FIELDS
        assert list(found.decision.values["body"]) == ["z", "a"]
    (vote,) = store.approvals.votes(approval.id)
    assert list(vote.values or ()) == FIELDS
    store.journal.verify(lease.run_id)


def test_what_was_approved_has_one_digest_in_whatever_order_it_is_stored(
    store: Store, store_url: str, lease: Lease
) -> None:
    approval = asked(store, lease)
    older = canonical_json(question_to_json(approval.question))  # older versions stored it so
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE approvals SET question = :older"), {"older": older})
    found = store.approvals.find(approval.id)
    assert found == approval
    assert list((found.question.form or {})["properties"]) == sorted(FIELDS)
    assert question_digest(found.title, found.question) == found.digest
    changed = replace(found.question, approvers=("zoe",))
    assert question_digest(found.title, changed) != found.digest


def test_parameters_and_heartbeats_keep_their_order(store: Store, lease: Lease) -> None:
    assert list(store.runs.find(lease.run_id).params) == ["z", "a"]
    store.calls.record_heartbeat(lease, "one", b"key", "ask#0", {"page": 3, "cursor": "…"})
    assert json.dumps(store.calls.last_heartbeat(lease.run_id, "one", b"key", "ask#0")) == json.dumps(
        {"page": 3, "cursor": "…"}
    )
