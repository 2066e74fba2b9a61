"""A store's database, opened as somebody without evercell would open it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa


@contextmanager
def open_database(store_url: str) -> Iterator[sa.Connection]:
    """A connection of its own, in a transaction that is committed at the end."""
    engine = sa.create_engine(store_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        yield connection
