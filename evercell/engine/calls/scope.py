"""The calls of one attempt at a step, and in which of them the present code runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import Any

from evercell.core.errors import UsageError
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.log import CallLog
from evercell.engine.calls.order import CallIdentity, CallOrder


class CallScope:
    """The calls of one attempt at a step: in which order they begin, and what is recorded of them."""

    def __init__(self, step: StepContext) -> None:
        self.step = step
        self.order = CallOrder()
        self.log = CallLog(step)

    @property
    def executed(self) -> int:
        """How many calls were executed so far."""
        return self.log.executed

    @property
    def replayed(self) -> int:
        """How many calls were replayed so far."""
        return self.log.replayed

    def begin(
        self, name: str, key: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> CallIdentity:
        """Give the call that begins now its identity."""
        arguments = self.step.values.fingerprint(args, kwargs)
        self.log.load()
        return self.order.identify(name, key, arguments, inside=path.get())

    def idempotency_key(self, identity: CallIdentity) -> str:
        """The same for every try at a call, in every attempt at its step: for systems outside."""
        step = self.step
        text = "\0".join((step.run_id, step.name, step.key.hex(), identity.key))
        return sha256(text.encode()).hexdigest()[:32]


# -- which scope the present code is in ----------------------------------------------------------

path: ContextVar[str] = ContextVar("path", default="")
"""Key of the call around the present one."""

_current: ContextVar[CallScope | None] = ContextVar("scope", default=None)
_of_process: list[CallScope] = []
"""The scope of the step that runs, for threads: they do not inherit context variables."""


def current_scope() -> CallScope | None:
    """The step that this code runs in, None outside of any."""
    scope = _current.get()
    if scope is None and _of_process:
        scope = _of_process[-1]
    return scope


def require_scope(name: str) -> CallScope:
    """The step that this code runs in; raises `UsageError` outside of any."""
    scope = current_scope()
    if scope is None:
        raise UsageError(
            f"evercell.{name}() belongs into a step.", hint="Put %%step NAME on the cell's first line."
        )
    return scope


@contextmanager
def calls_of(step: StepContext) -> Iterator[CallScope]:
    """While inside, calls are those of this step."""
    scope = CallScope(step)
    scope.order.start()
    token = _current.set(scope)
    _of_process.append(scope)
    try:
        yield scope
    finally:
        _of_process.remove(scope)
        _current.reset(token)
