"""A checkpoint's row carries a signature of its own, and the digest of its entry in the journal.

Rows from before have neither: their manifests, which are signed, do not ask for them.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("entry", sa.LargeBinary))
    op.add_column("checkpoints", sa.Column("seal", sa.LargeBinary))
