"""Arguments as the texts that patterns are compared with. Nothing of the user's runs for it.

A value that nobody can read here (an object of the user's, one too long or too deep) is `UNREADABLE`: rules that
deny or ask take it for a match, rules that allow do not.
"""

from __future__ import annotations

import datetime
import decimal
import pathlib
import posixpath
import re
import unicodedata
import uuid
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import unquote

LONGEST_TEXT = 1_000_000
"""Characters."""

_MOST_LEAVES = 10_000
_DEEPEST = 50
_OF_TEXT = (
    decimal.Decimal, uuid.UUID, datetime.datetime, datetime.date, datetime.time, datetime.timedelta,
    pathlib.PosixPath, pathlib.WindowsPath, pathlib.PurePosixPath, pathlib.PureWindowsPath,
)  # fmt: skip
"""Types of the standard library's whose ``str`` is theirs."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_IN_ANOTHER_FORM = re.compile(r"%[0-9A-Fa-f]{2}|(?:^|/)\.{1,2}(?:/|$)|//")


class Unreadable:
    """A value that no pattern can be compared with."""


UNREADABLE: Final = Unreadable()

Leaf = Any
"""A text, a number, a truth value, None, or `UNREADABLE`."""


def leaves(value: object) -> Iterator[Leaf]:
    """What a value consists of: of a list its elements, of a dict its keys and values, and so on."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    seen = 0
    while waiting:
        part, depth = waiting.pop()
        seen += 1
        if seen > _MOST_LEAVES or depth > _DEEPEST:
            yield UNREADABLE
            return
        kind = type(part)
        if kind is dict:
            waiting += [(one, depth + 1) for pair in part.items() for one in pair]  # type: ignore[attr-defined]
        elif kind in (list, tuple, set, frozenset):
            waiting += [(one, depth + 1) for one in part]  # type: ignore[attr-defined]
        else:
            yield _leaf(part)


def _leaf(value: Any) -> Leaf:
    kind = type(value)
    if value is None or kind in (bool, float):
        return value
    if isinstance(value, str):
        text = str.__str__(value)
        return text if len(text) <= LONGEST_TEXT else UNREADABLE
    if isinstance(value, int):
        plain = int.__int__(value)
        return plain if plain.bit_length() < 4096 else UNREADABLE
    if kind in (bytes, bytearray):
        return bytes(value).decode("utf-8", "replace") if len(value) <= LONGEST_TEXT else UNREADABLE
    return str(value) if kind in _OF_TEXT else UNREADABLE


def below(value: object, path: tuple[str, ...]) -> list[object]:
    """What stands at a path of keys; below a list, in each of its elements. `UNREADABLE` where nobody can tell."""
    here: list[object] = [value]
    for name in path:
        found: list[object] = []
        for one in here:
            found += _items(one, name)
        here = found
    return here


def _items(value: object, name: str) -> list[object]:
    kind = type(value)
    if kind is dict:
        found: Any = value
        return [found[name]] if name in found else []
    if kind in (list, tuple):
        elements: Any = value
        return [item for element in elements for item in _items(element, name)]
    if value is None or isinstance(value, str | int | float | bytes):
        return []
    return [UNREADABLE]


def readings(text: str) -> tuple[str, ...]:
    """All texts that it may be taken for: as it is, and with paths and characters in their plain form.

    Who denies ``/etc/*`` denies ``/data/../etc/passwd``, and who allows ``/data/*`` does not allow it.
    """
    if text.isascii() and not _IN_ANOTHER_FORM.search(text):
        return (text,)
    plain = unicodedata.normalize("NFKC", unquote(unquote(text)))
    scheme = _SCHEME.match(plain)
    before = scheme[0] if scheme else ""
    path, mark, query = plain[len(before) :].partition("?")
    if path and _IN_ANOTHER_FORM.search(path):
        ending = "/" if path.endswith("/") and len(path) > 1 else ""
        path = re.sub("/+", "/", posixpath.normpath(path)).rstrip("/") + ending or "/"
    return tuple(dict.fromkeys((text, f"{before}{path}{mark}{query}")))


def spellings(leaf: Leaf) -> tuple[str, ...]:
    """How one would write a leaf that is no text: any of them is the same value."""
    if leaf is None:
        return ("None", "null")
    if isinstance(leaf, bool):
        return ("True", "true") if leaf else ("False", "false")
    if isinstance(leaf, float) and leaf.is_integer() and abs(leaf) < 1e15:
        return (repr(leaf), str(int(leaf)))
    return (repr(leaf),)


def number(leaf: Leaf) -> decimal.Decimal | None:
    """The number that a leaf is, or that a text says; None where it is none that can be compared."""
    if isinstance(leaf, bool) or not isinstance(leaf, int | float | str):
        return None
    try:
        found = decimal.Decimal(leaf.strip() if isinstance(leaf, str) else leaf)
    except (decimal.InvalidOperation, ValueError):
        return None
    return None if found.is_nan() else found
