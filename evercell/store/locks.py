"""PostgreSQL's advisory locks, each until the transaction ends. (SQLite has one writer anyway.)"""

from __future__ import annotations

from hashlib import sha256

import sqlalchemy as sa
from sqlalchemy.engine import Connection

_NAMES = 0x65766E61
_ADMISSION = 0x65766171
_SCHEMA = 0x65766572
CONTENT = 0x65766763
"""Commits bring and use content together, who removes some does so alone."""


def lock_names(connection: Connection) -> None:
    """Let nobody else give a name: it is unique among two tables, those of runs and of tags."""
    _lock(connection, _NAMES)


def lock_admission(connection: Connection) -> None:
    """Let nobody else give out starts or slots."""
    _lock(connection, _ADMISSION)


def lock_schema(connection: Connection) -> None:
    """Let nobody else make or change the tables."""
    _lock(connection, _SCHEMA)


def lock_content(connection: Connection) -> None:
    """Let nobody else bring content, use it or remove it."""
    _lock(connection, CONTENT)


def share_content(connection: Connection) -> None:
    """Let nobody remove content."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(CONTENT)))


def lock_text(connection: Connection, text: str) -> None:
    """Let nobody else have the lock of this text."""
    digest = sha256(text.encode(errors="surrogatepass")).digest()
    _lock(connection, int.from_bytes(digest[:8], signed=True))


def _lock(connection: Connection, number: int) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))
