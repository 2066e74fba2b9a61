"""What is told to code that is to do better: why its last result was rejected, or what a gate says of its step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_rejected: ContextVar[str | None] = ContextVar("evercell_rejected", default=None)


@contextmanager
def told(reason: str | None) -> Iterator[None]:
    """Inside, this is why the last result was rejected; None: none was."""
    token = _rejected.set(reason)
    try:
        yield
    finally:
        _rejected.reset(token)


def feedback() -> str | None:
    """Why the last result of the call that this code runs in was rejected (``@step(check=...)``); None: none was."""
    return _rejected.get()
