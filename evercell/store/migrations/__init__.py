"""Alembic's road from any released schema to the present one. Imported only when a store must be upgraded."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Engine

from evercell.core.faults import reach


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the store up to ``revision`` in one transaction."""
    from evercell.store.opening import lock_schema, writing

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    with writing(engine).begin() as connection:
        lock_schema(connection)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        reach("after_upgrade_before_commit")
