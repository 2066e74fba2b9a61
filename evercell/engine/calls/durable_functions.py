"""Functions whose calls are durable: ``@step``, and ``call`` for somebody else's function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.functions import is_async
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import CallPolicy, Errors
from evercell.persisted import DECORATED

if TYPE_CHECKING:
    from evercell.engine.calls.checks import Check

F = TypeVar("F", bound=Callable[..., Any])


@overload
def step(function: F, /) -> F: ...
@overload
def step(
    function: None = None, /, *, name: str | None = None, key: Callable[..., str] | None = None,
    retries: int = 0, backoff: float = 1.0, longest_backoff: float = 60.0, jitter: float = 0.1,
    timeout: float | None = None, total_timeout: float | None = None, heartbeat_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    undo: Callable[..., Any] | None = None, approve: bool = False, limit: str | None = None,
    check: Any = None, tries: int | None = None, on_rejected: Literal["raise", "ask"] = "raise",
) -> Callable[[F], F]: ...  # fmt: skip


def step(
    function: Callable[..., Any] | None = None, /, *, name: str | None = None,
    key: Callable[..., str] | None = None,
    retries: int = 0, backoff: float = 1.0, longest_backoff: float = 60.0, jitter: float = 0.1,
    timeout: float | None = None, total_timeout: float | None = None, heartbeat_timeout: float | None = None,
    retry_on: Errors | Callable[[BaseException], bool] = Exception, give_up_on: Errors = (),
    undo: Callable[..., Any] | None = None, approve: bool = False, limit: str | None = None,
    check: Any = None, tries: int | None = None, on_rejected: Literal["raise", "ask"] = "raise",
) -> Any:  # fmt: skip
    """Make a function's calls durable: inside a ``%%step`` cell each is recorded once and replayed by value.

    Outside of one it is the plain function. ``key`` makes, from the arguments, the text by which a call is
    found again; without it the call is known by the function's name and how often it was called before.
    ``retries``, ``backoff``, ``longest_backoff``, ``jitter``, ``timeout``, ``total_timeout``,
    ``heartbeat_timeout`` (seconds), ``retry_on`` and ``give_up_on`` say how it is tried. ``undo`` is called
    with the result and the arguments, newest call first, when the run is abandoned with ``%abandon --undo``.
    ``approve=True``: a call with arguments that are new to its step asks a person first, and raises
    `Rejected` unless they approve. ``limit``: the key of a limit that all runs of the store share (``evercell
    limit set KEY --at-once 4``); each try holds a slot of it, and waits until it has one.
    ``check``: what a result has to pass, a JSON Schema, a pydantic model, or a function that returns True, False or
    what is wrong with it. One that does not pass is made again, up to ``tries`` (3) results in all, and the function
    is told why: its parameter ``feedback`` if it has one, and ``evercell.feedback()``. After the last `OutputRejected`
    is raised, or with ``on_rejected="ask"`` a person decides.
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
        limit,
    )
    options = {"name": name, "key": key, "undo": undo, "approve": approve, **policy.options()}
    checking = {"check": check, "tries": tries, "on_rejected": on_rejected}
    is_checked = check is not None or tries is not None or on_rejected != "raise"
    if is_checked:
        options |= checking

    def decorate(wrapped: Callable[..., Any]) -> Callable[..., Any]:
        made_check = _check_of(wrapped, **checking) if is_checked else None
        durable = DurableFunction(wrapped, name or wrapped.__name__, policy, key, undo, approve, made_check)
        made = durable.decorated()
        vars(made)[DECORATED] = ("step", wrapped, options)
        return made

    return decorate if function is None else decorate(function)


def _check_of(function: Callable[..., Any], **options: Any) -> Check | None:
    from evercell.engine.calls.checks import check_of

    return check_of(function, **options)


@dataclass(frozen=True, slots=True)
class DurableFunction:
    """A function and how its calls are made."""

    function: Callable[..., Any]
    name: str
    policy: CallPolicy
    key: Callable[..., str] | None = None
    undo: Callable[..., Any] | None = None
    approve: bool = False
    check: Check | None = None

    def decorated(self) -> Callable[..., Any]:
        """What a notebook calls."""
        if is_async(self.function):

            @functools.wraps(self.function)
            async def durable_async(*args: Any, **kwargs: Any) -> Any:
                return await self.call_async(args, kwargs)

            made: Callable[..., Any] = durable_async
        else:

            @functools.wraps(self.function)
            def durable(*args: Any, **kwargs: Any) -> Any:
                return self.call(args, kwargs)

            made = durable
        vars(made)[_DURABLE] = self
        return made

    def call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, key: str | None = None,
        body: Callable[..., Any] | None = None,
    ) -> Any:  # fmt: skip
        """Call it durably. ``key`` where it has none of its own; ``body`` does in another place what it does."""
        if self.key is not None:
            key = self.key(*args, **kwargs)
        if self.approve and (scope := current_scope()) is not None:
            arguments = scope.step.values.fingerprint(args, kwargs)
            scope.step.gate.require(self.name, arguments, written(args, kwargs))
        return call_sync(
            self.function,
            args,
            kwargs,
            name=self.name,
            key=key,
            policy=self.policy,
            undo=self.undo,
            body=body,
            check=self.check,
        )

    async def call_async(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], *, key: str | None = None,
        body: Callable[..., Any] | None = None,
    ) -> Any:  # fmt: skip
        """The same for a coroutine function, or one that ``body`` makes one."""
        if self.key is not None:
            key = self.key(*args, **kwargs)
        if self.approve and (scope := current_scope()) is not None:
            arguments = scope.step.values.fingerprint(args, kwargs)
            await scope.step.gate.require_async(self.name, arguments, written(args, kwargs))
        return await call_async(
            self.function,
            args,
            kwargs,
            name=self.name,
            key=key,
            policy=self.policy,
            undo=self.undo,
            body=body,
            check=self.check,
        )


_DURABLE = "__evercell_durable__"
"""Attribute of a function under ``@step``: its `DurableFunction`."""


def is_durable_as(function: Callable[..., Any], durable: DurableFunction) -> None:
    """A function that makes a durable call by itself: ``map`` makes this one in its place."""
    vars(function)[_DURABLE] = durable


def durable_function(function: Callable[..., Any], policy: CallPolicy | None = None) -> DurableFunction:
    """That of a function under ``@step``; any other function becomes one, tried as ``policy`` says."""
    known: DurableFunction | None = getattr(function, _DURABLE, None)
    if known is not None:
        return known
    plain = getattr(function, "__evercell_plain__", function)  # as 0.1.0 saved it
    policy = getattr(function, "__evercell_policy__", policy or CallPolicy())
    return DurableFunction(plain, str(getattr(function, "__name__", type(function).__name__)), policy)


def written(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Arguments as one would type them."""
    return ", ".join([*(repr(a) for a in args), *(f"{n}={a!r}" for n, a in kwargs.items())])


def call(
    function: Callable[..., Any], /, *args: Any, key: str | None = None, policy: CallPolicy | None = None,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """Call somebody else's function durably (await it where it is a coroutine function)."""
    name = getattr(function, "__name__", type(function).__name__)
    make = call_async if is_async(function) else call_sync
    return make(function, args, kwargs, name=name, key=key, policy=policy or CallPolicy())
