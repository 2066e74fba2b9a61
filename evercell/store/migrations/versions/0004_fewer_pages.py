"""A step writes to fewer pages: indexes that nothing reads are gone, and in SQLite one tree for each small table."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("checkpoints_by_step", "checkpoints")
    op.drop_index("attempts_running", "attempts")
    op.drop_index("runs_by_notebook", "runs")
    op.create_index("runs_by_notebook", "runs", ["notebook"])
    if op.get_context().dialect.name == "sqlite":
        for name in ("steps", "attempts", "chunks", "events"):
            with op.batch_alter_table(name, recreate="always", table_kwargs={"sqlite_with_rowid": False}):
                pass
