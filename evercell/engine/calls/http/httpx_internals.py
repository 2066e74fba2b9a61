"""Where clients of httpx and httpx2 have their transports."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from evercell.core.errors import UsageError

_CLIENTS = ("Client", "AsyncClient")


def is_client(value: object) -> bool:
    """Whether this is a client of httpx or httpx2, if one of them is imported."""
    for name in ("httpx", "httpx2"):
        library = sys.modules.get(name)
        if library is not None and isinstance(value, tuple(getattr(library, kind) for kind in _CLIENTS)):
            return True
    return False


def replace_transports(client: Any, wrap: Callable[[Any], Any]) -> None:
    """Have a client ask through ``wrap(transport)``, for each of its transports."""
    attributes = vars(client)
    if "_transport" not in attributes or "_mounts" not in attributes:
        raise UsageError(
            f"{type(client).__module__} is a version that evercell does not know: its clients keep their transports "
            "elsewhere.",
            hint="Make the client with its transport: httpx.Client(transport=evercell.transport()).",
        )
    attributes["_mounts"] = {
        pattern: None if transport is None else wrap(transport)
        for pattern, transport in attributes["_mounts"].items()
    }
    attributes["_transport"] = wrap(attributes["_transport"])
