"""The httpx clients below an object: an SDK's client, a chat model, an agent."""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from typing import Any

from evercell.engine.calls.http.httpx_internals import is_client, replace_transports

_FARTHEST = 8
"""Attributes away from the object."""

_MOST = 20_000
"""Objects that are looked at."""

_PLAIN = (str, bytes, int, float, complex, type(None), type, types.ModuleType, types.FunctionType)
"""What holds no client of its own: a function's globals are everybody's."""

_WRITTEN_IN_PYTHON = 1 << 9
"""Flag of classes that are not the interpreter's own (``Py_TPFLAGS_HEAPTYPE``)."""


Wrap = Callable[[Any], Any]
"""Makes a recording transport of another one."""


class RecordingFactory:
    """Makes clients as another factory does, and records them: who moves to another loop makes a client anew."""

    def __init__(self, make: Callable[..., Any], wrap: Wrap) -> None:
        self.make = make
        self.wrap = wrap

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        client = self.make(*args, **kwargs)
        record_clients(client, self.wrap)
        return client


def record_clients(holder: object, wrap: Wrap) -> int:
    """Replace the transports of all httpx clients that an object has, at any depth; returns how many there were."""
    found = 0
    for value in _objects_in(holder):
        if is_client(value):
            found += 1
            replace_transports(value, wrap)
        elif isinstance(attributes := getattr(value, "__dict__", None), dict):
            for name in [name for name in attributes if name.endswith("client_factory")]:
                factory = attributes[name]
                make = factory.make if isinstance(factory, RecordingFactory) else factory
                if callable(make):
                    attributes[name] = RecordingFactory(make, wrap)
    return found


def _objects_in(holder: object) -> Iterator[Any]:
    """It, and what can be reached from it; what is behind a client is the client's own."""
    seen: dict[int, object] = {}
    waiting = deque([(holder, 0)])
    while waiting and len(seen) < _MOST:
        value, depth = waiting.popleft()
        if isinstance(value, _PLAIN) or id(value) in seen:
            continue
        seen[id(value)] = value
        yield value
        if depth < _FARTHEST and not is_client(value):
            waiting.extend((part, depth + 1) for part in _parts(value))


def _parts(value: Any) -> Iterator[object]:
    """What an object has; nothing of its own runs for that, but what makes a client at its first use."""
    if isinstance(value, dict):
        yield from list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from list(value)
    elif isinstance(value, types.MethodType):
        yield value.__self__
    elif isinstance(value, partial):
        yield from (value.func, *value.args, *value.keywords.values())
    else:
        yield from _attributes(value)


def _attributes(value: Any) -> Iterator[object]:
    for kind in type(value).__mro__:
        if not kind.__flags__ & _WRITTEN_IN_PYTHON:
            continue
        for name, attribute in vars(kind).items():
            if isinstance(attribute, cached_property) and "client" in name:
                yield getattr(value, name)
            elif isinstance(attribute, types.MemberDescriptorType):
                yield getattr(value, name, None)
    yield from list(getattr(value, "__dict__", {}).values())
