"""Runs and their journal, steps, attempts, checkpoints and what these hold, and who is on a run."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.store.column_types import JsonText, Moment
from evercell.store.schema.definitions import metadata, one_of

meta = Table(
    "meta",
    metadata,
    Column("key", String(40), primary_key=True),
    Column("value", Text, nullable=False),
)

LAST_COLLECTION = "last_collection"
"""Key of `meta`: a mark, another one whenever content was removed. A commit that relied on some then looks again."""

runs = Table(
    "runs",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("name", String(200), nullable=False, unique=True),
    Column("notebook", Text),
    Column("output", Text),
    Column("status", String(12), nullable=False),
    Column("head", String(12)),
    Column("parent", String(12), ForeignKey("runs.id")),
    Column("branch_point", String(12)),
    Column("branch_seq", BigInteger, nullable=False, default=0),
    Column("params", JsonText, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    # the newest fencing token given out
    Column("fence", BigInteger, nullable=False, default=0),
    # the journal's tail: a journal cut short does not end in it
    Column("journal_seq", BigInteger, nullable=False, default=0),
    Column("journal_digest", LargeBinary, nullable=False),
    # what somebody outside of its session asked of it: to pause, or to end
    Column("asked", JsonText),
    # by what its notebook is found again after it was renamed: the id in the notebook's metadata, and the id of the
    # Jupyter kernel that was last on the run (a restart keeps it). NULL in rows from before 0007
    Column("notebook_id", String(64)),
    Column("kernel_id", String(64)),
    # archived: not in lists. deleted: nowhere; its rows stay as long as a branch sees any of its checkpoints
    Column("archived_at", Moment),
    Column("deleted_at", Moment),
    # given by whoever started it: a second start with the same key is the same run. NULL: each start is a run
    Column("run_key", String(300)),
    one_of("status", RunStatus, "runs_status"),
    Index("runs_by_key", "run_key", unique=True),
    Index("runs_by_notebook", "notebook"),
    Index("runs_by_creation", "created_at"),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("name", String(200), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("cell_id", String(64)),
    Column("attempts", Integer, nullable=False, default=0),
    sqlite_with_rowid=False,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    Column("step", String(200), nullable=False),
    Column("number", Integer, nullable=False),
    Column("status", String(12), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment),
    Column("error", JsonText),
    Column("outputs", JsonText),
    one_of("status", AttemptStatus, "attempts_status"),
    Index("attempts_by_step", "run_id", "step", "number", unique=True),
    sqlite_with_rowid=False,
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("parent", String(12)),
    Column("step", String(200), nullable=False),
    Column("slot", String(200), nullable=False),
    Column("key", LargeBinary, nullable=False),
    Column("origin", String(12)),
    Column("attempt_id", String(12)),
    Column("source", Text, nullable=False),
    Column("source_hash", LargeBinary, nullable=False),
    Column("inputs", JsonText, nullable=False),
    Column("outputs", JsonText, nullable=False),
    Column("manifest", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("created_at", Moment, nullable=False),
    # digest of its entry in the journal, and the signature of the row; NULL in rows from before 0006
    Column("entry", LargeBinary),
    Column("seal", LargeBinary),
    Index("checkpoints_by_seq", "run_id", "seq", unique=True),
)

tags = Table(
    "tags",
    metadata,
    Column("name", String(200), primary_key=True),
    # the run in whose history the checkpoint was named
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    Column("checkpoint_id", String(12), nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Index("tags_by_run", "run_id"),
)

collected = Table(
    "collected",
    metadata,
    # checkpoints that `evercell gc` removed: versions keep their numbers, and nobody takes them for lost
    Column("checkpoint_id", String(12), primary_key=True),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("step", String(200), nullable=False),
    Column("is_execution", Boolean, nullable=False),
    Column("attempt_id", String(12)),
    Column("made_at", Moment, nullable=False),
    Column("collected_at", Moment, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Index("collected_by_run", "run_id", "seq"),
)

packs = Table(
    "packs",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("size", BigInteger, nullable=False),
    # NULL: a file beside the database
    Column("data", LargeBinary),
    Column("created_at", Moment, nullable=False),
)

chunks = Table(
    "chunks",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("pack_id", String(12), ForeignKey("packs.id"), nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("codec", Integer, nullable=False),
    sqlite_with_rowid=False,
)

events = Table(
    "events",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", Moment, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("data", JsonText, nullable=False),
    Column("prev", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

leases = Table(
    "leases",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("session_id", String(12), nullable=False),
    Column("token", BigInteger, nullable=False),
    Column("host", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", Float, nullable=False),
    Column("owner", Text, nullable=False),
    Column("acquired_at", Moment, nullable=False),
    Column("expires_at", Moment, nullable=False),
)
