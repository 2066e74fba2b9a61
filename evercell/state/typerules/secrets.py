"""Secrets: texts that are never stored as they are, and which of them the process's environment has.

A key that the environment has comes from there again, by the variable's name; any other is sealed. Which texts are
secrets is told by the names under which objects hold them (`hiding`), and by what the environment holds under such a
name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from evercell.state.internals.standard_library import environment, live_environment

SECRET_WORD = re.compile(r"auth|key|token|secret|cookie|passw|credential", re.IGNORECASE)
_COUNTED = re.compile(r"tokens|keys$|tokeni[sz]e|key_?points", re.IGNORECASE)
"""What has such a word in it and is none: ``max_tokens``."""

SHORTEST = 8
"""Characters of a text of the environment that is looked for wherever it may be."""


class Secret:
    """Stands for a text while an object is taken apart; `rebuilders.surroundings` says what is stored of it.

    ``called`` is what the user calls it, where that is not the variable that it is in.
    """

    __slots__ = ("called", "text")

    text: Any
    called: str | None

    def __init__(self, text: str | bytes, called: str | None = None) -> None:
        self.text = text
        self.called = called

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.text, self.called) == (other.text, other.called)

    def __hash__(self) -> int:
        return hash((self.text, self.called))

    def __repr__(self) -> str:
        return "<a secret>"


@lru_cache(4096)
def is_secret_name(name: str) -> bool:
    """Whether what somebody calls so is not to be shown."""
    return SECRET_WORD.search(_COUNTED.sub("", name)) is not None


# -- the environment -----------------------------------------------------------------------------


class _Environment:
    """Texts of the environment whose names say that they are secrets."""

    def __init__(self) -> None:
        self._seen: Mapping[Any, Any] = {}
        self.secrets: dict[str, str] = {}
        """Text → name."""
        self.raw: tuple[bytes, ...] = ()

    def refresh(self) -> None:
        live = live_environment()
        if live != self._seen:
            self._seen = dict(live)
            named = sorted(environment().items(), reverse=True)  # of two with one value, the first name
            self.secrets = {v: n for n, v in named if len(v) >= SHORTEST and SECRET_WORD.search(n)}
            self.raw = tuple(secret.encode("utf-8", "surrogateescape") for secret in self.secrets)


_environment = _Environment()
refresh_environment = _environment.refresh
"""Look whether the environment is another one since: once for each value that is taken apart."""


def holds_secret_of_environment(text: str) -> bool:
    """Whether a secret of the environment is in it."""
    return any(secret in text for secret in _environment.secrets)


def is_exposed_in(stream: bytes) -> bool:
    """Whether a secret of the environment can be read in a stream."""
    return any(stream.find(raw) >= 0 for raw in _environment.raw)


def reference_to_environment(text: str) -> tuple[str, str, str] | None:
    """Name of the variable that a secret came from, with what stands before and after it (``Bearer ``)."""
    for name, value in environment().items():
        if value == text and (len(text) >= SHORTEST or SECRET_WORD.search(name)):
            return name, "", ""
    if len(text) >= SHORTEST:
        for value, name in _environment.secrets.items():
            if value in text:
                before, _, after = text.partition(value)
                return (name, before, after) if len(before + after) < len(value) else None
    return None
