"""One pattern: ``NAME``, ``NAME(argument=GLOB, ...)``, ``NAME(argument>NUMBER)`` or ``%%step NAME``."""

from __future__ import annotations

import decimal
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import cached_property
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.policy.values import UNREADABLE, below, leaves, number, readings, spellings

STEP = "%%step "
"""What a pattern of steps begins with."""

_LONGEST = 1_000
_SHORT, _SMALL = 10_000, 2**63
_ARGUMENT = re.compile(
    r"""\s*(?P<path>[^\W\d][\w-]*(?:\.[\w-]+)*)\s*(?P<sign>>=|<=|=|>|<)\s*"""
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^,"']*?))\s*(?:,|$)"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    ">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le,
}  # fmt: skip

Arguments = Mapping[str, Any] | None
"""By name; None where nobody can tell what they are."""


def _is_plain(value: object) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) < _SHORT  # type: ignore[arg-type]
    return kind is int and -_SMALL < value < _SMALL  # type: ignore[operator]


@dataclass(frozen=True)
class Condition:
    """What one argument has to be."""

    path: tuple[str, ...]
    sign: str
    text: str

    def holds(self, arguments: Arguments, *, surely: bool) -> bool:
        """Whether it does: surely, or (for rules that deny or ask) perhaps."""
        if arguments is None:
            return not surely
        name = self.path[0]
        if name not in arguments:
            return False
        value = arguments[name]
        if len(self.path) == 1 and _is_plain(value):  # as most are: none of the rest matters
            met = self.text == "*" or self._is_met(value)
            return met is True if surely else met is not False
        found = below(value, self.path[1:])
        if not found:
            return False
        if self.sign == "=" and self.text == "*":
            return True
        each = [self._is_met(leaf) for value in found for leaf in leaves(value)]
        if surely:
            return bool(each) and all(met is True for met in each)
        return any(met is not False for met in each)

    def _is_met(self, leaf: Any) -> bool | None:
        """None: nobody can tell."""
        if leaf is UNREADABLE:
            return None
        if self.sign != "=":
            value = leaf if type(leaf) is int else number(leaf)
            return None if value is None else _COMPARE[self.sign](value, self._number)
        if not isinstance(leaf, str):
            return any(self._glob.match(text) is not None for text in spellings(leaf))
        met = {self._glob.match(text) is not None for text in readings(leaf)}
        return met.pop() if len(met) == 1 else None

    @cached_property
    def _glob(self) -> re.Pattern[str]:
        return re.compile(translate(self.text))

    @cached_property
    def _number(self) -> decimal.Decimal:
        found = number(self.text)
        assert found is not None, "it was read as one"
        return found


@dataclass(frozen=True)
class Pattern:
    """A pattern of calls, or of steps."""

    text: str
    name: str
    is_of_steps: bool
    conditions: tuple[Condition, ...] = ()

    def names(self, name: str, *, surely: bool) -> bool:
        """Whether a call or step of this name is meant, if its arguments fit."""
        met = {self._glob.match(text) is not None for text in readings(name)}
        return met == {True} if surely else True in met

    def fits(self, arguments: Arguments, *, surely: bool) -> bool:
        """Whether the arguments do."""
        return all(condition.holds(arguments, surely=surely) for condition in self.conditions)

    @cached_property
    def _glob(self) -> re.Pattern[str]:
        return re.compile(translate(self.name))


def parse_pattern(text: str) -> Pattern:
    """The pattern that is written; raises `UsageError` for one that is none."""
    stripped = unicodedata.normalize("NFC", text.strip())
    if not stripped or len(stripped) > _LONGEST:
        raise _no_pattern(text, f"a pattern has 1 to {_LONGEST:,} characters")
    if stripped.startswith("%%"):
        if not stripped.startswith(STEP):
            raise _no_pattern(text, "of cells only steps are decided on")
        return Pattern(stripped, stripped.removeprefix(STEP).strip(), is_of_steps=True)
    name, bracket, rest = stripped.partition("(")
    if not bracket:
        return Pattern(stripped, name, is_of_steps=False)
    if not rest.endswith(")") or not name.strip():
        raise _no_pattern(text, "a name stands before the brackets, and nothing behind them")
    return Pattern(stripped, name.strip(), is_of_steps=False, conditions=_conditions(text, rest[:-1]))


def _conditions(text: str, inner: str) -> tuple[Condition, ...]:
    found, position = [], 0
    while position < len(inner):
        match = _ARGUMENT.match(inner, position)
        if match is None:
            raise _no_pattern(text, f"{inner[position:].strip()[:60]!r} is no argument=glob")
        given = next(part for part in (match["double"], match["single"], match["bare"]) if part is not None)
        if match["sign"] != "=" and number(given) is None:
            raise _no_pattern(text, f"{given!r} is no number")
        found.append(Condition(tuple(match["path"].split(".")), match["sign"], given))
        position = match.end()
    if not found:
        raise _no_pattern(text, "between the brackets stand arguments")
    return tuple(found)


def _no_pattern(text: str, why: str) -> UsageError:
    shown = text if len(text) <= 80 else f"{text[:80]}…"
    return UsageError(
        f"{shown!r} is no pattern of a policy: {why}.",
        hint='Write "transfer", "transfer(amount>1000, to=*.example)", "POST api.example.com/*" or "%%step deploy*".',
    )
