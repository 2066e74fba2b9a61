"""Where settings come from: an argument, the environment, the kernel's configuration, the project, or nowhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.spec import parse_duration

PROJECT_FILE = "pyproject.toml"
POLICY_FILE = "policy.toml"
"""In a notebook's folder, or beside its project's file."""

_TABLE = "[tool.evercell]"
_YES, _NO = ("on", "true", "yes", "1"), ("off", "false", "no", "0")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: ``c.Evercell.NAME``, ``NAME`` in ``[tool.evercell]``, or its variable."""

    name: str
    help: str
    read: Callable[[Any], Any]
    """The value of what was written; raises `ValueError` or `UsageError` with what it takes."""
    adds_up: bool = False
    """What several places say counts together, instead of the first one."""

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"EVERCELL_{self.name.upper()}"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A setting as it counts, and where that was said."""

    name: str
    value: Any
    origin: str
    help: str = ""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("text")
    return value


def _seconds(value: Any) -> float:
    try:
        seconds = float(value) if not isinstance(value, bool) else 0.0
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError("a positive number of seconds, such as 30")
    return seconds


def _number(value: Any) -> int:
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or not 0 < int(text) < 2**31:
        raise ValueError("a whole number of 1 or more")
    return int(text)


def _duration(value: Any) -> float:
    text = str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else ""
    try:
        return parse_duration(text)
    except UsageError:
        raise ValueError("a duration, such as 10s, 5m or 2h") from None


def _patterns(value: Any) -> tuple[str, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError('names or patterns, such as ["WANDB_*", "STAGE"]')
    return tuple(part.strip() for part in parts if part.strip())


def _policy(value: Any) -> tuple[Any, ...]:
    if isinstance(value, dict):
        return (value,)
    if not isinstance(value, str):
        raise ValueError("a table [tool.evercell.policy], or the path of a file")
    return tuple(path for path in value.split(os.pathsep) if path)


def _yes_no(value: Any) -> bool:
    text = str(value).strip().lower()
    if isinstance(value, bool) or text in (*_YES, *_NO):
        return text in _YES
    raise ValueError("on or off (in TOML true or false)")


SETTINGS = (
    Setting("store", "the database that runs are kept in: an SQLAlchemy URL, or a path", _text),
    Setting("lease_seconds", "how long a kernel that gives no sign of life keeps its run", _seconds),
    Setting("outage_seconds", "how long a cell waits for a store that went away", _seconds),
    Setting("wait_grace", "how long a wait may hold its kernel before the run is suspended", _duration),
    Setting(
        "environ", "names in os.environ whose values are stored as they are; all others are sealed", _patterns,
        adds_up=True,
    ),
    Setting("server_url", "the Jupyter server with the inbox page, for links", _text),
    Setting("max_queued", "how many runs may wait in the queue to be started", _number),
    Setting("every_cell", "every cell is a step, named or not", _yes_no),
    Setting("policy", "what calls and steps may do: files, or tables; all that is said counts", _policy, adds_up=True),
    Setting("progress", "a line below a step with durable calls says how far it is", _yes_no),
    Setting(
        "telemetry", "spans and metrics for OpenTelemetry; unset: where OTEL_… or the notebook sets it up", _yes_no
    ),
    Setting("telemetry_content", "arguments, results and messages of errors in these spans", _yes_no),
    Setting("marks", "a line at a cell says that it was replayed, or saved where it shows nothing", _yes_no),
)  # fmt: skip
"""In the order in which they are listed."""


class Configuration:
    """What all places say; each setting is asked for once, and remembered with its origin."""

    def __init__(
        self,
        *,
        given: Mapping[str, Any],
        environ: Mapping[str, str],
        configured: Mapping[str, Any],
        folder: Path | None,
    ) -> None:
        self._given = given
        self._environ = environ
        self._configured = configured
        self.project, self._table = read_project(folder)
        self._settings = {setting.name: setting for setting in SETTINGS}
        self.resolved: list[Resolved] = []

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a setting. Raises `UsageError` for one that cannot be read, wherever it stands."""
        setting = self._settings[name]
        found = [(self._read(setting, written, origin), origin) for written, origin in self._written(setting)]
        if not found:
            return self._note(setting, default, "default")
        if setting.adds_up:
            values = tuple(dict.fromkeys(part for value, _ in found for part in value))
            return self._note(setting, values, ", ".join(origin for _, origin in found))
        return self._note(setting, *found[0])

    def everywhere(self, name: str) -> list[tuple[Any, str]]:
        """All that is said of a setting that adds up, each with the place where it is."""
        setting = self._settings[name]
        written = [(self._read(setting, text, origin), origin) for text, origin in self._written(setting)]
        return [(part, origin) for parts, origin in written for part in parts]

    def note(self, name: str, value: Any, origin: str) -> None:
        """List a setting as it was found."""
        self._note(self._settings[name], value, origin)

    def _written(self, setting: Setting) -> list[tuple[Any, str]]:
        """What is written of a setting, the place that counts most first."""
        places = [
            (self._given.get(setting.name), "argument"),
            (self._environ.get(setting.variable) or None, f"environment {setting.variable}"),
            (self._configured.get(setting.name), f"c.Evercell.{setting.name}"),
            (self._table.get(setting.name), f"{self.project} {_TABLE}"),
        ]
        return [(written, origin) for written, origin in places if written is not None]

    def _note(self, setting: Setting, value: Any, origin: str) -> Any:
        self.resolved.append(Resolved(setting.name, value, origin, setting.help))
        return value

    def comes_from_project(self, name: str) -> bool:
        """Whether the project's file says what a setting is."""
        return any(one.name == name and one.origin.endswith(_TABLE) for one in self.resolved)

    @staticmethod
    def _read(setting: Setting, written: Any, origin: str) -> Any:
        try:
            return setting.read(written)
        except ValueError as error:
            raise UsageError(
                f"{origin}: {setting.name} is {_short(written)}, which is not {error}.",
                hint="Mend it there, or take it out.",
            ) from None


