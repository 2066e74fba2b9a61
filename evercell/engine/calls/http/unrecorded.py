"""Requests that a step makes outside of what is recorded: each host is named once.

A step that asks one time is itself what is recorded. In one that asks again and again, or has durable calls, a kill
costs the answers that were there already.
"""

from __future__ import annotations

import sys
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
    """Look at what httpx and httpx2 ask, if they are imported, once in a process."""
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and name not in _watched and hasattr(library, "HTTPTransport"):
            _watched.add(name)
            library.HTTPTransport.handle_request = _noting(library.HTTPTransport.handle_request)
            asks = library.AsyncHTTPTransport
            asks.handle_async_request = _noting(asks.handle_async_request)


def _noting(ask: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    @wraps(ask)
    @passes_on
    def ask_noted(transport: Any, request: Any) -> Any:
        owner = current_owner()
        if refuse is not None and (owner is None or owner.call is None):
            refuse(f"{request.method} {request.url.host}")
        if owner is not None and owner.call is None and request.method == "POST":
            scope = owner.scope
            scope.unrecorded += 1
            if scope.unrecorded > 1 or scope.executed or scope.replayed:
                _note(owner, str(request.url.host))
        return ask(transport, request)

    return ask_noted


def _note(owner: Owner, host: str) -> None:
    step = owner.scope.step
    if (step.run_id, host) in _named:
        return
    _named.add((step.run_id, host))
    step.note(
        f"a request to {host} is not recorded: after a kill step {step.name} asks again. "
        "client = evercell.record(client) keeps each answer"
    )
