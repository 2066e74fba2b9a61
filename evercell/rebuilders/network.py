"""HTTP clients: what is not kept is their pools' connections, which are made when they are needed.

A client, and whoever holds one (OpenAI's, Anthropic's, an agent), is kept by a state of its own: settings, transports,
proxies, hooks. What pools keep to themselves changes with their library; without one of these names, a pool is kept
with what it has, and what cannot be kept in it is named.
"""

from __future__ import annotations

import http.client
from collections import OrderedDict
from threading import RLock
from typing import Any

from evercell.state.typerules.rebuilding import CannotRebuild, as_it_is, rebuilds

_SETUP = "make it in a %%setup cell, which runs in every new kernel"


def _present(value: Any, **instead: Any) -> dict[str, Any]:
    """Those attributes that it has."""
    return {name: new for name, new in instead.items() if name in vars(value)}


# -- httpx and httpx2, whose pools are those of httpcore ---------------------------------------------


@rebuilds(
    "httpcore.ConnectionPool",
    "httpcore.AsyncConnectionPool",
    "httpcore2.ConnectionPool",
    "httpcore2.AsyncConnectionPool",
    subclasses=True,
)
def _httpcore(pool: Any) -> tuple[Any, ...]:
    state: dict[str, Any] = {"_connections": [], "_requests": []}
    if (lock := vars(pool).get("_optional_thread_lock")) is not None:
        state["_optional_thread_lock"] = type(lock)()
    return as_it_is(pool, **_present(pool, **state))


def make_httpx(name: str, settings: dict[str, Any], auth: Any, event_hooks: dict[str, Any]) -> Any:
    """A client with these settings: how those were saved that evercell 0.1 saved."""
    import httpx

    given = dict(settings)
    cookies = httpx.Cookies()
    for cookie in given.pop("cookies"):
        cookies.set(cookie[0], cookie[1], domain=cookie[2], path=cookie[3])
    timeout = httpx.Timeout(**given.pop("timeout"))
    return getattr(httpx, name)(**given, cookies=cookies, timeout=timeout, auth=auth, event_hooks=event_hooks)


# -- requests, on urllib3 ------------------------------------------------------------------------


@rebuilds("requests.sessions.Session", "requests.adapters.HTTPAdapter", subclasses=True)
def _requests(session: Any) -> tuple[Any, ...]:
    """With all that it has: its own way of being pickled leaves out what a user or a subclass added."""
    reduced = session.__reduce_ex__(5)
    state = reduced[2] if len(reduced) > 2 and isinstance(reduced[2], dict) else {}
    own = {name: value for name, value in vars(session).items() if name not in state}
    return make_whole, (type(session),), {**state, **own}, None, None, fill_whole


def make_requests_session() -> Any:
    """A session that is filled with what the saved one had: of evercell 0.1."""
    import requests

    return requests.Session()


def make_whole(kind: Any) -> Any:
    """An object of a class without a call of it."""
    return kind.__new__(kind)


def fill_whole(made: Any, state: dict[str, Any]) -> None:
    """All of its attributes as they were, past what its class would make of them."""
    made.__dict__.update(state)


@rebuilds("urllib3._collections.RecentlyUsedContainer", subclasses=True)
def _recently_used(pools: Any) -> tuple[Any, ...]:
    """The pools of a manager: by host, each made when it is needed."""
    return as_it_is(pools, **_present(pools, _container=OrderedDict(), lock=RLock()))


@rebuilds("urllib3.connectionpool.HTTPConnectionPool", subclasses=True)
def _urllib3(pool: Any) -> tuple[Any, ...]:
    connections = pool.pool
    if connections is not None:  # None: it was closed
        new = type(connections)(connections.maxsize)
        for _ in range(connections.maxsize):
            new.put(None)
        connections = new
    return as_it_is(pool, pool=connections)


@rebuilds("http.client.HTTPConnection", subclasses=True)
def _connection(connection: http.client.HTTPConnection) -> tuple[Any, ...]:
    """Not connected: it connects with its next request."""
    response = "_HTTPConnection__response"
    state: dict[str, Any] = {"sock": None, response: None, "_HTTPConnection__state": "Idle", "_buffer": []}
    return as_it_is(connection, **_present(connection, **state))


# -- aiohttp: who is told of requests, and headers of answers -------------------------------------------


@rebuilds("aiosignal.Signal")
def _signal(signal: Any) -> tuple[Any, ...]:
    return make_signal, (type(signal),), (signal._owner, list(signal), signal.frozen), None, None, fill_signal


def make_signal(kind: Any) -> Any:
    """A signal of nobody that nobody listens to yet."""
    return kind(None)


def fill_signal(signal: Any, state: tuple[Any, list[Any], bool]) -> None:
    """Whose it is, who is told, and whether more can be."""
    signal._owner, listeners, is_frozen = state
    signal.extend(listeners)
    if is_frozen:
        signal.freeze()


# -- Redis -----------------------------------------------------------------------------------------


@rebuilds("redis.connection.ConnectionPool", "redis.asyncio.connection.ConnectionPool", subclasses=True)
def _redis(pool: Any) -> tuple[Any, ...]:
    """Without its connections: those that somebody holds (a subscription) are that one's to lose."""
    state: dict[str, Any] = {"_available_connections": [], "_in_use_connections": set(), "_connections": []}
    if (
        waiting := vars(pool).get("pool")
    ) is not None:  # a blocking one: made anew by the process that it is new to
        state["pool"] = type(waiting)(waiting.maxsize)
    return as_it_is(pool, **_present(pool, **state, _created_connections=0))


# -- gRPC ----------------------------------------------------------------------------------------


@rebuilds("grpc._channel.Channel", "grpc.aio._channel.Channel", "grpc._cython.cygrpc.Channel")
def _grpc(channel: Any) -> tuple[Any, ...]:
    inside = getattr(channel, "_channel", channel)
    target = inside.target() if hasattr(inside, "target") else b""
    to = f" to {target.decode(errors='replace')}" if isinstance(target, bytes) and target else ""
    raise CannotRebuild(f"a gRPC channel{to}, which does not tell its credentials", _SETUP)
