"""A run knows the id of its notebook, and that of the kernel that was last on it: it is found again after a rename."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("notebook_id", sa.String(64)))
    op.add_column("runs", sa.Column("kernel_id", sa.String(64)))
