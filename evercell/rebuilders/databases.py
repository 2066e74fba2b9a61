"""Engines of SQLAlchemy: made anew from their address, with the settings of their pool and their listeners. Sessions
that nothing is in: made anew on their engine.

A pool keeps its settings to itself. Under an SQLAlchemy that has one of these names no longer, that setting is named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evercell.state.typerules.hiding import SECRET_NAMES
from evercell.state.typerules.rebuilding import CannotRebuild, name_loss, rebuilds
from evercell.state.typerules.secrets import Secret

_IN_MEMORY = "use a database file, or fill it in a %%setup cell"
_AGAIN = "give it again in a %%setup cell"

_OF_POOLS = {
    "_max_overflow": "max_overflow",
    "_timeout": "pool_timeout",
    "_recycle": "pool_recycle",
    "_pre_ping": "pool_pre_ping",
    "_reset_on_return": "pool_reset_on_return",
    "_orig_logging_name": "pool_logging_name",
}
_OF_DIALECTS = {
    "_on_connect_isolation_level": "isolation_level",
    "_json_serializer": "json_serializer",
    "_json_deserializer": "json_deserializer",
}
_RETURNING = ("before_execute", "before_cursor_execute")
"""Events whose listeners SQLAlchemy wraps, unless they say what is to be executed instead."""
_OWN = ("create_engine.", "DefaultDialect.", "only_once.")
"""Of SQLAlchemy's own listeners, which each engine has."""


@rebuilds("sqlalchemy.engine.base.Engine")
def _engine(engine: Any) -> tuple[Any, ...]:
    if engine.url.get_backend_name() == "sqlite" and engine.url.database in (None, "", ":memory:"):
        raise CannotRebuild("an engine on a database in memory", _IN_MEMORY)
    return create_engine, (engine.url, _options(engine), tuple(_listeners(engine, engine.pool)))


def _options(engine: Any) -> dict[str, Any]:
    pool, dialect = engine.pool, engine.dialect
    options = {"echo": engine.echo, "execution_options": dict(engine.get_execution_options())}
    if engine.hide_parameters:
        options["hide_parameters"] = True
    if engine.logging_name:
        options["logging_name"] = engine.logging_name
    if type(pool) is not dialect.get_pool_class(engine.url):
        options["poolclass"] = type(pool)
    is_queue = "_overflow_lock" in vars(pool)
    for attribute, option in _OF_POOLS.items():
        if attribute in vars(pool) and (is_queue or attribute not in ("_max_overflow", "_timeout")):
            options[option] = vars(pool)[attribute]
    if is_queue:
        options |= {"pool_size": pool.size(), "pool_use_lifo": bool(getattr(pool._pool, "use_lifo", False))}
    options |= {
        new: vars(dialect)[old] for old, new in _OF_DIALECTS.items() if vars(dialect).get(old) is not None
    }
    return {**options, **_connecting(engine)}


def _connecting(engine: Any) -> dict[str, Any]:
    """How it connects where that is not told by its address."""
    creator = vars(engine.pool).get("_creator_arg")
    inside = _closure(creator)
    if creator is not None and "cparams" not in inside:
        return {"creator": creator}
    positions, names = engine.dialect.create_connect_args(engine.url)
    given = {n: v for n, v in inside.get("cparams", names).items() if n not in names or names[n] != v}
    if list(inside.get("cargs_tup", positions)) != list(positions):
        name_loss("connection arguments of an engine", "they are not those of its address", _AGAIN)
    hidden = {n: Secret(v) if n in SECRET_NAMES and isinstance(v, str) else v for n, v in given.items()}
    return {"connect_args": hidden} if hidden else {}


def _closure(function: Any) -> dict[str, Any]:
    code = getattr(function, "__code__", None)
    cells = getattr(function, "__closure__", None) or ()
    return {} if code is None else {n: c.cell_contents for n, c in zip(code.co_freevars, cells, strict=True)}


