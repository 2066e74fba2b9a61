"""Policies as people write them: a table ``[tool.evercell.policy]``, or a file of its own. Errors name the place."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evercell.core.errors import UsageError
from evercell.core.policy import Effect, Policy
from evercell.engine.configuration import POLICY_FILE
from evercell.engine.policy.patterns import Pattern, parse_pattern
from evercell.engine.spec import parse_duration

KEYS = ("deny", "ask", "allow", "default", "steps", "approvers", "quorum", "timeout", "hooks")


def read_policy(table: Mapping[str, Any], origin: str) -> Policy:
    """The policy that a table says. Raises `UsageError` for one that means nothing, or contradicts itself."""
    for key in table:
        if key not in KEYS:
            close = difflib.get_close_matches(str(key), KEYS, n=1)
            meant = f"Did you mean {close[0]}?" if close else f"There is: {', '.join(KEYS)}."
            raise UsageError(f"{origin}: {str(key)[:80]!r} says nothing in a policy.", hint=meant)
    lists = {key: _texts(table, key, origin) for key in ("deny", "ask", "allow", "hooks")}
    approvers = _texts(table, "approvers", origin) if "approvers" in table else None
    policy = Policy(
        **lists, default=_effect(table, "default", origin), steps=_effect(table, "steps", origin),
        approvers=approvers, quorum=_quorum(table, origin), timeout=_timeout(table, origin), origin=origin,
    )  # fmt: skip
    _require_sense(policy)
    return policy


def read_policy_file(path: Path) -> Policy:
    """The policy that a file says. Raises `UsageError` where it cannot be read."""
    return read_policy(_load(path), str(path))


def find_policies(
    said: Sequence[tuple[Any, str]], folder: Path | None, project: Path | None
) -> tuple[Policy, ...]:
    """All that count: what settings say (a table, or the path of a file, each with its place), and ``policy.toml``
    in the folder and beside the project's ``pyproject.toml``. Raises `UsageError` for one that cannot be read.
    """
    found = []
    for written, origin in said:
        if isinstance(written, str):
            is_of_project = project is not None and origin.startswith(str(project))
            base = project.parent if is_of_project and project is not None else Path()
            found.append(read_policy_file(base / Path(written).expanduser()))
        else:
            found.append(read_policy(written, origin.removesuffix("]") + ".policy]"))
    for place in dict.fromkeys((folder, project.parent if project is not None else None)):
        if place is not None and _is_ours(place / POLICY_FILE):
            found.append(read_policy_file(place / POLICY_FILE))
    return tuple({policy.digest: policy for policy in found}.values())


def _is_ours(path: Path) -> bool:
    """Whether a file is there in which anything is a policy's: one of another program is let alone."""
    if not path.is_file():
        return False
    found = _load(path)
    return not found or any(difflib.get_close_matches(str(key), KEYS, n=1) for key in found)


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise UsageError(
            f"The policy {path} cannot be read: {error.strerror}.",
            hint="Without it nothing is executed. Make it readable, or take its name out.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The policy {path} is no TOML: {error}.", hint="Without it nothing is executed. Mend it."
        ) from None


# -- single values -------------------------------------------------------------------------------


def _wrong(origin: str, key: str, value: Any, wanted: str) -> UsageError:
    shown = repr(value)
    shown = shown if len(shown) <= 80 else f"{shown[:80]}…"
    return UsageError(f"{origin}: {key} is {shown}, which is not {wanted}.", hint="Mend it there.")


def _texts(table: Mapping[str, Any], key: str, origin: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
        raise _wrong(origin, key, value, 'a list of texts, such as ["transfer(amount>1000)"]')
    return tuple(dict.fromkeys(one.strip() for one in value))


def _effect(table: Mapping[str, Any], key: str, origin: str) -> Effect:
    value = table.get(key, "allow")
    try:
        return Effect(value)
    except ValueError:
        raise _wrong(origin, key, value, '"allow", "ask" or "deny"') from None


def _quorum(table: Mapping[str, Any], origin: str) -> int:
    value = table.get("quorum", 1)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise _wrong(origin, "quorum", value, "a whole number of 1 or more")
    return value


def _timeout(table: Mapping[str, Any], origin: str) -> float | None:
    value = table.get("timeout")
    if value is None:
        return None
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except UsageError:
        raise _wrong(origin, "timeout", value, 'a duration, such as "3d"') from None


def _require_sense(policy: Policy) -> None:
    patterns = {
        effect: [_parsed(text, policy, str(effect)) for text in texts]
        for effect, texts in (("deny", policy.deny), ("ask", policy.ask), ("allow", policy.allow))
    }
    for stronger, weaker in (("deny", "ask"), ("deny", "allow"), ("ask", "allow")):
        for text in {_same(p) for p in patterns[stronger]} & {_same(p) for p in patterns[weaker]}:
            raise UsageError(
                f"{policy.origin}: {text!r} stands in {stronger} and in {weaker}, where it says nothing.",
                hint=f"{stronger} counts. Take it out of {weaker}, or out of {stronger} if you mean that.",
            )
    if policy.approvers is not None and policy.quorum > len(set(policy.approvers)):
        raise UsageError(
            f"{policy.origin}: a quorum of {policy.quorum} of {len(set(policy.approvers))} approvers "
            "cannot be reached.",
            hint="Name more approvers, or lower the quorum.",
        )


def _same(pattern: Pattern) -> str:
    """A pattern without what does not matter in it."""
    inner = ", ".join(f"{'.'.join(c.path)}{c.sign}{c.text}" for c in pattern.conditions)
    return f"{'%%step ' if pattern.is_of_steps else ''}{pattern.name}{f'({inner})' if inner else ''}"


def _parsed(text: str, policy: Policy, key: str) -> Pattern:
    try:
        return parse_pattern(text)
    except UsageError as error:
        raise UsageError(f"{policy.origin}, {key}: {error.what}", hint=error.hint) from None
