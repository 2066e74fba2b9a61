"""What cannot be kept, by type: an explicit table. "It pickled" is no proof that it was kept.

Types are named by text, so that nothing is imported for the sake of being refused.
"""

from __future__ import annotations

import types
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a value is not kept, and what to do instead."""

    kind: str
    advice: str


_SETUP = "make it in a %%setup cell, which runs in every new kernel"

_FILE = Refusal("an open file", "open it where it is used, or in a %%setup cell")
_LOCK = Refusal("a lock, which belongs to the threads of its kernel", _SETUP)
_CONNECTION = Refusal("a live connection", _SETUP)
_THREAD = Refusal("a running thread or pool", _SETUP)
_LOOP = Refusal("a part of a running event loop", "await it inside the step, and keep its result")
_PROCESS = Refusal("a process of this kernel", "wait for it inside the step, and keep its result")
_SUSPENDED = Refusal("suspended code", "keep a list of its values instead, or make it anew where it is used")
_MEMORY = Refusal("a window into memory", "keep the bytes or the array itself")

REFUSED: dict[str, Refusal] = {
    "_io.TextIOWrapper": _FILE,
    "_io.BufferedReader": _FILE,
    "_io.BufferedWriter": _FILE,
    "_io.BufferedRandom": _FILE,
    "_io.FileIO": _FILE,
    "tempfile._TemporaryFileWrapper": _FILE,
    "tempfile.TemporaryDirectory": Refusal("a folder that goes away with its kernel", "make a lasting one"),
    "zipfile.ZipFile": _FILE,
    "tarfile.TarFile": _FILE,
    "gzip.GzipFile": _FILE,
    "mmap.mmap": _FILE,
    "socket.socket": _CONNECTION,
    "ssl.SSLSocket": _CONNECTION,
    "sqlite3.Connection": _CONNECTION,
    "sqlite3.Cursor": _CONNECTION,
    "psycopg.Connection": _CONNECTION,
    "psycopg2.extensions.connection": _CONNECTION,
    "sqlalchemy.engine.base.Engine": _CONNECTION,
    "sqlalchemy.engine.base.Connection": _CONNECTION,
    "sqlalchemy.orm.session.Session": _CONNECTION,
    "zmq.sugar.socket.Socket": _CONNECTION,
    "zmq.sugar.context.Context": _CONNECTION,
    "_thread.lock": _LOCK,
    "_thread.RLock": _LOCK,
    "threading.Condition": _LOCK,
    "threading.Event": _LOCK,
    "threading.Semaphore": _LOCK,
    "threading.BoundedSemaphore": _LOCK,
    "threading.Barrier": _LOCK,
    "threading.Thread": _THREAD,
    "threading.Timer": _THREAD,
    "_thread._local": _THREAD,
    "concurrent.futures.thread.ThreadPoolExecutor": _THREAD,
    "concurrent.futures.process.ProcessPoolExecutor": _THREAD,
    "concurrent.futures._base.Future": _THREAD,
    "multiprocessing.pool.Pool": _THREAD,
    "queue.Queue": _LOCK,
    "queue.SimpleQueue": _LOCK,
    "_queue.SimpleQueue": _LOCK,
    "_asyncio.Task": _LOOP,
    "_asyncio.Future": _LOOP,
    "asyncio.locks.Lock": _LOOP,
    "asyncio.locks.Event": _LOOP,
    "asyncio.queues.Queue": _LOOP,
    "subprocess.Popen": _PROCESS,
    "multiprocessing.context.Process": _PROCESS,
    "builtins.generator": _SUSPENDED,
    "builtins.coroutine": _SUSPENDED,
    "builtins.async_generator": _SUSPENDED,
    "builtins.frame": _SUSPENDED,
    "builtins.traceback": _SUSPENDED,
    "builtins.memoryview": _MEMORY,
    "weakref.ReferenceType": Refusal("a weak reference", "keep the object itself"),
    "weakref.WeakValueDictionary": Refusal("weak references", "keep the objects themselves"),
    "weakref.WeakKeyDictionary": Refusal("weak references", "keep the objects themselves"),
}

UNKNOWN_ADVICE = f"keep what it was made from, and {_SETUP}"

_BASES: tuple[tuple[type, Refusal], ...] = (
    (types.GeneratorType, _SUSPENDED),
    (types.CoroutineType, _SUSPENDED),
    (types.FrameType, _SUSPENDED),
    (types.TracebackType, _SUSPENDED),
)

_known: dict[type, Refusal | None] = {}


def refusal(value: Any) -> Refusal | None:
    """The refusal for a value of a type in the table, or derived from one; None: it may be kept."""
    kind = type(value)
    try:
        return _known[kind]
    except KeyError:
        found = next(
            (r for base in kind.__mro__ if (r := REFUSED.get(type_name(base))) is not None),
            None,
        )
        if found is None:
            found = next((r for base, r in _BASES if issubclass(kind, base)), None)
        if "asyncio" in kind.__module__ and kind.__name__.endswith("EventLoop"):
            found = _LOOP
        _known[kind] = found
        return found


def type_name(kind: type) -> str:
    """``module.qualname`` of a type."""
    return f"{kind.__module__}.{kind.__qualname__}"
