"""A store that is away: a database that lets nobody in, or an SQLite file that somebody else holds."""

from __future__ import annotations

import sqlite3

import psycopg
from sqlalchemy.engine import make_url


class Outage:
    """The outage of one store, begun and ended from outside of the kernels that use it."""

    def __init__(self, store_url: str) -> None:
        self._url = make_url(store_url)
        self._holder: sqlite3.Connection | None = None
        self.is_on = False

    def begin(self) -> None:
        """From here on nothing can be written, and (on PostgreSQL) nothing read."""
        self.is_on = True
        if self._url.get_backend_name() == "sqlite":
            self._holder = sqlite3.connect(
                str(self._url.database), isolation_level=None, check_same_thread=False, timeout=60
            )
            self._holder.execute("BEGIN IMMEDIATE")
            return
        name = self._url.database
        with self._admin() as admin:
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )

    def end(self) -> None:
        """The store is back."""
        if not self.is_on:
            return
        self.is_on = False
        if self._holder is not None:
            self._holder.rollback()
            self._holder.close()
            self._holder = None
            return
        with self._admin() as admin:
            admin.execute(f"ALTER DATABASE {self._url.database} ALLOW_CONNECTIONS true")

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        url = self._url.set(drivername="postgresql", database="postgres")
        return psycopg.connect(url.render_as_string(hide_password=False), autocommit=True)
