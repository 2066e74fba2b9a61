"""Secrets: from the environment again where they came from there, otherwise sealed. None is stored as it is."""

from __future__ import annotations

import os
from typing import Any

from evercell.state.content.sealing import CannotSeal, seal, unseal
from evercell.state.typerules.hiding import hide_header
from evercell.state.typerules.rebuilding import CannotRebuild, lose, rebuilds
from evercell.state.typerules.secrets import Secret, reference_to_environment
from evercell.state.typerules.settings import Unkept

_SETUP = "set it in a %%setup cell, which runs in every new kernel"


@rebuilds("evercell.state.typerules.secrets.Secret")
def _secret(secret: Secret) -> tuple[Any, ...]:
    text, is_text = secret.text, isinstance(secret.text, str)
    raw = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    found = None
    if secret.called is None:
        found = reference_to_environment(raw.decode("utf-8", "surrogateescape"))
    if found is not None:
        return read_environment, (*found, is_text)
    try:
        return open_sealed, (seal(raw), is_text, secret.called or "")
    except CannotSeal as error:
        raise CannotRebuild(f"a secret, and {error}", _advice(secret.called), called=secret.called) from error


@rebuilds("evercell.state.typerules.settings.Unkept")
def _unkept(one: Unkept) -> tuple[Any, ...]:
    raise CannotRebuild(one.why, one.advice, called=one.called, type=one.kind)


def _advice(called: str | None) -> str:
    if called is None:
        return _SETUP
    name = called.removeprefix("os.environ['").removesuffix("']")
    return f"{_SETUP}, or allow it to be stored: EVERCELL_ENVIRON={name}"


def read_environment(name: str, before: str, after: str, is_text: bool) -> Any:
    """A key that came from the environment, as the environment of this kernel has it."""
    value = os.environ.get(name)
    if value is None:
        why = f"it comes from os.environ[{name!r}], which is not set here"
        return lose("str", why, f"set {name} before the kernel starts, or in a %%setup cell")
    text = f"{before}{value}{after}"
    return text if is_text else text.encode("utf-8", "surrogateescape")


def open_sealed(sealed: bytes, is_text: bool, called: str) -> Any:
    """A secret that was sealed with the key of this user."""
    try:
        raw = unseal(sealed)
    except CannotSeal as error:
        return lose("str", f"it is a secret, and {error}", _advice(called or None), called=called)
    return raw.decode("utf-8", "surrogateescape") if is_text else raw


# -- where libraries keep them -------------------------------------------------------------------


@rebuilds("httpx.Headers", "httpx2.Headers", subclasses=True)
def _headers(headers: Any) -> tuple[Any, ...]:
    return _with_state(headers.__reduce_ex__(5), _hide_in_raw)


def _hide_in_raw(state: dict[str, Any]) -> dict[str, Any]:
    """Triples of a name, the name in small letters, and a value."""
    found = next((n for n, v in state.items() if isinstance(v, list)), None)
    if found is None:
        return state
    return {**state, found: [(*rest, hide_header(rest[-1], value)) for *rest, value in state[found]]}


@rebuilds("requests.structures.CaseInsensitiveDict", subclasses=True)
def _case_insensitive(headers: Any) -> tuple[Any, ...]:
    """A dict of a name in small letters to the name and its value."""

    def hide(state: dict[str, Any]) -> dict[str, Any]:
        return {n: type(v)((k, hide_header(k, pair)) for k, pair in v.items()) for n, v in state.items()}

    return _with_state(headers.__reduce_ex__(5), hide)


@rebuilds("multidict._multidict.CIMultiDict", "multidict._multidict_py.CIMultiDict")
def _multiple(headers: Any) -> tuple[Any, ...]:
    return type(headers), ([(name, hide_header(name, value)) for name, value in headers.items()],)


@rebuilds("http.cookiejar.Cookie", "http.cookies.Morsel")
def _cookie(cookie: Any) -> tuple[Any, ...]:
    def hide(state: dict[str, Any]) -> dict[str, Any]:
        return {n: Secret(v) if n in ("value", "coded_value") and v else v for n, v in state.items()}

    return _with_state(cookie.__reduce_ex__(5), hide)


def _with_state(reduced: tuple[Any, ...], hide: Any) -> tuple[Any, ...]:
    make, arguments, state, *rest = reduced
    return (make, arguments, hide(state) if isinstance(state, dict) else state, *rest)
