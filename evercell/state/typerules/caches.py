"""``functools.lru_cache`` with what it remembers: a call that was paid for is not made again.

Nothing tells what is in such a cache but the collector's list of what it refers to: its arguments and results in
the order of their last use. A new one is filled by calls, which a function in the place of its own answers.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable
from typing import Any

from evercell.state.typerules import sentinels

Reduced = tuple[Any, ...]
Entry = tuple[tuple[Any, ...], dict[str, Any], Any]
"""Positional arguments, keyword arguments, result."""

_MOST_COUNTED = 10_000
"""Hits and misses up to which they are counted again."""


def reduce_cache(cache: Any, is_kept: Callable[[Any], bool] | None) -> Reduced | None:
    """How a cached function is taken apart; None for one that its module has.

    What was remembered of a call whose result cannot be kept (a client, a connection) is left out: the next
    call makes it anew. ``is_kept`` None: all of it is left out.
    """
    if (
        cache.__module__ != "__main__"
        and sentinels.find(str(cache.__module__), str(cache.__qualname__), None) is cache
    ):
        return None
    info, parameters = cache.cache_info(), cache.cache_parameters()
    *found, table, function, mark, _, _, beside = gc.get_referents(cache)
    if type(table) is not dict or len(table) != info.currsize or type(mark) is not object:
        raise ValueError("what this Python keeps in a cache is not known")
    pairs = list(table.items()) if info.maxsize is None else _in_order(found, len(table))
    entries = [(*_arguments(key, mark, parameters["typed"]), result) for key, result in pairs]
    entries = [entry for entry in entries if is_kept is not None and is_kept(entry)]
    counts = (min(info.hits, _MOST_COUNTED), min(info.misses - len(entries), _MOST_COUNTED))
    counts = counts if is_kept is not None else (0, 0)
    function = beside.get("__wrapped__", function)
    own = {n: v for n, v in beside.items() if n not in _WRAPPED and getattr(function, n, _NOTHING) is not v}
    state = (tuple(entries), counts, own)
    return make_filled_cache, (function, parameters), state, None, None, fill_cache


_NOTHING = object()
_WRAPPED = ("__wrapped__", "cache_parameters")


def _in_order(found: list[Any], size: int) -> list[tuple[Any, Any]]:
    """Keys and results of a bounded cache. The collector is told of a key, its result and their holder's type."""
    holder = found[-1] if size else None
    ends = [number for number, part in enumerate(found) if part is holder]
    pairs = [(found[number - 2], found[number - 1]) for number in ends[-size:]] if size else []
    if len(pairs) != size or any(type(key).__hash__ is None for key, _ in pairs):
        raise ValueError("what this Python keeps in a cache is not known")
    return pairs


def _arguments(key: Any, mark: Any, typed: bool) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that a key of the cache stands for."""
    if type(key) is not tuple:
        return (key,), {}
    at = next((number for number, part in enumerate(key) if part is mark), None)
    if at is None:
        return (key[: len(key) // 2] if typed else key), {}
    rest = key[at + 1 :]
    names = (len(rest) - at) // 3 if typed else len(rest) // 2
    pairs = rest[: 2 * names]
    return key[:at], dict(zip(pairs[::2], pairs[1::2], strict=True))


def make_filled_cache(function: Any, parameters: dict[str, Any]) -> Any:
    """A cached function that remembers nothing yet. It calls by way of a `functools.partial`, which can be
    turned to another function while it is filled.
    """
    return functools.update_wrapper(functools.lru_cache(**parameters)(functools.partial(function)), function)


def fill_cache(cache: Any, state: tuple[tuple[Entry, ...], tuple[int, int], dict[str, Any]]) -> None:
    """What a cached function remembers, its counts and attributes."""
    entries, (hits, misses), own = state
    vars(cache).update(own)
    calls: Any = next(part for part in gc.get_referents(cache) if type(part) is functools.partial)
    function = calls.func
    result: Any = None
    try:
        calls.__setstate__((lambda *_, **__: result, (), {}, {}))
        for positional, named, result in entries:  # noqa: B007  the function above answers with it
            cache(*positional, **named)
        for _ in range(hits if entries else 0):
            cache(*entries[-1][0], **entries[-1][1])
        calls.__setstate__((_refuse, (), {}, {}))
        for _ in range(misses):
            try:
                cache(_refuse, _refuse)
            except LookupError:
                continue
    finally:
        calls.__setstate__((function, (), {}, {}))


def _refuse(*_: Any) -> None:
    raise LookupError
