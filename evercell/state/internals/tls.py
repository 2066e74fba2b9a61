"""What an `ssl.SSLContext` was told and does not tell again: folders of authorities, its own certificate, protocols.

From the moment on that `watch` is called, each context's calls are noted. Of a context made before, nothing is known
but what it tells itself.
"""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any
from weakref import WeakKeyDictionary

Call = tuple[str, tuple[Any, ...], dict[str, Any]]

_WRITE_ONLY = (
    "load_verify_locations",
    "load_default_certs",
    "set_default_verify_paths",
    "load_cert_chain",
    "set_alpn_protocols",
    "set_npn_protocols",
    "set_ecdh_curve",
    "load_dh_params",
    "set_psk_client_callback",
    "set_psk_server_callback",
    "set_ciphers",
)
"""Methods of a context whose effect nothing tells afterwards, or not all of it."""

_calls: WeakKeyDictionary[Any, list[Call]] = WeakKeyDictionary()
_MARK = "__evercell_notes__"


def watch() -> None:
    """Note the calls of all contexts that are made from here on."""
    kind = plain_kind()
    if not hasattr(kind.__new__, _MARK):
        kind.__new__ = _noting_new(kind.__new__)  # type: ignore[method-assign]
    for name in _WRITE_ONLY:
        method = getattr(kind, name, None)
        if method is not None and not hasattr(method, _MARK):
            setattr(kind, name, _noting(name, method))


def _noting_new(make: Callable[..., Any]) -> Any:
    @wraps(make)
    def noted(*args: Any, **kwargs: Any) -> Any:
        made = make(*args, **kwargs)
        _calls.setdefault(made, [])
        return made

    setattr(noted, _MARK, True)
    return staticmethod(noted)


def _noting(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        known = _calls.get(self)
        before = None if known is None else len(known)
        result = method(self, *args, **kwargs)
        known = _calls.setdefault(self, [])
        del known[before or 0 :]  # what it called itself
        known.append((name, args, kwargs))
        return result

    setattr(noted, _MARK, True)
    return noted


def plain_kind() -> type[ssl.SSLContext]:
    """The class of Python's own, where truststore's stands in its place, too."""
    return next((kind for kind in ssl.SSLContext.__mro__ if kind.__module__ == "ssl"), ssl.SSLContext)


def calls_of(context: Any) -> list[Call] | None:
    """The calls noted of a context, in order; None where it was made before they were noted."""
    known = _calls.get(inner(context))
    return None if known is None else list(known)


def inner(context: Any) -> Any:
    """The context that one of truststore's keeps inside."""
    return vars(context).get("_ctx", context)


def certifi_file() -> str | None:
    """Where the package certifi, if it is loaded, has the certificates of all public authorities."""
    certifi = sys.modules.get("certifi")
    return None if certifi is None else os.fspath(certifi.where())