def read_project(folder: Path | None) -> tuple[Path | None, dict[str, Any]]:
    """The nearest ``pyproject.toml`` with a ``[tool.evercell]`` at or above a folder, and what that says.

    Raises `UsageError` for a file that is no TOML, and for a key that is no setting.
    """
    if folder is None:
        return None, {}
    for place in (folder, *folder.parents):
        path = place / PROJECT_FILE
        table = _table_of(path)
        if table is not None:
            return path, _checked(path, table)
    return None, {}


def _table_of(path: Path) -> Any:
    try:
        content = path.read_bytes()
    except OSError:  # not there, or not for us to read
        return None
    if b"evercell" not in content:
        return None
    import tomllib

    try:
        tool = tomllib.loads(content.decode("utf-8")).get("tool")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no TOML: {error}.", hint="Mend it, or take it away.") from None
    return tool.get("evercell") if isinstance(tool, dict) else None


def _checked(path: Path, table: Any) -> dict[str, Any]:
    names = [setting.name for setting in SETTINGS]
    if not isinstance(table, dict):
        raise UsageError(
            f"{path}: tool.evercell is no table.", hint=f"Write {_TABLE}, and below it {names[0]} = …"
        )
    known = {key.replace("-", "_"): value for key, value in table.items()}
    for key in known:
        if key not in names:
            import difflib

            close = difflib.get_close_matches(key, names, n=1)
            meant = f"Did you mean {close[0]}?" if close else f"There is: {', '.join(names)}."
            raise UsageError(f"{path} {_TABLE}: {key} is no setting of evercell.", hint=meant)
    return known


def _short(written: Any) -> str:
    shown = repr(written)
    return shown if len(shown) <= 80 else f"{shown[:80]}…"
