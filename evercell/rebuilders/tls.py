"""TLS contexts: their settings, whom they trust, their own certificate by the path of its file.

What the system or the package certifi trusts is trusted as it is where the state comes back; other authorities are kept
with the state. A private key is read from its file again, and is never part of the state.
"""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from evercell.state.internals.tls import calls_of, certifi_file, inner, plain_kind
from evercell.state.typerules.rebuilding import CannotRebuild, lose, rebuilds
from evercell.state.typerules.secrets import Secret

_SETUP = "make it in a %%setup cell, which runs in every new kernel"

_SETTINGS = (
    "options", "minimum_version", "maximum_version", "verify_flags", "post_handshake_auth",
    "hostname_checks_common_name", "keylog_filename", "num_tickets", "sni_callback", "verify_mode", "check_hostname",
)  # fmt: skip
"""What a context tells and takes again, in an order in which it takes it."""

_TRUST = frozenset({"load_verify_locations", "load_default_certs", "set_default_verify_paths"})
_CERTIFI = "certifi"
_SYSTEM = frozenset({"load_default_certs", "set_default_verify_paths"})


@rebuilds("ssl.SSLContext", subclasses=True)
def _context(context: Any) -> tuple[Any, ...]:
    given, noted = inner(context), calls_of(context)
    if noted is None and not given.cert_store_stats()["x509"] and given.verify_mode:
        raise CannotRebuild(
            "a TLS context from before evercell was loaded, which tells not whom it trusts", _SETUP
        )
    calls = noted or []
    trust, are_known = _trust_by_reference([call for call in calls if call[0] in _TRUST])
    if noted is None or not are_known:
        trust.append(("load_verify_locations", {"cadata": b"".join(given.get_ca_certs(binary_form=True))}))
    others = [_by_name(name, args, options) for name, args, options in calls if name not in _TRUST]
    settings = _settings(given, chose_ciphers=any(name == "set_ciphers" for name, _ in others))
    own = {n: v for n, v in vars(context).items() if n not in ("_ctx", "_ctx_lock")}
    kind = None if type(context) is plain_kind() else type(context)
    return make_tls_context, (kind, int(given.protocol), settings, trust, others, own)


def _settings(context: ssl.SSLContext, *, chose_ciphers: bool) -> dict[str, Any]:
    """Those that a new context of this protocol has otherwise."""
    usual = _usual(int(context.protocol))
    found = {name: _plain(getattr(context, name, None)) for name in _SETTINGS}
    settings = {name: value for name, value in found.items() if value != usual.get(name)}
    if (ciphers := _ciphers(context)) != usual["ciphers"] and not chose_ciphers:
        settings["ciphers"] = ciphers
    return settings


def _plain(value: Any) -> Any:
    """A flag as a number: a stream names no class of it."""
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _ciphers(context: ssl.SSLContext) -> str:
    """Those that can be chosen; the ones of TLS 1.3 cannot."""
    names = [c["name"] for c in context.get_ciphers() if c.get("protocol") != "TLSv1.3"]
    return ":".join([*names, f"@SECLEVEL={context.security_level}"])


@cache
def _usual(protocol: int) -> dict[str, Any]:
    with _quietly():
        new = ssl.SSLContext(protocol)
    return {"ciphers": _ciphers(new), **{name: _plain(getattr(new, name, None)) for name in _SETTINGS}}


def _trust_by_reference(calls: list[Any]) -> tuple[list[tuple[str, dict[str, Any]]], bool]:
    """What was trusted by the name of a file or folder of the system, and whether that is all."""
    found: list[tuple[str, dict[str, Any]]] = []
    are_known = True
    for name, args, options in calls:
        if name in _SYSTEM:
            found.append((name, {}))
            continue
        given = {**dict(zip(("cafile", "capath", "cadata"), args, strict=False)), **options}
        cafile, capath, cadata = (given.get(n) for n in ("cafile", "capath", "cadata"))
        if cafile is not None and os.fsdecode(cafile) == certifi_file():
            found.append((_CERTIFI, {}))
        elif cafile is not None and os.fsdecode(cafile) in _files_of_system():
            found.append((name, {"cafile": os.fsdecode(cafile)}))
        elif cafile is not None or cadata is not None:
            are_known = False
        if capath is not None:
            found.append((name, {"capath": os.path.abspath(os.fsdecode(capath))}))  # noqa: PTH100  it may be none
    return found, are_known


@cache
def _files_of_system() -> frozenset[str | None]:
    paths = ssl.get_default_verify_paths()
    return frozenset({paths.cafile, paths.openssl_cafile}) - {None}


def _by_name(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A call with its arguments by name: files by their full path, a password hidden."""
    if name != "load_cert_chain":
        return name, {"": args, **options}
    given = {**dict(zip(("certfile", "keyfile", "password"), args, strict=False)), **options}
    for key in ("certfile", "keyfile"):
        if given.get(key) is not None:
            given[key] = os.path.abspath(os.fsdecode(given[key]))  # noqa: PTH100  not a Path: it is stored
    password = given.get("password")
    if isinstance(password, str | bytes | bytearray):
        given["password"] = Secret(password if isinstance(password, str) else bytes(password))
    return name, given


# -- made anew -----------------------------------------------------------------------------------


def make_tls_context(
    kind: type[Any] | None,
    protocol: int,
    settings: dict[str, Any],
    trust: list[tuple[str, dict[str, Any]]],
    calls: list[tuple[str, dict[str, Any]]],
    own: dict[str, Any],
) -> Any:
    """A context with these settings, that trusts the same authorities."""
    with _quietly():
        context = (kind or plain_kind())(protocol)
        vars(context).update(own)
        given = inner(context)
        try:
            for name, options in trust:
                _trust(given, name, options)
            for name, options in calls:
                rest = dict(options)
                getattr(given, name)(*rest.pop("", ()), **rest)
            _set(given, settings)
        except (OSError, ValueError, TypeError) as error:
            why = f"its certificate cannot be loaded here ({type(error).__name__}: {error})"
            return lose("ssl.SSLContext", why, "put its files where they were, or make it in a %%setup cell")
    return context


def _trust(context: ssl.SSLContext, name: str, options: dict[str, Any]) -> None:
    if name == _CERTIFI:
        from importlib.util import find_spec

        if find_spec(_CERTIFI) is None:
            context.load_default_certs()
        else:
            import certifi

            context.load_verify_locations(certifi.where())
    elif "cafile" in options and not os.path.exists(options["cafile"]):  # noqa: PTH110
        context.load_default_certs()  # the system's, wherever this one has them
    elif options.get("cadata") != b"":
        getattr(context, name)(**options)


def _set(context: ssl.SSLContext, settings: dict[str, Any]) -> None:
    rest = dict(settings)
    if ciphers := rest.pop("ciphers", None):
        context.set_ciphers(ciphers)
    if "verify_mode" in rest:
        context.check_hostname = False
        rest.setdefault("check_hostname", _usual(int(context.protocol))["check_hostname"])
    for name in _SETTINGS:
        if name in rest:
            setattr(context, name, rest[name])


@contextmanager
def _quietly() -> Iterator[None]:
    """Old protocols warn, though it is the user who chose them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
