"""The tables. This file is the truth; migrations are the road to it, and a test compares the two."""

from __future__ import annotations

from enum import StrEnum
from functools import partial

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    insert,
    text,
)

from evercell.core.mission_states import EDGES, MissionOutcome, MissionState
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.store.column_types import JsonText, Moment

REVISION = "0013"
"""The migration that leads to this schema."""


def _one_of(column: str, statuses: type[StrEnum], name: str) -> CheckConstraint:
    allowed = ", ".join(f"'{status}'" for status in statuses)
    return CheckConstraint(f"{column} IN ({allowed})", name=name)


def _partial_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of the rows for which ``where`` holds.

    It is told where as it is made: SQLAlchemy imports a database with all of its drivers when it is but named.
    """
    index = Index(name, *columns, unique=unique)
    event.listen(index, "before_create", partial(_tell_where, where))
    return index


def _tell_where(where: str, index: Index, connection: Connection, **_: object) -> None:
    index.dialect_options[connection.dialect.name]["where"] = text(where)


metadata = MetaData()
# ``sqlite_with_rowid=False``: in SQLite one tree instead of two, so that a commit writes fewer pages. (Not where
# rows are long: those of such a tree would overflow.)

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
    _one_of("status", RunStatus, "runs_status"),
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
    _one_of("status", AttemptStatus, "attempts_status"),
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
    _partial_index(
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

queue = Table(
    "queue",
    metadata,
    # runs that `evercell serve` starts, or starts again; a row goes when its run has ended
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("priority", Integer, nullable=False, default=0),
    # among whom starts are shared out evenly
    Column("share", String(200), nullable=False),
    # keys of limits that it counts for as long as it holds a kernel
    Column("limits", JsonText, nullable=False),
    Column("enqueued_at", Moment, nullable=False),
    # how many starts there had been by then; NULL: nobody has seen it yet
    Column("turn", BigInteger),
    # not before; NULL: at once
    Column("ready_at", Moment),
    # those in a row that came to nothing, and the head that the run had at the last one
    Column("starts", Integer, nullable=False, default=0),
    Column("head", String(12)),
    # why the last start came to nothing
    Column("problem", Text),
    # the server that starts it now, and the process that executes it
    Column("admitted_at", Moment),
    Column("admitted_by", String(12)),
    Column("runner", JsonText),
    Index("queue_by_share", "share"),
)

shares = Table(
    "shares",
    metadata,
    Column("name", String(200), primary_key=True),
    # the number of its last start, counted over all shares: whose was longer ago comes first
    Column("turn", BigInteger, nullable=False),
)

waits = Table(
    "waits",
    metadata,
    # what a run without a kernel waits for; it goes on when one of them is there
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    # a moment, a signal of this name, the approval or the run of this id
    Column("kind", String(12), primary_key=True),
    Column("name", String(200), primary_key=True),
    # when it goes on in any case; NULL: never
    Column("due_at", Moment),
    Index("waits_by_moment", "due_at"),
)

limits = Table(
    "limits",
    metadata,
    Column("key", String(200), primary_key=True),
    # how many may hold it at the same time; NULL: any number
    Column("at_once", Integer),
    # so many begin within any period of so many seconds; NULL: any number
    Column("rate", Integer),
    Column("period", Float),
    Column("set_at", Moment, nullable=False),
    Column("set_by", Text, nullable=False),
)

slots = Table(
    "slots",
    metadata,
    # of a limit: wanted, taken, given back; a row goes when nothing counts it any more
    Column("id", String(12), primary_key=True),
    Column("limit_key", String(200), ForeignKey("limits.key"), nullable=False),
    Column("run_id", String(12), ForeignKey("runs.id"), nullable=False),
    # a step or call; empty: the run itself, for as long as it is admitted
    Column("holder", Text, nullable=False),
    Column("share", String(200), nullable=False),
    # of the lease under which it was taken: it counts as long as that one is live. NULL: the run's own
    Column("token", BigInteger),
    # the slot of whatever is around it: only one at a time uses that, and counts no second time
    Column("lent_by", String(12)),
    Column("wanted_at", Moment, nullable=False),
    Column("taken_at", Moment),
    Column("given_back_at", Moment),
    Index("slots_by_key", "limit_key"),
    Index("slots_by_run", "run_id"),
)

servers = Table(
    "servers",
    metadata,
    Column("id", String(12), primary_key=True),
    Column("host", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started", Float, nullable=False),
    Column("jobs", Integer, nullable=False),
    # address of the cluster that it hands runs to; NULL: this machine
    Column("runs_on", Text),
    Column("started_at", Moment, nullable=False),
    Column("seen_at", Moment, nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("cron", Text, nullable=False),
    Column("timezone", String(100), nullable=False),
    Column("notebook", Text, nullable=False),
    Column("output", Text),
    Column("params", JsonText, nullable=False),
    Column("kernel", Text),
    Column("catch_up", String(12), nullable=False),
    Column("overlap", String(12), nullable=False),
    Column("priority", Integer, nullable=False, default=0),
    Column("limits", JsonText, nullable=False),
    # the firing that is due next; NULL: none will
    Column("next_at", Moment),
    # the newest firing that was looked at, and the newest run that was made
    Column("last_at", Moment),
    Column("last_run", String(12)),
    # ids of its runs that had not ended when it was looked at, in the order of their firings
    Column("unfinished", JsonText, nullable=False),
    # firings that became no run: how many, and about the last of them in words
    Column("left_out", Integer, nullable=False, default=0),
    Column("remark", Text, nullable=False, default=""),
    Column("remark_at", Moment),
    Column("paused_at", Moment),
    Column("created_at", Moment, nullable=False),
    Column("created_by", Text, nullable=False),
    Index("schedules_by_next", "next_at"),
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

threads = Table(
    "threads",
    metadata,
    # conversations of agents' graphs. The key is made of the id and the namespace, which may be of any length
    Column("key", LargeBinary, primary_key=True),
    Column("thread_id", Text, nullable=False),
    Column("ns", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
)

thread_checkpoints = Table(
    "thread_checkpoints",
    metadata,
    # states of a graph, one after each of its supersteps
    Column("thread", LargeBinary, ForeignKey("threads.key"), primary_key=True),
    Column("id", Text, primary_key=True),
    Column("parent", Text),
    # the attempt at a step that made it, and the durable call around it. NULL and empty: made outside of steps
    Column("run_id", String(12), ForeignKey("runs.id")),
    Column("step", String(200)),
    Column("attempt", String(12), nullable=False),
    Column("call", Text, nullable=False),
    # what the graph's own library calls the run
    Column("graph_run", Text),
    Column("content", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False),
    _partial_index(
        "thread_checkpoints_by_graph_run",
        "graph_run",
        where="graph_run IS NOT NULL",
    ),
    _partial_index(
        "thread_checkpoints_by_run",
        "run_id",
        where="run_id IS NOT NULL",
    ),
)

thread_writes = Table(
    "thread_writes",
    metadata,
    # what a task of a graph wrote after a checkpoint, and before the next one
    Column("thread", LargeBinary, ForeignKey("threads.key"), primary_key=True),
    Column("checkpoint_id", Text, primary_key=True),
    Column("task", Text, primary_key=True),
    Column("attempt", String(12), primary_key=True),
    Column("path", Text, nullable=False),
    Column("run_id", String(12), ForeignKey("runs.id")),
    Column("step", String(200)),
    Column("call", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("made_at", Moment, nullable=False),
    sqlite_with_rowid=False,
)

policies = Table(
    "policies",
    metadata,
    # what counts for a run, for its branches and for the runs that it starts
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Column("content", JsonText, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    # where it was written
    Column("origin", Text, nullable=False),
    Column("frozen_at", Moment, nullable=False),
    # NULL: it counts
    Column("released_at", Moment),
    Column("released_by", Text),
)

missions = Table(
    "missions",
    metadata,
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("strict", Boolean, nullable=False),
    Column("content", JsonText, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("launched_at", Moment, nullable=False),
    Column("launched_by", Text, nullable=False),
    # when it is closed, whatever became of it by then; NULL: never
    Column("deadline_at", Moment),
    UniqueConstraint("run_id", "strict", name="missions_by_strictness"),
    _partial_index("missions_by_deadline", "deadline_at", where="deadline_at IS NOT NULL"),
)

mission_edges = Table(
    "mission_edges",
    metadata,
    # what may follow what: without a row in here no mission, whoever writes, comes from one state to the other
    Column("strict", Boolean, primary_key=True),
    Column("prev", String(20), primary_key=True),
    Column("state", String(20), primary_key=True),
    sqlite_with_rowid=False,
)


def _insert_edges(table: Table, connection: Connection, **_: object) -> None:
    rows = [
        {"strict": strict, "prev": str(prev), "state": str(state)} for strict, prev, state in sorted(EDGES)
    ]
    connection.execute(insert(table), rows)


event.listen(mission_edges, "after_create", _insert_edges)

mission_states = Table(
    "mission_states",
    metadata,
    # a history instead of a column: each state once, and each left once, along an edge, from one that was reached
    Column("run_id", String(12), primary_key=True),
    Column("state", String(20), primary_key=True),
    Column("prev", String(20)),
    Column("strict", Boolean, nullable=False),
    Column("outcome", String(12)),
    Column("at", Moment, nullable=False),
    Column("by", Text, nullable=False),
    Column("evidence", JsonText, nullable=False),
    UniqueConstraint("run_id", "prev", name="mission_states_left_once"),
    ForeignKeyConstraint(
        ["run_id", "strict"], ["missions.run_id", "missions.strict"], name="mission_states_of_mission"
    ),
    ForeignKeyConstraint(
        ["strict", "prev", "state"],
        ["mission_edges.strict", "mission_edges.prev", "mission_edges.state"],
        name="mission_states_along_edge",
    ),
    ForeignKeyConstraint(
        ["run_id", "prev"],
        ["mission_states.run_id", "mission_states.state"],
        name="mission_states_from_reached",
    ),
    _one_of("state", MissionState, "mission_states_state"),
    _one_of("outcome", MissionOutcome, "mission_states_outcome"),
    CheckConstraint("(prev IS NULL) = (state = 'CREATED')", name="mission_states_start"),
    CheckConstraint("(outcome IS NOT NULL) = (state = 'CLOSED')", name="mission_states_end"),
    CheckConstraint(
        "state <> 'CLOSED' OR (prev = 'EXECUTED') = (outcome = 'executed')", name="mission_states_earned"
    ),
    sqlite_with_rowid=False,
)

scores = Table(
    "scores",
    metadata,
    # what was said of a run, or (step is not empty) of a step of it; of one name what was said last
    Column("run_id", String(12), ForeignKey("runs.id"), primary_key=True),
    Column("step", String(200), primary_key=True),
    Column("name", String(200), primary_key=True),
    # NULL: it has a label only
    Column("value", Float),
    Column("label", Text),
    Column("reason", Text, nullable=False),
    # who said it: a function or class, and its version
    Column("evaluator", Text, nullable=False),
    Column("version", Text),
    Column("given_at", Moment, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("mac", LargeBinary, nullable=False),
)