def _listeners(*targets: Any) -> Iterator[tuple[str, Any, bool]]:
    """Event, function and whether it says what is to be executed instead: of those that the user added."""
    for target in targets:
        dispatch = target.dispatch
        for event in dispatch._event_names:
            for function in list(getattr(dispatch, event)):
                yield from _listener(event, function)


def _listener(event: str, function: Any) -> Iterator[tuple[str, Any, bool]]:
    if not str(getattr(function, "__module__", "")).startswith("sqlalchemy."):
        yield event, function, event in _RETURNING
    elif (wrapped := _closure(function).get("orig_fn")) is not None:
        yield event, wrapped, False
    elif not str(getattr(function, "__qualname__", "")).startswith(_OWN):
        name_loss(f"{event!r} listener of an engine or session", "it does not tell how it was added", _AGAIN)


def create_engine(url: Any, options: dict[str, Any], listeners: tuple[Any, ...] = ()) -> Any:
    """An engine that connects when it is first used."""
    import sqlalchemy

    return _listening(sqlalchemy.create_engine(url, **options), listeners)


def _listening(target: Any, listeners: tuple[Any, ...]) -> Any:
    from sqlalchemy import event

    for name, function, returns in listeners:
        event.listen(target, name, function, **({"retval": True} if returns else {}))
    return target


@rebuilds("sqlalchemy.ext.asyncio.engine.AsyncEngine")
def _async_engine(engine: Any) -> tuple[Any, ...]:
    _, (url, options, listeners) = _engine(engine.sync_engine)
    return create_async_engine, (url, options, listeners)


def create_async_engine(url: Any, options: dict[str, Any], listeners: tuple[Any, ...] = ()) -> Any:
    """An asynchronous engine that connects when it is first used."""
    from sqlalchemy.ext.asyncio import create_async_engine as create

    engine = create(url, **options)
    _listening(engine.sync_engine, listeners)
    return engine


_IN_USE = "make it in a %%setup cell, or close() it: what is closed is kept"
_OF_OTHERS = ("identity_map", "hash_key")
_OWN_OF_SESSIONS = ("_query_cls", "_close_state")


@rebuilds("sqlalchemy.orm.session.Session", subclasses=True)
def _session(session: Any) -> tuple[Any, ...]:
    listeners = tuple(_listeners(session)) if "dispatch" in vars(session) else ()
    return make_session, (type(session), _settings(session), listeners)


def _settings(session: Any) -> dict[str, Any]:
    """All but what belongs to a transaction and to its objects."""
    if session.in_transaction():
        raise CannotRebuild("a session in the middle of a transaction", _IN_USE)
    if session.identity_map or session.new or session.deleted:
        raise CannotRebuild("a session with objects", _IN_USE)
    return {
        name: value
        for name, value in vars(session).items()
        if name in _OWN_OF_SESSIONS or not (name.startswith("_") or name in (*_OF_OTHERS, "dispatch"))
    }


def make_session(kind: Any, settings: dict[str, Any], listeners: tuple[Any, ...]) -> Any:
    """A session that begins a transaction when it is first used."""
    from sqlalchemy.orm import Session

    session = kind.__new__(kind)
    Session.__init__(session)
    vars(session).update(settings)
    return _listening(session, listeners)


@rebuilds("sqlalchemy.ext.asyncio.session.AsyncSession", subclasses=True)
def _async_session(session: Any) -> tuple[Any, ...]:
    _, (inner, settings, listeners) = _session(session.sync_session)
    settings = {name: value for name, value in settings.items() if name not in ("bind", "binds")}
    return make_async_session, (type(session), session.bind, session.binds, inner, settings, listeners)


def make_async_session(
    kind: Any, bind: Any, binds: Any, inner: Any, settings: dict[str, Any], listeners: tuple[Any, ...]
) -> Any:
    """An asynchronous session that begins a transaction when it is first used."""
    from sqlalchemy.ext.asyncio import AsyncSession

    session = kind.__new__(kind)
    AsyncSession.__init__(session, bind, binds=binds, sync_session_class=inner)
    vars(session.sync_session).update(settings)
    _listening(session.sync_session, listeners)
    return session
