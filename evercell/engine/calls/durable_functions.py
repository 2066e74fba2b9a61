"""Functions whose calls are durable: ``@step``, and ``call`` for somebody else's function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, overload

from evercell.engine.calls.calling import call_async, call_sync, is_async
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import CallPolicy, Errors
from evercell.persisted import DECORATED

F = TypeVar("F", bound=Callable[..., Any])


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    function: None = None, /, *, name: str | None = None, key: Callable[..., str] | None = None,
    retries: int = 0, backoff: float = 1.0, longest_backoff: float = 60.0, jitter: float = 0.1,
    timeout: float | None = None, total_timeout: float | None = None, heartbeat_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    undo: Callable[..., Any] | None = None, approve: bool = False,
) -> Callable[[F], F]: ...  # fmt: skip


def step(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None,
    key: Callable[..., str] | None = None,
    retries: int = 0, backoff: float = 1.0, longest_backoff: float = 60.0, jitter: float = 0.1,
    timeout: float | None = None, total_timeout: float | None = None, heartbeat_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    undo: Callable[..., Any] | None = None, approve: bool = False,
) -> Any:  # fmt: skip
    """Make a function's calls durable: inside a ``%%step`` cell each is recorded once and replayed by value.

    Outside of one it is the plain function. ``key`` makes, from the arguments, the text by which a call is
    found again; without it the call is known by the function's name and how often it was called before.
    ``retries``, ``backoff``, ``longest_backoff``, ``jitter``, ``timeout``, ``total_timeout``,
    ``heartbeat_timeout`` (seconds), ``retry_on`` and ``give_up_on`` say how it is tried. ``undo`` is called
    with the result and the arguments, newest call first, when the run is abandoned with ``%abandon --undo``.
    ``approve=True``: a call with arguments that are new to its step asks a person first, and raises
    `Rejected` unless they approve.
    """
    policy = CallPolicy(
        retries,
        backoff,
        longest_backoff,
        jitter,
        timeout,
        total_timeout,
        heartbeat_timeout,
        retry_on,
        give_up_on,
    )
    options = {"name": name, "key": key, "undo": undo, "approve": approve, **policy.options()}

    def decorate(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        make = _durable_coroutine if is_async(wrapped) else _durable
        durable = make(wrapped, name or wrapped.__name__, key, policy, undo, approve)
        vars(durable).update(__evercell_plain__=wrapped, __evercell_policy__=policy)
        vars(durable)[DECORATED] = ("step", wrapped, options)
        return durable

    return decorate if function is None else decorate(function)


def _durable(
    function: Callable[..., Any], name: str, key: Callable[..., str] | None, policy: CallPolicy,
    undo: Callable[..., Any] | None, approve: bool,
) -> Callable[..., Any]:  # fmt: skip
    @functools.wraps(function)
    def durable(*args: Any, **kwargs: Any) -> Any:
        own_key = key(*args, **kwargs) if key is not None else None
        if approve and (scope := current_scope()) is not None:
            arguments = scope.step.values.fingerprint(args, kwargs)
            scope.step.gate.require(name, arguments, written(args, kwargs))
        return call_sync(function, args, kwargs, name=name, key=own_key, policy=policy, undo=undo)

    return durable


def _durable_coroutine(
    function: Callable[..., Any], name: str, key: Callable[..., str] | None, policy: CallPolicy,
    undo: Callable[..., Any] | None, approve: bool,
) -> Callable[..., Any]:  # fmt: skip
    @functools.wraps(function)
    async def durable(*args: Any, **kwargs: Any) -> Any:
        own_key = key(*args, **kwargs) if key is not None else None
        if approve and (scope := current_scope()) is not None:
            arguments = scope.step.values.fingerprint(args, kwargs)
            await scope.step.gate.require_async(name, arguments, written(args, kwargs))
        return await call_async(function, args, kwargs, name=name, key=own_key, policy=policy, undo=undo)

    return durable


def written(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Arguments as one would type them."""
    return ", ".join([*(repr(a) for a in args), *(f"{n}={a!r}" for n, a in kwargs.items())])


def call(
    function: Callable[..., Any], /, *args: Any, key: str | None = None, policy: CallPolicy | None = None,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """Call somebody else's function durably (await it where it is a coroutine function)."""
    make = call_async if is_async(function) else call_sync
    name = getattr(function, "__name__", type(function).__name__)
    return make(function, args, kwargs, name=name, key=key, policy=policy or CallPolicy())
