"""No table changes, but what is in them: an evercell older than this could not read it, and refuses the store.

Saved state names evercell's own classes by names of their own instead of by where they are defined, blobs have one
form in all places, and JSON keeps the order of its fields. What older ones wrote is read as before.
"""

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing to do."""
