"""Threads of agents' graphs: their checkpoints, and what their tasks wrote."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "threads",
        sa.Column("key", sa.LargeBinary, primary_key=True),
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("ns", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "thread_checkpoints",
        sa.Column("thread", sa.LargeBinary, sa.ForeignKey("threads.key"), primary_key=True),
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("parent", sa.Text),
        *_origin(),
        sa.Column("graph_run", sa.Text),
        *_content(),
    )
    op.create_table(
        "thread_writes",
        sa.Column("thread", sa.LargeBinary, sa.ForeignKey("threads.key"), primary_key=True),
        sa.Column("checkpoint_id", sa.Text, primary_key=True),
        sa.Column("task", sa.Text, primary_key=True),
        sa.Column("attempt", sa.String(12), primary_key=True),
        sa.Column("path", sa.Text, nullable=False),
        *(column for column in _origin() if column.name != "attempt"),
        *_content(),
        sqlite_with_rowid=False,
    )
    for column in ("graph_run", "run_id"):
        is_there = sa.text(f"{column} IS NOT NULL")
        name = f"thread_checkpoints_by_{column.removesuffix('_id')}"
        op.create_index(
            name, "thread_checkpoints", [column], sqlite_where=is_there, postgresql_where=is_there
        )


def _origin() -> list[sa.Column[Any]]:
    return [
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id")),
        sa.Column("step", sa.String(200)),
        sa.Column("attempt", sa.String(12), nullable=False),
        sa.Column("call", sa.Text, nullable=False),
    ]


def _content() -> list[sa.Column[Any]]:
    return [
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
    ]
