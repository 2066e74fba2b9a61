"""Which step, and which of its calls, the present code belongs to: those of whoever started it.

A context variable holds the owner. Tasks of asyncio inherit it, and so does what is handed to a loop. Threads and
pools inherit nothing, so `install` wraps ``Thread.start`` and what a pool takes work with: a thread belongs to the
step that started it, work to the step that handed it in, whoever made the pool. What outlives its step is outside of
any: its calls are plain ones, and never recorded under the step that happens to run then.

The wrappers are installed at the first step of the process and stay. Outside of steps they do nothing, so that
nobody's later wrapper has to be taken apart.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from evercell.core.errors import ForkedProcess, StepEnded, UsageError
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.logged_metrics import LoggedMetrics
from evercell.engine.calls.running_call import RunningCall
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.tracebacks import passes_on

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """The step that work belongs to, and the call of it that it was started in."""

    scope: CallScope
    call: RunningCall | None = None
    call_key: str = ""
    """The key of the call, empty for the cell itself."""

    @property
    def metrics(self) -> LoggedMetrics:
        """Where a metric that is logged now belongs."""
        return self.scope.metrics if self.call is None else self.call.metrics


_owner: ContextVar[Owner | None] = ContextVar("evercell_owner", default=None)


def current_owner() -> Owner | None:
    """The owner of the present code; None outside of any step, for what outlived its step, and in a forked child."""
    owner = _owner.get()
    return None if owner is None or owner.scope.has_ended or owner.scope.process != os.getpid() else owner


def starting_owner() -> Owner | None:
    """The owner of whoever started the present code, though its step may have ended by now."""
    return _owner.get()


def current_scope() -> CallScope | None:
    """The step that this code runs in, None outside of any."""
    owner = current_owner()
    return owner.scope if owner is not None else None


def require_scope(name: str) -> CallScope:
    """The step that this code runs in; raises `UsageError` outside of any."""
    scope = current_scope()
    if scope is None and _is_child_of_step:
        raise ForkedProcess(
            f"evercell.{name}() is not possible in a forked child of a step (process {os.getpid()}).",
            hint="Do it in the cell itself. (Functions under @evercell.step work in a child; they are not recorded.)",
        )
    if scope is None:
        raise UsageError(
            f"evercell.{name}() belongs into a step.", hint="Put %%step NAME on the cell's first line."
        )
    return scope


refuse_outside: Callable[[str], None] | None = None
"""Raises for calls outside of any step, where none may be executed."""


def note_late_call(name: str, *, is_harmless: bool = False) -> None:
    """Say, once for each step, that what it left behind still calls, and is not recorded.

    Raises `StepEnded` where the step did not complete, since its next attempt makes the call: of what a call under way
    does, which is recorded when it ends, and of what is ``is_harmless`` nothing is refused.
    """
    if refuse_outside is not None:
        refuse_outside(name)
    owner = _owner.get()
    if owner is None:
        return
    step = owner.scope.step
    if owner.scope.goes_on and owner.call is None and not is_harmless:
        raise StepEnded(
            f"{name}() is not called: step {step.name}, which left this thread or task behind, did not complete and "
            "calls it when it goes on.",
            hint="Let the step wait for what it starts: a pool in a `with`, asyncio.TaskGroup, evercell.aio.gather.",
        )
    if owner.scope.late_call_noted:
        return
    owner.scope.late_call_noted = True
    with suppress(Exception):  # that thread may have no page any more
        step.note(
            f"{name}() is called by a thread or task that step {step.name} left behind: it is executed, not recorded"
        )


@contextmanager
def calls_of(step: StepContext) -> Iterator[CallScope]:
    """While inside, calls are those of this step."""
    install()
    scope = CallScope(step)
    scope.order.start()
    token = _owner.set(Owner(scope))
    try:
        yield scope
    except BaseException:
        scope.goes_on = True
        raise
    finally:
        scope.has_ended = True
        _owner.reset(token)
        if scope.slots:
            scope.give_slots_back()


def enter_call(call: RunningCall) -> Token[Owner | None]:
    """The present code goes on inside of a call, until `leave_call`."""
    return _owner.set(Owner(call.scope, call, call.identity.key))


def leave_call(token: Token[Owner | None]) -> None:
    """The call has ended."""
    _owner.reset(token)


# -- threads and pools ---------------------------------------------------------------------------

_POOL_METHODS = ("apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
"""Of ``multiprocessing.pool.ThreadPool``; the others call one of these."""

_is_child_of_step = False
"""Whether this process was forked while a step ran in its parent."""

_wrapped: set[str] = set()
"""Names of the modules that are done."""


def install() -> None:
    """Wrap what starts threads and takes work, once in a process. (A module that nobody imported has no pools.)"""
    if "threading" not in _wrapped:
        _wrapped.add("threading")
        threading.Thread.start = _start(threading.Thread.start)  # type: ignore[method-assign]
        ThreadPoolExecutor.submit = _submit(ThreadPoolExecutor.submit)  # type: ignore[method-assign]
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_leave_in_child)
    pools = sys.modules.get("multiprocessing.pool")
    if pools is not None and "pools" not in _wrapped:
        _wrapped.add("pools")
        for name in _POOL_METHODS:
            setattr(pools.ThreadPool, name, _take_work(getattr(pools.ThreadPool, name)))


def _leave_in_child() -> None:
    """A forked child is no part of the step that it was forked in."""
    global _is_child_of_step
    _is_child_of_step = _is_child_of_step or _owner.get() is not None
    _owner.set(None)


@passes_on
def _run_as(owner: Owner | None, function: Function, /, *args: Any, **kwargs: Any) -> Any:
    token = _owner.set(owner)
    try:
        return function(*args, **kwargs)
    finally:
        _owner.reset(token)


def _start(start: Function) -> Function:
    """``Thread.start``: the thread is its starter's."""

    @wraps(start)
    def start_as_owner(thread: threading.Thread) -> Any:
        owner = _owner.get()
        if owner is None or thread.ident is not None:
            return start(thread)
        attributes, run = vars(thread), thread.run
        own_run = {"run": attributes["run"]} if "run" in attributes else {}

        def run_as_owner() -> None:
            _restore(attributes, own_run)
            _run_as(owner, run)

        attributes["run"] = run_as_owner
        try:
            return start(thread)
        except BaseException:
            _restore(attributes, own_run)
            raise

    return start_as_owner


