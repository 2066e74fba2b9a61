"""What is told to code that is to do better: why its last result was rejected, or what a gate says of its step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from evercell.engine.calls.ownership import current_scope

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
    """What is to be done better; None: nothing is known.

    In a call of ``@step(check=...)`` it says why the last result was rejected, and elsewhere in a step what its gates
    say of it (``evercell.gate(..., then="feedback")``).
    """
    reason, scope = _rejected.get(), current_scope()
    if reason is not None or scope is None or scope.watch is None:
        return reason
    scope.watch.look()
    return scope.watch.feedback()


async def feedback_async() -> str | None:
    """The same without holding up the loop."""
    scope = current_scope()
    if _rejected.get() is None and scope is not None and scope.watch is not None:
        await scope.watch.look_async()
    return feedback()
