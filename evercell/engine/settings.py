"""The settings of a process: where the store and the signing key are, how long one waits, what is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyter_core.paths import jupyter_data_dir

from evercell.engine.configuration import POLICY_FILE, Configuration, Resolved

if TYPE_CHECKING:
    from evercell.core.policy import Policy

DEFAULT_LEASE = timedelta(seconds=30)

LONGEST_OUTAGE = 360.0
"""Seconds that a cell waits for a store that went away: more than one of five minutes, with the restart after it."""

MAX_QUEUED = 10_000
"""So many runs may wait to be started."""

_ELSEWHERE = (
    ("EVERCELL_KEY", "the signing key of a team; otherwise a file", True),
    ("EVERCELL_USER", "whose answers and runs these are", False),
    ("EVERCELL_RUN", "the run that papermill goes on with", False),
    ("EVERCELL_RUN_KEY", "the key of the run that papermill starts or goes on with", False),
    ("EVERCELL_MISSION", "the file of the mission that papermill launches", False),
    ("EVERCELL_ORPHAN_SECONDS", "how long an idle kernel waits for another runner", False),
    ("EVERCELL_WEBHOOK_URL", "where approvers are notified", True),
    ("EVERCELL_WEBHOOK_SECRET", "what these notices are signed with", True),
    ("EVERCELL_SMTP_URL", "the mail server that notifies them", False),
    ("EVERCELL_MAIL_TO", "whom it notifies", False),
    ("EVERCELL_MAIL_FROM", "in whose name", False),
)
"""What only the environment says: its variable, what it is, and whether it is a secret as a whole."""

_PASSWORD = re.compile(r"(?P<before>://[^/@\s:]*:)[^/\s]*(?=@)")
_SECRET_PART = re.compile(
    r"(?P<before>[?&;][^=&;\s]*(?:pass|pwd|token|secret|key)[^=&;\s]*=)[^&;\s]*", re.IGNORECASE
)


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
    """A line at the cell says that it was replayed, or, where it shows nothing, that it was saved."""
    max_queued: int = MAX_QUEUED
    """So many runs may wait to be started."""
    telemetry: bool | None = None
    """Spans and metrics go to OpenTelemetry; None: where somebody has set it up."""
    telemetry_content: bool = False
    """Arguments, results and messages of errors are in these spans."""
    every_cell: bool = False
    """Every cell is a step, named or not."""
    policies: tuple[Policy, ...] = ()
    """What calls and steps may do: all of them count."""
    resolved: tuple[Resolved, ...] = ()
    """Each setting as it was written, and where."""

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
    configured: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Settings from, in this order: ``store``, ``EVERCELL_*``, ``configured``, the project of ``folder`` (the working
    directory's), and what is right for most.

    ``configured``: by name, what the kernel's configuration says. A store is an SQLAlchemy URL or a path to an SQLite
    file; one of a project's file is relative to that file. Raises `UsageError` for what cannot be read.
    """
    home = Path(jupyter_data_dir()) / "evercell"
    written = Configuration(
        given={"store": store or None}, environ=environ, configured=configured or {}, folder=folder or _here()
    )
    url = written.get("store", f"sqlite:///{home / 'store.db'}")
    if "://" not in url:
        base = written.project.parent if written.project and written.comes_from_project("store") else Path()
        url = f"sqlite:///{(base / Path(url).expanduser()).absolute()}"
    is_dashboard = environ.get("SERVER_SOFTWARE", "").startswith("voila")  # a page for others to read
    lease = written.get("lease_seconds", DEFAULT_LEASE.total_seconds())
    outage = written.get("outage_seconds", LONGEST_OUTAGE)
    return Settings(
        url,
        home / "key",
        timedelta(seconds=lease),
        wait_grace=written.get("wait_grace"),
        environ=written.get("environ", ()),
        server_url=written.get("server_url"),
        longest_outage=outage,
        max_queued=written.get("max_queued", MAX_QUEUED),
        telemetry=written.get("telemetry", None),
        telemetry_content=written.get("telemetry_content", False),
        every_cell=written.get("every_cell", False),
        progress=written.get("progress", not is_dashboard),
        policies=_policies(written, folder or _here()),
        marks=written.get("marks", not is_dashboard),
        resolved=tuple(written.resolved),
    )


def _policies(written: Configuration, folder: Path | None) -> tuple[Policy, ...]:
    """What each place says that calls and steps may do, beside a ``policy.toml``. (Without, nothing is imported.)"""
    said = written.everywhere("policy")
    beside = {folder, written.project.parent if written.project is not None else None} - {None}
    if not said and not any((place / POLICY_FILE).is_file() for place in beside if place is not None):
        written.note("policy", (), "default")
        return ()
    from evercell.engine.policy.reading import find_policies

    found = find_policies(said, folder, written.project)
    written.note(
        "policy", tuple(one.origin for one in found), ", ".join(one.origin for one in found) or "default"
    )
    return found


def _here() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # the folder is gone
        return None


# -- for people ----------------------------------------------------------------------------------


def list_settings(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[Resolved]:
    """Each setting with its value in words and where it comes from; passwords are not in it."""
    rows = [
        Resolved(
            one.name,
            _in_words(settings.store_url if one.name == "store" else one.value),
            one.origin,
            one.help,
        )
        for one in settings.resolved
    ]
    for variable, meaning, is_secret in _ELSEWHERE:
        value = environ.get(variable)
        shown = "" if not value else "(set)" if is_secret else without_passwords(value)
        rows.append(Resolved(variable, shown, f"environment {variable}" if value else "default", meaning))
    return rows


def _in_words(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g} s"
    return ", ".join(value) if isinstance(value, tuple) else without_passwords(str(value))


def without_passwords(url: str) -> str:
    """A URL as one may show it."""
    return _SECRET_PART.sub(r"\g<before>***", _PASSWORD.sub(r"\g<before>***", url))
