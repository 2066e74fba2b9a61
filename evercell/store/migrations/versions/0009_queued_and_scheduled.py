"""Runs have keys, wait in a queue under limits, are started by schedules, and start runs of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("run_key", sa.String(300)))
    op.create_index("runs_by_key", "runs", ["run_key"], unique=True)
    op.create_table(
        "queue",
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("share", sa.String(200), nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("enqueued_at", sa.BigInteger, nullable=False),
        sa.Column("turn", sa.BigInteger),
        sa.Column("ready_at", sa.BigInteger),
        sa.Column("starts", sa.Integer, nullable=False),
        sa.Column("head", sa.String(12)),
        sa.Column("problem", sa.Text),
        sa.Column("admitted_at", sa.BigInteger),
        sa.Column("admitted_by", sa.String(12)),
        sa.Column("runner", sa.Text),
        sa.Index("queue_by_share", "share"),
    )
    op.create_table(
        "shares",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("turn", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "waits",
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("kind", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("due_at", sa.BigInteger),
        sa.Index("waits_by_moment", "due_at"),
    )
    op.create_table(
        "limits",
        sa.Column("key", sa.String(200), primary_key=True),
        sa.Column("at_once", sa.Integer),
        sa.Column("rate", sa.Integer),
        sa.Column("period", sa.Float),
        sa.Column("set_at", sa.BigInteger, nullable=False),
        sa.Column("set_by", sa.Text, nullable=False),
    )
    op.create_table(
        "slots",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("limit_key", sa.String(200), sa.ForeignKey("limits.key"), nullable=False),
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("share", sa.String(200), nullable=False),
        sa.Column("token", sa.BigInteger),
        sa.Column("lent_by", sa.String(12)),
        sa.Column("wanted_at", sa.BigInteger, nullable=False),
        sa.Column("taken_at", sa.BigInteger),
        sa.Column("given_back_at", sa.BigInteger),
        sa.Index("slots_by_key", "limit_key"),
        sa.Index("slots_by_run", "run_id"),
    )
    op.create_table(
        "servers",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("boot", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("started", sa.Float, nullable=False),
        sa.Column("jobs", sa.Integer, nullable=False),
        sa.Column("runs_on", sa.Text),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "schedules",
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("cron", sa.Text, nullable=False),
        sa.Column("timezone", sa.String(100), nullable=False),
        sa.Column("notebook", sa.Text, nullable=False),
        sa.Column("output", sa.Text),
        sa.Column("params", sa.Text, nullable=False),
        sa.Column("kernel", sa.Text),
        sa.Column("catch_up", sa.String(12), nullable=False),
        sa.Column("overlap", sa.String(12), nullable=False),
        sa.Column("priority", sa.Integer, nullable=False),
        sa.Column("limits", sa.Text, nullable=False),
        sa.Column("next_at", sa.BigInteger),
        sa.Column("last_at", sa.BigInteger),
        sa.Column("last_run", sa.String(12)),
        sa.Column("unfinished", sa.Text, nullable=False),
        sa.Column("left_out", sa.Integer, nullable=False),
        sa.Column("remark", sa.Text, nullable=False),
        sa.Column("remark_at", sa.BigInteger),
        sa.Column("paused_at", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Index("schedules_by_next", "next_at"),
    )
    op.create_table(
        "children",
        sa.Column("parent_id", sa.String(12), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("step", sa.String(200), primary_key=True),
        sa.Column("step_key", sa.LargeBinary, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), nullable=False),
        sa.Column("on_close", sa.String(12), nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("told_at", sa.BigInteger),
        sa.Column("hosted_at", sa.BigInteger),
        sa.Index("children_by_run", "run_id", unique=True),
    )
    op.create_table(
        "results",
        sa.Column("run_id", sa.String(12), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("value", sa.LargeBinary),
        sa.Column("blob", sa.Text),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Column("returned_at", sa.BigInteger, nullable=False),
    )
