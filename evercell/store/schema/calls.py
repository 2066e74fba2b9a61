"""Durable calls, and what a step asks of people, other processes and other runs."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from evercell.store.column_types import JsonText, Moment
from evercell.store.schema.definitions import metadata, partial_index

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    Column("step", String(200), nullable=False),
    Column("step_key", LargeBinary, nullable=False),
    # of the durable call that waits for it
    Column("key", Text, nullable=False),
    Column("title", Text, nullable=False),
    # choices, form, approvers, quorum, what a timeout does, details as they are shown
    Column("question", JsonText, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("asked_at", Moment, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("deadline_at", Moment),
    Column("decided_at", Moment),
    Column("decision", JsonText),
    Index("approvals_by_call", "run_id", "step", "step_key", "key", unique=True),
    partial_index(
        "approvals_pending",
        "asked_at",
        where="decided_at IS NULL",
    ),
)

votes = Table(
    "votes",
    metadata,
    Column("approval_id", String(12), ForeignKey("approvals.id"), primary_key=True),
    Column("voter", String(200), primary_key=True),
    Column("vote", JsonText, nullable=False),
    Column("at", Moment, nullable=False),
)

heartbeats = Table(
    "heartbeats",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("step", String(200), primary_key=True),
    Column("step_key", LargeBinary, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("details", JsonText),
)

calls = Table(
    "calls",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("step", String(200), primary_key=True),
    Column("step_key", LargeBinary, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("name", String(200), nullable=False),
    Column("arguments", LargeBinary, nullable=False),
    Column("ok", Boolean, nullable=False),
    # NULL: the value is in chunks, as the blob says
    Column("value", LargeBinary),
    Column("blob", JsonText),
    Column("mac", LargeBinary, nullable=False),
    Column("tries", JsonText, nullable=False),
    Column("ended_at", Moment, nullable=False),
    Column("undo", LargeBinary),
    sqlite_with_rowid=False,
)

signals = Table(
    "signals",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("value", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("sent_at", Moment, nullable=False),
    Column("sent_by", Text, nullable=False),
)

children = Table(
    "children",
    metadata,
    # the durable call that asked for it
    Column("parent_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("step", String(200), primary_key=True),
    Column("step_key", LargeBinary, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    # what becomes of it when its parent ends
    Column("on_close", String(12), nullable=False),
    Column("asked_at", Moment, nullable=False),
    # how often it may have failed by now without its parent being told
    Column("tries", Integer, nullable=False, default=1),
    # when its failure was told to its parent
    Column("told_at", Moment),
    # when a process was started for it last, where nobody serves the store
    Column("hosted_at", Moment),
    Index("children_by_run", "run_id", unique=True),
)

results = Table(
    "results",
    metadata,
    # what a notebook returned to whoever started its run
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    # NULL: the value is in chunks, as the blob says
    Column("value", LargeBinary),
    Column("blob", JsonText),
    Column("mac", LargeBinary, nullable=False),
    Column("returned_at", Moment, nullable=False),
)