def _restore(attributes: dict[str, Any], own_run: dict[str, Any]) -> None:
    attributes.pop("run", None)
    attributes.update(own_run)


def _submit(submit: Function) -> Function:
    """``ThreadPoolExecutor.submit``: the work is whose it was handed in by, the pool's threads are nobody's."""

    @wraps(submit)
    def submit_as_owner(pool: Any, /, *args: Any, **kwargs: Any) -> Any:
        owner = _owner.get()
        if owner is None or not args or _is_of_interpreters(pool):
            return submit(pool, *args, **kwargs)
        token = _owner.set(None)
        try:
            return submit(pool, partial(_run_as, owner, args[0]), *args[1:], **kwargs)
        finally:
            _owner.reset(token)

    return submit_as_owner


def _is_of_interpreters(pool: Any) -> bool:
    """Whether the work is pickled for another interpreter, which knows no steps."""
    return any(kind.__name__ == "InterpreterPoolExecutor" for kind in type(pool).__mro__)


def _take_work(method: Function) -> Function:
    """A method of ``ThreadPool``, whose threads may be anybody's."""

    @wraps(method)
    def take_as_owner(pool: Any, func: Function, *args: Any, **kwargs: Any) -> Any:
        return method(pool, partial(_run_as, _owner.get(), func), *args, **kwargs)

    return take_as_owner
