"""Runs can be archived and deleted, checkpoints have tags, and what `evercell gc` removed leaves its place behind."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("archived_at", sa.BigInteger))
    op.add_column("runs", sa.Column("deleted_at", sa.BigInteger))
    op.create_table(
        "tags",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("checkpoint_id", sa.String(12), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Index("tags_by_run", "run_id"),
    )
    op.create_table(
        "collected",
        sa.Column("checkpoint_id", sa.String(12), primary_key=True),
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("step", sa.String(200), nullable=False),
        sa.Column("is_execution", sa.Boolean, nullable=False),
        sa.Column("attempt_id", sa.String(12)),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("collected_at", sa.BigInteger, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Index("collected_by_run", "run_id", "seq"),
    )
