"""Missions, and the histories of states that they may have."""

from itertools import pairwise

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CHAIN = (
    "CREATED", "PLANNING", "WAITING_APPROVAL", "APPROVED", "PENDING_EXECUTION", "IN_PROGRESS", "EXECUTED", "CLOSED",
)  # fmt: skip


def upgrade() -> None:
    has_deadline = sa.text("deadline_at IS NOT NULL")
    op.create_table(
        "missions",
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("strict", sa.Boolean, nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Column("launched_at", sa.BigInteger, nullable=False),
        sa.Column("launched_by", sa.Text, nullable=False),
        sa.Column("deadline_at", sa.BigInteger),
        sa.UniqueConstraint("run_id", "strict", name="missions_by_strictness"),
    )
    op.create_index(
        "missions_by_deadline",
        "missions",
        ["deadline_at"],
        sqlite_where=has_deadline,
        postgresql_where=has_deadline,
    )
    edges = op.create_table(
        "mission_edges",
        sa.Column("strict", sa.Boolean, primary_key=True),
        sa.Column("prev", sa.String(20), primary_key=True),
        sa.Column("state", sa.String(20), primary_key=True),
        sqlite_with_rowid=False,
    )
    op.bulk_insert(edges, [{"strict": s, "prev": a, "state": b} for s in (False, True) for a, b in _chain()])
    op.bulk_insert(edges, [{"strict": False, "prev": state, "state": "CLOSED"} for state in CHAIN[:-2]])
    op.create_table(
        "mission_states",
        sa.Column("run_id", sa.String(12), primary_key=True),
        sa.Column("state", sa.String(20), primary_key=True),
        sa.Column("prev", sa.String(20)),
        sa.Column("strict", sa.Boolean, nullable=False),
        sa.Column("outcome", sa.String(12)),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("evidence", sa.Text, nullable=False),
        sa.UniqueConstraint("run_id", "prev", name="mission_states_left_once"),
        sa.ForeignKeyConstraint(
            ["run_id", "strict"], ["missions.run_id", "missions.strict"], name="mission_states_of_mission"
        ),
        sa.ForeignKeyConstraint(
            ["strict", "prev", "state"],
            ["mission_edges.strict", "mission_edges.prev", "mission_edges.state"],
            name="mission_states_along_edge",
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "prev"],
            ["mission_states.run_id", "mission_states.state"],
            name="mission_states_from_reached",
        ),
        sa.CheckConstraint(f"state IN ({', '.join(map(repr, CHAIN))})", name="mission_states_state"),
        sa.CheckConstraint(
            "outcome IN ('executed', 'rejected', 'failed', 'cancelled', 'expired')",
            name="mission_states_outcome",
        ),
        sa.CheckConstraint("(prev IS NULL) = (state = 'CREATED')", name="mission_states_start"),
        sa.CheckConstraint("(outcome IS NOT NULL) = (state = 'CLOSED')", name="mission_states_end"),
        sa.CheckConstraint(
            "state <> 'CLOSED' OR (prev = 'EXECUTED') = (outcome = 'executed')", name="mission_states_earned"
        ),
        sqlite_with_rowid=False,
    )


def _chain() -> list[tuple[str, str]]:
    return list(pairwise(CHAIN))
