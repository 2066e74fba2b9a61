"""A schedule launches its runs as missions."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("schedules", sa.Column("mission", sa.Text))
    op.add_column("schedules", sa.Column("mission_mac", sa.LargeBinary))
