"""Keys and passwords that objects hold: never stored as they are.

A key that the process's environment has comes from there again, by the variable's name; any other is sealed. Which
texts are secrets is told by the names of attributes, fields and headers, and by what the environment holds under such
a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from evercell.state.internals.standard_library import live_environment

_NAMES = (
    "api_key apikey admin_api_key auth_token access_token refresh_token id_token bearer_token api_token token "
    "session_token secret client_secret webhook_secret webhook_key secret_key secret_value aws_secret_access_key "
    "aws_session_token password passwd key_password auth_header private_key passphrase proxy_auth jwt"
)
SECRET_NAMES = frozenset(name for plain in _NAMES.split() for name in (plain, f"_{plain}"))
"""Attributes and fields whose texts are secrets."""

_AUTH = frozenset({"auth", "_auth"})
"""Attributes that hold a pair of name and password."""
_HEADERS = frozenset(
    f"{mark}{name}"
    for mark in ("", "_")
    for name in ("headers", "default_headers", "custom_headers", "extra_headers", "proxy_headers", "proxies")
)
"""Attributes that hold texts by name, some of them secrets."""
_INSIDE = frozenset({"__dict__", "__pydantic_private__", "__pydantic_extra__"})
"""Parts of a state that hold attributes themselves: models of pydantic have them."""
_TELLING = SECRET_NAMES | _AUTH | _HEADERS | _INSIDE

_SECRET_WORD = re.compile(r"auth|key|token|secret|cookie|passw|credential", re.IGNORECASE)
_USERINFO = re.compile(rb"://[^/@\s]+@")
_SHORTEST = 8
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


# -- the environment -----------------------------------------------------------------------------


class _Environment:
    """Texts of the environment whose names say that they are secrets."""

    def __init__(self) -> None:
        self._seen: Mapping[Any, Any] = {}
        self.secrets: dict[str, str] = {}
        """Text → name."""

    def refresh(self) -> None:
        live = live_environment()
        if live != self._seen:
            self._seen = dict(live)
            named = sorted(os.environ.items(), reverse=True)  # of two with one value, the first name
            self.secrets = {v: n for n, v in named if len(v) >= _SHORTEST and _SECRET_WORD.search(n)}


_environment = _Environment()
refresh_environment = _environment.refresh
"""Look whether the environment is another one since: once for each value that is taken apart."""


def reference_to_environment(text: str) -> tuple[str, str, str] | None:
    """Name of the variable that a secret came from, with what stands before and after it (``Bearer ``)."""
    if len(text) >= _SHORTEST:
        for value, name in _environment.secrets.items():
            if value in text:
                before, _, after = text.partition(value)
                return (name, before, after) if len(before + after) < len(value) else None
        for name, value in os.environ.items():
            if value == text:
                return name, "", ""
    return None


# -- objects -------------------------------------------------------------------------------------


def hide_secrets(reduced: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
    """An object taken apart, its secrets hidden: those of its state, or of the fields of a named tuple."""
    if len(reduced) > 2 and reduced[2] is not None:
        state = reduced[2]
        hidden = _hide_in_state(state, kind)
        return reduced if hidden is state else (*reduced[:2], hidden, *reduced[3:])
    fields = getattr(kind, "_fields", None)
    if issubclass(kind, tuple) and isinstance(fields, tuple) and not SECRET_NAMES.isdisjoint(fields):
        make, (made, *values) = reduced[:2]
        if len(values) == len(fields):
            hidden = [_hide(n, v) if n in SECRET_NAMES else v for n, v in zip(fields, values, strict=True)]
            return (make, (made, *hidden), *reduced[2:])
    return reduced


def _hide_in_state(state: Any, kind: type) -> Any:
    if type(state) is dict:
        return _hide_in(state, kind)
    if type(state) is tuple and len(state) == 2:  # attributes, and slots
        parts = tuple(_hide_in(part, kind) if type(part) is dict else part for part in state)
        return state if all(new is old for new, old in zip(parts, state, strict=True)) else parts
    return state


def _hide_in(state: dict[Any, Any], kind: type) -> dict[Any, Any]:
    """The attributes, copied where one of them is a secret."""
    hidden: dict[Any, Any] = {}
    if not _TELLING.isdisjoint(state):
        for name in _TELLING & state.keys():
            if (new := _hide_named(name, state[name], kind)) is not state[name]:
                hidden[name] = new
    if known := _environment.secrets:
        for name, value in state.items():
            if type(value) is str and value in known:
                hidden[name] = Secret(value)
    return {**state, **hidden} if hidden else state


def _hide_named(name: str, value: Any, kind: type) -> Any:
    if name in SECRET_NAMES:
        is_common_word = name == "token" and (
            kind.__module__ == "__main__" or len(str(value)) < 2 * _SHORTEST
        )
        return value if is_common_word else _hide(name, value)
    if name in _AUTH and type(value) is tuple and len(value) == 2:
        return (value[0], _hide(name, value[1]))
    if name in _HEADERS:
        return hide_in_headers(value)
    if name in _INSIDE and type(value) is dict:
        return _hide_in(value, kind)
    return value


def _hide(_: str, value: Any) -> Any:
    return Secret(value) if type(value) in (str, bytes) and value else value


def hide_in_headers(headers: Any) -> Any:
    """Texts by name (a dict, or pairs), those hidden whose names say that they are secrets."""
    if type(headers) is dict:
        new = {name: hide_header(name, value) for name, value in headers.items()}
        return new if any(new[name] is not headers[name] for name in new) else headers
    if type(headers) in (list, tuple) and all(type(pair) is tuple and len(pair) == 2 for pair in headers):
        pairs = [(name, hide_header(name, value)) for name, value in headers]
        changed = any(new[1] is not old[1] for new, old in zip(pairs, headers, strict=True))
        return type(headers)(pairs) if changed else headers
    return headers


def hide_header(name: Any, value: Any) -> Any:
    """The value of a header, hidden where it is a secret."""
    if not isinstance(value, str | bytes) or not value or not isinstance(name, str | bytes):
        return value
    text = name if isinstance(name, str) else name.decode("latin-1")
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return Secret(value) if _SECRET_WORD.search(text) or _USERINFO.search(raw) else value
