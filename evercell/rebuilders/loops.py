"""What belongs to an event loop: idle primitives, futures that are done, sessions of aiohttp.

A loop itself is the one of the kernel that cells run in: what was bound to it is bound to the loop of the next kernel.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict, defaultdict, deque
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, as_it_is, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"
_AWAIT = "await it inside the step, and keep its result"


@rebuilds(
    "asyncio.locks.Lock", "asyncio.locks.Event", "asyncio.locks.Condition", "asyncio.locks.Semaphore",
    "asyncio.locks.BoundedSemaphore", "asyncio.locks.Barrier",
    "asyncio.queues.Queue", "asyncio.queues.PriorityQueue", "asyncio.queues.LifoQueue",
    subclasses=True,
)  # fmt: skip
def _primitive(primitive: Any) -> tuple[Any, ...]:
    """As it stands, where nothing waits for it. It is bound to a loop when something first does."""
    state = vars(primitive)
    if state.get("_locked"):
        raise CannotRebuild("a lock that is held", "release it before the step ends")
    waiting = [state.get(name) for name in ("_waiters", "_getters", "_putters")]
    if any(any(not waiter.done() for waiter in waiters) for waiters in waiting if waiters):
        raise CannotRebuild("something that tasks wait for", _AWAIT)
    names = [name for name in ("_waiters", "_getters", "_putters") if state.get(name)]
    return as_it_is(primitive, _loop=None, **{name: type(state[name])() for name in names})


@rebuilds("_asyncio.Future", "asyncio.futures.Future")
def _future(future: Any) -> tuple[Any, ...]:
    if not future.done():
        raise CannotRebuild("a future that is not done", _AWAIT)
    if future.cancelled():
        return make_future, ("cancelled", None, future.get_loop())
    if (error := future.exception()) is not None:
        return make_future, ("failed", error, future.get_loop())
    return make_future, ("done", future.result(), future.get_loop())


def make_future(how: str, value: Any, loop: Any) -> Any:
    """A future that is done."""
    future: asyncio.Future[Any] = asyncio.Future(loop=loop)
    if how == "cancelled":
        future.cancel()
    elif how == "failed":
        future.set_exception(value)
        future.exception()  # looked at: nothing says that it never was
    else:
        future.set_result(value)
    return future


@rebuilds("asyncio.events.AbstractEventLoop", subclasses=True)
def _loop(loop: Any) -> tuple[Any, ...]:
    if loop is not _running_loop():
        kind = "an event loop that is closed" if loop.is_closed() else "an event loop of its own"
        raise CannotRebuild(kind, "use the kernel's own: await in the cell")
    return current_loop, ()


def _running_loop() -> Any:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def current_loop() -> Any:
    """The loop that cells run in."""
    running = _running_loop()
    if running is not None or sys.version_info < (3, 14):
        return running or asyncio.get_event_loop_policy().get_event_loop()
    try:
        return asyncio.get_event_loop()
    except RuntimeError:  # Python makes none by itself any more
        made = asyncio.new_event_loop()
        asyncio.set_event_loop(made)
        return made


# -- anyio ---------------------------------------------------------------------------------------


@rebuilds("anyio.Semaphore", "anyio.CapacityLimiter", subclasses=True)
def _anyio(primitive: Any) -> tuple[Any, ...]:
    """Those whose class asks for an argument to be made, which it does not need."""
    state = _slots_and_attributes(primitive)
    if state.get("_waiters") or state.get("_wait_queue"):
        raise CannotRebuild("something that tasks wait for", _AWAIT)
    if state.get("_borrowers"):
        raise CannotRebuild("a limit of which some is taken", "release it before the step ends")
    return make_bare, (type(primitive),), state, None, None, fill_bare


def _slots_and_attributes(value: Any) -> dict[str, Any]:
    slots = [
        name
        for base in type(value).__mro__
        for name in vars(base).get("__slots__", ())
        if name != "__weakref__"
    ]
    return {
        **{name: getattr(value, name) for name in slots if hasattr(value, name)},
        **getattr(value, "__dict__", {}),
    }


def make_bare(kind: type) -> Any:
    """An object of a class, with nothing in it."""
    return object.__new__(kind)


def fill_bare(made: Any, state: dict[str, Any]) -> None:
    """Its attributes and slots."""
    for name, value in state.items():
        object.__setattr__(made, name, value)


# -- aiohttp -------------------------------------------------------------------------------------


@rebuilds("aiohttp.connector.BaseConnector", subclasses=True)
def _connector(connector: Any) -> tuple[Any, ...]:
    """Its settings and its loop; not its connections, nor what waits for one."""
    empty: dict[str, Any] = {
        "_conns": defaultdict(deque),
        "_acquired": set(),
        "_acquired_per_host": defaultdict(set),
        "_waiters": defaultdict(OrderedDict),
        "_cleanup_handle": None,
        "_cleanup_closed_handle": None,
        "_cleanup_closed_transports": [],
        "_resolve_host_tasks": set(),
        "_throttle_dns_futures": {},
        "_source_traceback": None,
    }
    return as_it_is(connector, **{name: new for name, new in empty.items() if name in vars(connector)})


@rebuilds("aiohttp.connector._DNSCacheTable")
def _addresses(table: Any) -> tuple[Any, ...]:
    """They are looked up again."""
    return as_it_is(table, _addrs_rr=OrderedDict(), _timestamps={})
