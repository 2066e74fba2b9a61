"""Requests that a step makes outside of what is recorded: each host is named once.

A step that asks one time is itself what is recorded. In one that asks again and again, or has durable calls, a kill
costs the answers that were there already.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

from evercell.engine.calls.ownership import Owner, current_owner
from evercell.engine.calls.tracebacks import passes_on

_watched: set[str] = set()
"""Names of the libraries that are watched."""

_named: set[tuple[str, str]] = set()
"""Run and host."""

refuse: Callable[[str], None] | None = None
"""Raises for requests that no call makes, where none may be made."""


def watch_requests() -> None:
    """Look at what httpx, httpx2 and urllib3 (which requests and others ask through) ask, if they are imported, once in
    a process.
    """
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and name not in _watched and hasattr(library, "HTTPTransport"):
            _watched.add(name)
            library.HTTPTransport.handle_request = _noting(library.HTTPTransport.handle_request)
            asks = library.AsyncHTTPTransport
            asks.handle_async_request = _noting(asks.handle_async_request)
    library = sys.modules.get("urllib3")
    if library is not None and "urllib3" not in _watched and hasattr(library, "HTTPConnectionPool"):
        _watched.add("urllib3")
        library.HTTPConnectionPool.urlopen = _noting_pool(library.HTTPConnectionPool.urlopen)


def _noting(ask: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(ask)
    @passes_on
    def ask_noted(transport: Any, request: Any) -> Any:
        _look_at(request.method, str(request.url.host), "client = evercell.record(client) keeps each answer")
        return ask(transport, request)

    return ask_noted


_inside = threading.local()
"""Of a request of urllib3, which makes itself anew after a redirect or a failure."""


def _noting_pool(ask: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(ask)
    @passes_on
    def ask_noted(pool: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if getattr(_inside, "asks", False):
            return ask(pool, method, *args, **kwargs)
        _look_at(method, str(pool.host), "@evercell.step on the function that asks keeps each answer")
        _inside.asks = True
        try:
            return ask(pool, method, *args, **kwargs)
        finally:
            _inside.asks = False

    return ask_noted


def _look_at(method: str, host: str, hint: str) -> None:
    owner = current_owner()
    if refuse is not None and (owner is None or owner.call is None):
        refuse(f"{method} {host}")
    if owner is not None and owner.call is None and method == "POST":
        scope = owner.scope
        scope.unrecorded += 1
        if scope.unrecorded > 1 or scope.executed or scope.replayed:
            _note(owner, host, hint)


def _note(owner: Owner, host: str, hint: str) -> None:
    step = owner.scope.step
    if (step.run_id, host) in _named:
        return
    _named.add((step.run_id, host))
    step.note(f"a request to {host} is not recorded: after a kill step {step.name} asks again. {hint}")
