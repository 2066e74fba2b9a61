"""Who is told of changes of an object of traitlets: its own way of being pickled forgets them."""

from __future__ import annotations

from typing import Any

Listener = tuple[str | None, str, Any]
"""Name of a trait (None: of any), kind of the change, and who is told."""


def listeners_of(value: Any) -> tuple[Listener, ...]:
    """Those that were added to the object itself. Those of its class are there again by themselves.

    Where traitlets keeps them elsewhere, there are none: they are forgotten, as when traitlets pickles it.
    """
    found = getattr(value, "_trait_notifiers", None)
    if not isinstance(found, dict):
        return ()
    return tuple(
        (name if isinstance(name, str) else None, kind, listener)
        for name, kinds in found.items()
        for kind, listeners in kinds.items()
        for listener in listeners
        if isinstance(kind, str) and not hasattr(listener, "instance_init") and not isinstance(listener, str)
    )
