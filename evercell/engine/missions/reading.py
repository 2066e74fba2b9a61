"""Missions as people write them: a file ``mission.toml``. Errors name the place."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evercell.core.errors import UsageError
from evercell.core.missions import Authority, MissionDefinition
from evercell.core.text import one_line
from evercell.engine.policy.patterns import parse_pattern
from evercell.engine.spec import parse_duration

KEYS = ("objective", "tools", "authority", "approvers", "quorum", "timeout", "plan", "strict")

_LONGEST_OBJECTIVE = 2000
_LONGEST_STEP = 200
_LONGEST_TIMEOUT = 100 * 365 * 24 * 3600.0


def read_mission_file(path: Path) -> MissionDefinition:
    """The mission that a file says. Raises `UsageError` where it cannot be read, or means nothing."""
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"The mission {path} cannot be read: {error.strerror}.",
            hint="Name another file: --mission FILE, in a notebook %mission FILE.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"The mission {path} is no TOML: {one_line(str(error))}.", hint=_LIKE_THIS) from None
    return read_mission(table, str(path))


_LIKE_THIS = 'A mission is: objective = "…", tools = ["search", "transfer(amount<=1000)"], authority = "L2".'


def read_mission(table: Mapping[str, Any], origin: str) -> MissionDefinition:
    """The mission that a table says. Raises `UsageError` for one that means nothing, or that nobody can approve."""
    for key in table:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            meant = f"Did you mean {close[0]}?" if close else f"There is: {', '.join(KEYS)}."
            raise UsageError(f"{origin}: {str(key)[:80]!r} says nothing in a mission.", hint=meant)
    definition = MissionDefinition(
        objective=_text(table, "objective", origin, longest=_LONGEST_OBJECTIVE),
        tools=_tools(table, origin), authority=_authority(table.get("authority", "L2"), "authority", origin),
        approvers=_levels(table, "approvers", origin, otherwise=Authority.L4) if "approvers" in table else None,
        quorum=_quorum(table, origin), timeout=_timeout(table, origin),
        plan=_text(table, "plan", origin, longest=_LONGEST_STEP) if "plan" in table else None,
        strict=_strict(table, origin),
    )  # fmt: skip
    require_approvers(definition, origin)
    return definition


def require_approvers(definition: MissionDefinition, origin: str, own: tuple[str, ...] = ()) -> None:
    """Raise `UsageError` where nobody is left who may approve what is to be asked. ``own``: whom the run acts for."""
    levels = [definition.authority] if definition.authority > Authority.L1 else []
    acting = {name.strip().casefold() for name in own}
    for level in (*levels, *definition.asking_levels):
        named = definition.who_may_approve(level)
        if named is None and level > Authority.L2:
            raise UsageError(
                f"{origin}: nobody is named whose authority is {level}.",
                hint=f'Say who may approve: approvers = {{ ann = "{level}" }}.',
            )
        if named is None:
            continue
        left = [name for name in named if name.strip().casefold() not in acting]
        if len(left) < definition.quorum:
            who = ", ".join(left) or "nobody"
            raise UsageError(
                f"{origin}: {definition.quorum} have to approve with an authority of {level}, and there is {who}"
                f"{f' who is not the run itself ({chr(44).join(own)})' if own else ''}.",
                hint="Name more approvers, lower the quorum, or let the run act in a name of its own "
                "(EVERCELL_USER=agent).",
            )


# -- single values -------------------------------------------------------------------------------


def _wrong(origin: str, key: str, value: Any, wanted: str) -> UsageError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
    return UsageError(f"{origin}: {key} is {shown}, which is not {wanted}.", hint=_LIKE_THIS)


def _text(table: Mapping[str, Any], key: str, origin: str, *, longest: int) -> str:
    value = table.get(key)
    if value is None:
        raise UsageError(f"{origin}: {key} is missing.", hint=_LIKE_THIS)
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise _wrong(origin, key, value, f"a text of 1 to {longest:,} characters")
    return value.strip()


def _tools(table: Mapping[str, Any], origin: str) -> dict[str, Authority]:
    if "tools" not in table:
        raise UsageError(f"{origin}: tools is missing.", hint=_LIKE_THIS)
    found = _levels(table, "tools", origin, otherwise=Authority.L1)
    if not found:
        raise UsageError(f"{origin}: tools is empty, so that it could do nothing.", hint=_LIKE_THIS)
    for text in found:
        try:
            pattern = parse_pattern(text)
        except UsageError as error:
            raise UsageError(f"{origin}, tools: {error.what}", hint=error.hint) from None
        if pattern.is_of_steps:
            raise UsageError(
                f"{origin}, tools: {text!r} is a step, and tools are durable calls.",
                hint="Steps need no mention. Which of them may run is said in a policy.",
            )
    return found


def _levels(table: Mapping[str, Any], key: str, origin: str, *, otherwise: Authority) -> dict[str, Authority]:
    """Names with their authorities: of a list all have the same."""
    value = table[key]
    named = dict.fromkeys(value, otherwise) if _is_list_of_texts(value) else value
    if not isinstance(named, dict) or not all(name.strip() for name in named):
        raise _wrong(origin, key, value, f'a list of texts, or a table such as {{ name = "{Authority.L3}" }}')
    return {name.strip(): _authority(level, f"{key}, {name}", origin) for name, level in named.items()}


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _authority(value: Any, key: str, origin: str) -> Authority:
    try:
        return Authority(value)
    except ValueError:
        raise _wrong(origin, key, value, f"one of {', '.join(Authority)}") from None


def _quorum(table: Mapping[str, Any], origin: str) -> int:
    value = table.get("quorum", 1)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise _wrong(origin, "quorum", value, "a whole number of 1 or more")
    return value


def _timeout(table: Mapping[str, Any], origin: str) -> float | None:
    value = table.get("timeout")
    if value is None:
        return None
    try:
        seconds = parse_duration(value if isinstance(value, str) else "")
    except UsageError:
        seconds = 0.0
    if not 0 < seconds <= _LONGEST_TIMEOUT:
        raise _wrong(origin, "timeout", value, 'a duration, such as "3d"')
    return seconds


def _strict(table: Mapping[str, Any], origin: str) -> bool:
    value = table.get("strict", False)
    if not isinstance(value, bool):
        raise _wrong(origin, "strict", value, "true or false")
    return value
