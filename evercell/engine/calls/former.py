"""What functions under ``@step`` call that were saved by 0.1.0: it saved its own code with them, which names these."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

from evercell.engine.calls.durable_functions import written
from evercell.engine.calls.ownership import current_scope


def ask_leave(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """``@step(approve=True)`` before a call."""
    scope = current_scope()
    if scope is not None:
        scope.step.gate.require(name, scope.step.values.fingerprint(args, kwargs), written(args, kwargs))


async def ask_leave_async(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """The same before a coroutine function's call."""
    scope = current_scope()
    if scope is not None:
        arguments = scope.step.values.fingerprint(args, kwargs)
        await scope.step.gate.require_async(name, arguments, written(args, kwargs))


def as_coroutine(
    function: Callable[..., Any], gate: Callable[..., Awaitable[None]] | None
) -> Callable[..., Any]:
    """A durable coroutine function."""

    @functools.wraps(function)
    async def durable(*args: Any, **kwargs: Any) -> Any:
        if gate is not None:
            await gate(args, kwargs)
        return await function(*args, **kwargs)

    return durable
