"""Where the store and the signing key are, and how long a lease lasts."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

from evercell.core.errors import UsageError
from evercell.engine.spec import parse_duration

DEFAULT_LEASE = timedelta(seconds=30)

LONGEST_OUTAGE = 300.0
"""Seconds that a cell waits for a store that went away."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Resolved settings of a process."""

    store_url: str
    key_path: Path
    lease_ttl: timedelta = DEFAULT_LEASE
    environ: tuple[str, ...] = ()
    """Patterns of the names in the environment whose values are stored as they are; others are sealed."""
    wait_grace: float | None = None
    """Seconds that a wait may hold its kernel before the run is suspended; None: as long as it takes."""
    server_url: str | None = None
    """Where people find the Jupyter server with the inbox page."""
    longest_outage: float = LONGEST_OUTAGE
    """Seconds that a cell waits for a store that went away."""
    progress: bool = True
    """A line below the cell says how far a step with durable calls is."""
    marks: bool = True
    """A line below the cell says that it was replayed, or, where it shows nothing, that it was saved."""

    @property
    def aside_folders(self) -> tuple[Path, ...]:
        """Where completed steps wait for a store that went away: beside its file, and beside the key if there is no
        file, or no room.
        """
        scheme, _, path = self.store_url.partition(":///")
        beside_key = self.key_path.parent / "aside"
        return (Path(f"{path.partition('?')[0]}.aside"), beside_key) if scheme == "sqlite" else (beside_key,)


def resolve_settings(
    store: str | None = None,
    *,
    configured: str | None = None,
    lease_seconds: float | None = None,
    allowed: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from, in this order: ``store``, ``EVERCELL_*``, ``configured``, Jupyter's data directory.

    A store is an SQLAlchemy URL or a path to an SQLite file.
    """
    home = Path(jupyter_data_dir()) / "evercell"
    url = store or environ.get("EVERCELL_STORE") or configured or f"sqlite:///{home / 'store.db'}"
    if "://" not in url:
        url = f"sqlite:///{Path(url).expanduser().absolute()}"
    seconds = _seconds(environ, "EVERCELL_LEASE_SECONDS") or lease_seconds
    ttl = timedelta(seconds=seconds) if seconds else DEFAULT_LEASE
    patterns = [p.strip() for p in environ.get("EVERCELL_ENVIRON", "").split(",")] + list(allowed)
    grace = environ.get("EVERCELL_WAIT_GRACE")
    return Settings(
        url,
        home / "key",
        ttl,
        tuple(p for p in patterns if p),
        parse_duration(grace) if grace else None,
        environ.get("EVERCELL_SERVER_URL") or None,
        _seconds(environ, "EVERCELL_OUTAGE_SECONDS") or LONGEST_OUTAGE,
        _is_on(environ, "EVERCELL_PROGRESS"),
        _is_on(environ, "EVERCELL_MARKS"),
    )


def _is_on(environ: Mapping[str, str], name: str) -> bool:
    return environ.get(name, "on").lower() not in ("off", "0", "false", "no")


def _seconds(environ: Mapping[str, str], name: str) -> float | None:
    text = environ.get(name)
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise UsageError(
            f"{name} is {text!r}, which is not a positive number of seconds.",
            hint="Unset it, or set it to a number such as 30.",
        )
    return seconds
