"""What a notebook calls: ``@step``, ``call``, and what is durable by itself."""

from __future__ import annotations

import datetime
import functools
import random as _random
import uuid as _uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

from evercell.engine.calls.calling import call_async, call_sync, is_async
from evercell.engine.calls.policy import CallPolicy, Errors
from evercell.persisted import DECORATED

F = TypeVar("F", bound=Callable[..., Any])


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    function: None = None,
    /,
    *,
    name: str | None = None,
    key: Callable[..., str] | None = None,
    retries: int = 0,
    backoff: float = 1.0,
    jitter: float = 0.1,
    timeout: float | None = None,
    total_timeout: float | None = None,
    heartbeat_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception,
    give_up_on: Errors = (),
    undo: Callable[..., Any] | None = None,
    approve: bool = False,
) -> Callable[[F], F]: ...


def step(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    key: Callable[..., str] | None = None,
    undo: Callable[..., Any] | None = None,
    approve: bool = False,
    **policy: Any,
) -> Any:
    """Make a function's calls durable: inside a ``%%step`` cell each is recorded once and replayed by value.

    Outside of one it is the plain function. ``key`` makes, from the arguments, the text by which a call is
    found again; without it the call is known by the function's name and how often it was called before.
    ``retries``, ``backoff``, ``jitter``, ``timeout``, ``total_timeout``, ``heartbeat_timeout`` (seconds),
    ``retry_on`` and ``give_up_on`` say how it is tried. ``undo`` is called with the result and the arguments,
    newest call first, when the run is abandoned with ``%abandon --undo``. ``approve=True``: a call with
    arguments that are new to its step asks a person first, and raises `Rejected` unless they approve.
    """
    tried = CallPolicy(**policy)

    def decorate(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        called = name or wrapped.__name__
        make = call_async if is_async(wrapped) else call_sync

        @functools.wraps(wrapped)
        def durable(*args: Any, **kwargs: Any) -> Any:
            place = key(*args, **kwargs) if key is not None else None
            if approve and make is call_sync:
                _require_approval(called, args, kwargs)
            return make(wrapped, args, kwargs, name=called, key=place, policy=tried, undo=undo)

        gate = functools.partial(_require_approval_async, called) if approve else None
        made = _as_coroutine(durable, gate) if make is call_async else durable
        vars(made).update(__evercell_plain__=wrapped, __evercell_policy__=tried)
        options = {"name": name, "key": key, "undo": undo, "approve": approve, **policy}
        vars(made)[DECORATED] = ("step", wrapped, options)
        return made

    return decorate if function is None else decorate(function)


def _require_approval(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    from evercell.engine.approvals.gate import require_call_approval
    from evercell.engine.calls.scope import current_scope

    scope = current_scope()
    if scope is not None:
        require_call_approval(name, scope.values.fingerprint(args, kwargs), _told(args, kwargs))


async def _require_approval_async(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    from evercell.engine.approvals.gate import require_call_approval_async
    from evercell.engine.calls.scope import current_scope

    scope = current_scope()
    if scope is not None:
        await require_call_approval_async(name, scope.values.fingerprint(args, kwargs), _told(args, kwargs))


def _told(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return ", ".join([*(repr(a) for a in args), *(f"{n}={a!r}" for n, a in kwargs.items())])


def _as_coroutine(
    function: Callable[..., Any], gate: Callable[..., Awaitable[None]] | None
) -> Callable[..., Any]:
    """Others are to see that it makes something to await."""

    @functools.wraps(function)
    async def durable(*args: Any, **kwargs: Any) -> Any:
        if gate is not None:
            await gate(args, kwargs)
        return await function(*args, **kwargs)

    return durable


def call(
    function: Callable[..., Any], /, *args: Any, key: str | None = None, policy: CallPolicy | None = None,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """Call somebody else's function durably (await it where it is a coroutine function)."""
    make = call_async if is_async(function) else call_sync
    name = getattr(function, "__name__", type(function).__name__)
    return make(function, args, kwargs, name=name, key=key, policy=policy or CallPolicy())


_ONCE = CallPolicy()


def now(tz: datetime.tzinfo | None = datetime.UTC) -> datetime.datetime:
    """The present moment; the same one when the step goes on after a kill."""
    made: datetime.datetime = call_sync(_moment, (), {}, name="now", key=None, policy=_ONCE)
    return made.astimezone(tz)


def random() -> float:
    """A number in [0, 1); the same one when the step goes on after a kill."""
    return float(call_sync(_random.SystemRandom().random, (), {}, name="random", key=None, policy=_ONCE))


def uuid() -> _uuid.UUID:
    """A new UUID; the same one when the step goes on after a kill."""
    made: _uuid.UUID = call_sync(_uuid.uuid4, (), {}, name="uuid", key=None, policy=_ONCE)
    return made


def _moment() -> datetime.datetime:
    from evercell.engine.calls.scope import current_scope

    scope = current_scope()
    return scope.workspace.clock() if scope is not None else datetime.datetime.now(datetime.UTC)
