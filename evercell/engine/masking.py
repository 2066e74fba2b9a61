"""Secrets in what leaves the store to be shown to others: found by their names, and by how keys look."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from evercell.state import is_secret_name

HIDDEN = "***"
"""In the place of a secret."""

_SHORTEST = 6
"""Characters of a secret that is looked for wherever it may stand: a shorter one is part of too many words."""

_KEY_SHAPES = re.compile(
    r"\b(?:sk-(?:[a-zA-Z0-9]+-)*[A-Za-z0-9_]{12,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}"
    r"|hf_[A-Za-z0-9]{16,}|xox[abprs]-[\w-]{10,}|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}"
    r"|eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,})|(?<=Bearer )[\w.~+/-]{8,}=*"
)
_PRIVATE_KEY = re.compile(
    r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_PASSWORD = re.compile(r"(?P<before>\b[a-zA-Z][\w+.-]{0,20}://[^/\s:@'\"<>]{0,200}:)[^/\s@'\"<>]{1,500}(?=@)")
_QUOTE = r"""["']|&quot;|&\#x27;|&\#39;"""
_ASSIGNED = re.compile(
    rf"""(?P<before>(?P<quote>(?:{_QUOTE})?)\b(?P<name>\w{{0,60}}(?:auth|key|token|secret|cookie|passw|credential)\w{{0,60}})
    (?P=quote)\]?\s*(?::(?!=)|=(?!=))\s*[rbfu]{{0,2}})(?P<mark>"{{3}}|'{{3}}|{_QUOTE})
    (?P<value>[^\n]{{1,4000}}?)(?P<end>(?P=mark)|…|(?=\n)|\Z)""",
    re.IGNORECASE | re.VERBOSE,
)
"""``api_key = "…"``, ``{"token": "…"}``, ``environ["KEY"] = "…"``, also in HTML, and where the text was cut."""


class Mask:
    """What hides secrets: those that a run's parameters and this process's environment hold under such names."""

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        named = {value for name, value in os.environ.items() if is_secret_name(name)}
        self._secrets = sorted(
            {s for s in (named | set(_secret_values(params or {}))) if len(s) >= _SHORTEST},
            key=len,
            reverse=True,
        )
        forms = sorted({form for secret in self._secrets for form in _forms(secret)}, key=len, reverse=True)
        self._literal = re.compile("|".join(map(re.escape, forms))) if forms else None

    def text(self, text: str) -> str:
        """The text without secrets: by value, by the name before them, by their shape."""
        text = self.known(_PRIVATE_KEY.sub(rf"\1{HIDDEN}\2", text))
        text = _PASSWORD.sub(rf"\g<before>{HIDDEN}", text)
        return _KEY_SHAPES.sub(HIDDEN, _ASSIGNED.sub(_without_value, text))

    def known(self, text: str) -> str:
        """The text without the secrets that are known by value, also where it is HTML or JSON."""
        return text if self._literal is None else self._literal.sub(HIDDEN, text)

    def data(self, value: Any) -> Any:
        """JSON without secrets."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                name: HIDDEN if is_secret_name(str(name)) and isinstance(item, str) else self.data(item)
                for name, item in value.items()
            }
        return [self.data(item) for item in value] if isinstance(value, list | tuple) else value


def without_secrets(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters, those with the name of a secret hidden, however deep they are."""
    return {
        name: HIDDEN
        if is_secret_name(str(name)) and value is not None
        else without_secrets(value)
        if isinstance(value, Mapping)
        else value
        for name, value in params.items()
    }


def _without_value(found: re.Match[str]) -> str:
    if not is_secret_name(found["name"]):
        return found[0]
    return f"{found['before']}{found['mark']}{HIDDEN}{found['end']}"


def _secret_values(params: Mapping[str, Any]) -> Iterator[str]:
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from _secret_values(value)
        elif is_secret_name(str(name)):
            yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, Iterable):
        for item in value:
            yield from _texts(item)


def _forms(secret: str) -> Iterator[str]:
    """How it is written: as it is, in HTML, in HTML within HTML, in JSON and Python."""
    for form in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        yield form
        yield html.escape(form)
        yield html.escape(html.escape(form))
