"""Keys and passwords in objects, found by the names under which they are held; hidden while these are taken apart."""

from __future__ import annotations

import re
from sys import getrefcount
from typing import Any

from evercell.state.typerules.secrets import SECRET_WORD, SHORTEST, Secret, holds_secret_of_environment

_NAMES = (
    "api_key apikey admin_api_key auth_token access_token refresh_token id_token bearer_token api_token token "
    "session_token secret client_secret webhook_secret webhook_key secret_key secret_value aws_secret_access_key "
    "aws_session_token password passwd key_password auth_header private_key passphrase proxy_auth jwt"
)
SECRET_NAMES = frozenset(name for plain in _NAMES.split() for name in (plain, f"_{plain}"))
"""Attributes and fields whose texts are secrets."""

_AUTH = frozenset({"auth", "_auth"})
"""Attributes that hold a pair of name and password."""
_INSIDE = frozenset({"__dict__", "__pydantic_private__", "__pydantic_extra__"})
"""Parts of a state that hold attributes themselves: models of pydantic have them."""
_TELLING = SECRET_NAMES | _AUTH | _INSIDE
_LARGEST = 100
"""Entries of a dict up to which it may be one of settings or headers."""
_DEEPEST = 2
"""Dicts in such a dict."""

_HEADERS = re.compile(r"headers|proxies", re.IGNORECASE)
"""Attributes that hold texts by name, some of them secrets."""
_USERINFO = re.compile(rb"://[^/@\s]+@")
_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})

_harmless: dict[type, set[str]] = {}
"""Names of attributes under which the objects of a class were seen to have no secret."""


def hide_secrets(reduced: tuple[Any, ...], kind: type, *, thoroughly: bool = False) -> tuple[Any, ...]:
    """An object taken apart, its secrets hidden: those of its state, or of the fields of a named tuple.

    ``thoroughly``: also what the environment has, whatever its name in the object.
    """
    if len(reduced) > 2:
        state = reduced[2]
        if type(state) is dict:
            known = _harmless.get(kind)
            if known is not None and not thoroughly and known.issuperset(state):
                return reduced
            hidden: Any = _hide_in(state, kind, thoroughly)
        elif type(state) is tuple and len(state) == 2:  # attributes, and slots
            hidden = tuple(_hide_in(part, kind, thoroughly) if type(part) is dict else part for part in state)
        elif state is not None:
            return reduced
        else:
            return _hide_in_fields(reduced, kind)
        return (*reduced[:2], hidden, *reduced[3:])
    return _hide_in_fields(reduced, kind)


def _hide_in_fields(reduced: tuple[Any, ...], kind: type) -> tuple[Any, ...]:
    fields = getattr(kind, "_fields", None) if issubclass(kind, tuple) else None
    if isinstance(fields, tuple) and not SECRET_NAMES.isdisjoint(fields):
        make, (made, *values) = reduced[:2]
        if len(values) == len(fields):
            hidden = [_hide(v) if n in SECRET_NAMES else v for n, v in zip(fields, values, strict=True)]
            return (make, (made, *hidden), *reduced[2:])
    return reduced


def _hide_in(state: dict[Any, Any], kind: type, thoroughly: bool) -> dict[Any, Any]:
    """The attributes, copied where one of them is a secret."""
    harmless = _harmless.setdefault(kind, set())
    hidden: dict[Any, Any] = {}
    for name in state.keys() - harmless if not thoroughly else state.keys():
        new = _hide_one(name, state[name], kind, thoroughly) if type(name) is str else state[name]
        if new is not state[name]:
            hidden[name] = new
        elif _is_harmless(name, state[name], kind):
            harmless.add(name)
    if hidden and kind.__module__ == "__main__":
        counts = _counts(
            state
        )  # what the notebook holds elsewhere, too, stays one: it is stored there, anyway
        hidden = {name: new for name, new in hidden.items() if counts.get(name, 0) <= _ALONE}
    return {**state, **hidden} if hidden else state


def _is_harmless(name: Any, value: Any, kind: type) -> bool:
    if type(name) is not str:
        return True
    if name in _TELLING or _HEADERS.search(name):
        return False
    return kind.__module__ == "__main__" or type(value) in _PLAIN


def _hide_one(name: str, value: Any, kind: type, thoroughly: bool) -> Any:
    """What stands for an attribute; the attribute itself where it is no secret."""
    if name in SECRET_NAMES:
        is_common_word = name == "token" and (kind.__module__ == "__main__" or len(str(value)) < 2 * SHORTEST)
        return value if is_common_word else _hide(value)
    if name in _AUTH and type(value) is tuple and len(value) == 2:
        return (value[0], _hide(value[1]))
    if name in _INSIDE and type(value) is dict:
        return _hide_in(value, kind, thoroughly)
    if type(value) in (dict, list, tuple):
        return _hide_held(name, value, kind)
    return (
        Secret(value) if thoroughly and type(value) is str and holds_secret_of_environment(value) else value
    )


def _hide_held(name: str, held: Any, kind: type, depth: int = 0) -> Any:
    """Settings and headers that an object holds in a dict of its own, or in pairs."""
    if not 0 < len(held) <= _LARGEST:
        return held
    if _HEADERS.search(name) or "Headers" in kind.__name__:
        return hide_in_headers(held)
    if type(held) is not dict or depth > _DEEPEST or kind.__module__ == "__main__":
        return held
    new = {key: _hide(held[key]) for key in SECRET_NAMES & held.keys()}
    for key, value in held.items():
        if type(value) is dict and type(key) is str:
            new[key] = _hide_held(key, value, kind, depth + 1)
    return {**held, **new} if any(new[key] is not held[key] for key in new) else held


def _counts(state: dict[Any, Any]) -> dict[Any, int]:
    """References to each dict or list that an object holds in an attribute for headers."""
    return {n: getrefcount(v) for n, v in state.items() if type(v) in (dict, list) and n not in _INSIDE}


_ALONE = _counts({"only": {}})["only"]
"""What `getrefcount` says there of a dict that nobody else holds."""


def _hide(value: Any) -> Any:
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
    """The value of a header, hidden where it is a secret. Some libraries keep it with the name as it was given."""
    if type(value) in (tuple, list) and len(value) > 1 and str(value[0]).lower() == name:
        parts = type(value)([value[0], *(hide_header(name, part) for part in value[1:])])
        return parts if any(new is not old for new, old in zip(parts, value, strict=True)) else value
    if not isinstance(value, str | bytes) or not value or not isinstance(name, str | bytes):
        return value
    text = name if isinstance(name, str) else name.decode("latin-1")
    raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
    return Secret(value) if SECRET_WORD.search(text) or _USERINFO.search(raw) else value
