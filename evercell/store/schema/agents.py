"""What frameworks remember, what agents may do and are to do, and how well they did it."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Connection,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
    insert,
)

from evercell.core.mission_states import EDGES, MissionOutcome, MissionState
from evercell.store.column_types import JsonText, Moment
from evercell.store.schema.definitions import metadata, one_of, partial_index

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
    partial_index(
        "thread_checkpoints_by_graph_run",
        "graph_run",
        where="graph_run IS NOT NULL",
    ),
    partial_index(
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
    partial_index("missions_by_deadline", "deadline_at", where="deadline_at IS NOT NULL"),
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
    one_of("state", MissionState, "mission_states_state"),
    one_of("outcome", MissionOutcome, "mission_states_outcome"),
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
