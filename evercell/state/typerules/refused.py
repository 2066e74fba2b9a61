"""What cannot be kept, by type: an explicit table. "It pickled" is no proof that it was kept.

Types are named by text, so that nothing is imported for the sake of being refused.
"""

from __future__ import annotations

import enum
import io
import types
from dataclasses import dataclass
from typing import Any

from evercell.state.typerules.names import type_name


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
_INTERPRETER = Refusal("an interpreter of this kernel, or a queue of such ones", _SETUP)
_DISPLAY = Refusal("a part of the page that this kernel drives", "make it anew where it is shown")
_SHELL = Refusal("this kernel itself", "get it where it is used: get_ipython()")
_SUSPENDED = Refusal("suspended code", "keep a list of its values instead, or make it anew where it is used")
_CALLS_BACK = Refusal("a function to be called when an object goes", "set it up anew where it is needed")
_EPOCH = Refusal(
    "the middle of a loop over its data", "finish the loop inside the step, or begin it anew with iter()"
)
_REGISTERED = Refusal("an operator that is registered in this process", _SETUP)
_OF_DEVICE = Refusal("a part of a device that works for this kernel", "make it anew where it is used")
_SHARED = Refusal(
    "memory that goes away with its kernel", "keep a copy of its content: bytes(it.buf), list(it)"
)
_MEMORY = Refusal("a window into memory", "keep the bytes or the array itself")

_MAPPED = Refusal(
    "a part of what SQLAlchemy maps to tables, which each kernel has to be told anew",
    "define mapped classes, and statements about them, in a %%setup cell, which runs in every new kernel",
)

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
    "multiprocessing.shared_memory.SharedMemory": _SHARED,
    "multiprocessing.shared_memory.ShareableList": _SHARED,
    "socket.socket": _CONNECTION,
    "ssl.SSLSocket": _CONNECTION,
    "sqlite3.Connection": _CONNECTION,
    "sqlite3.Cursor": _CONNECTION,
    "psycopg.Connection": _CONNECTION,
    "psycopg2.extensions.connection": _CONNECTION,
    "sqlalchemy.engine.base.Engine": _CONNECTION,
    "sqlalchemy.engine.base.Connection": _CONNECTION,
    "sqlalchemy.orm.session.Session": _CONNECTION,
    "sqlalchemy.orm.mapper.Mapper": _MAPPED,
    "sqlalchemy.orm.decl_api.registry": _MAPPED,
    "sqlalchemy.orm.instrumentation.ClassManager": _MAPPED,
    "sqlalchemy.orm.attributes.QueryableAttribute": _MAPPED,
    "sqlalchemy.ext.asyncio.engine.AsyncEngine": _CONNECTION,
    "sqlalchemy.ext.asyncio.session.AsyncSession": _CONNECTION,
    "psycopg.AsyncConnection": _CONNECTION,
    "psycopg.Cursor": _CONNECTION,
    "psycopg_pool.pool.ConnectionPool": _CONNECTION,
    "psycopg2.extensions.cursor": _CONNECTION,
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
    "IPython.core.interactiveshell.InteractiveShell": _SHELL,
    "comm.base_comm.BaseComm": _DISPLAY,
    "ipywidgets.widgets.widget.Widget": _DISPLAY,
    "IPython.core.display_functions.DisplayHandle": _DISPLAY,
    "tqdm.std.tqdm": _DISPLAY,
    "subprocess.Popen": _PROCESS,
    "multiprocessing.context.Process": _PROCESS,
    "concurrent.interpreters.Interpreter": _INTERPRETER,
    "concurrent.interpreters._queues.Queue": _INTERPRETER,
    "builtins.generator": _SUSPENDED,
    "builtins.coroutine": _SUSPENDED,
    "builtins.async_generator": _SUSPENDED,
    "builtins.frame": _SUSPENDED,
    "builtins.traceback": _SUSPENDED,
    "builtins.memoryview": _MEMORY,
    "torch.utils.data.dataloader._BaseDataLoaderIter": _EPOCH,
    "torch._library.custom_ops.CustomOpDef": _REGISTERED,
    "torch.library.Library": _REGISTERED,
    "torch.Stream": _OF_DEVICE,
    "torch.Event": _OF_DEVICE,
    "torch.cuda.graphs.CUDAGraph": _OF_DEVICE,
    "weakref.ReferenceType": _CALLS_BACK,
    "weakref.ProxyType": _CALLS_BACK,
    "weakref.CallableProxyType": _CALLS_BACK,
    "weakref.finalize": _CALLS_BACK,
}

UNKNOWN_ADVICE = f"keep what it was made from, and {_SETUP}"

_NEVER_STILL = "another thread changes it again and again while it is saved"
_STILL_ADVICE = "let that thread end before the step does, or give it data of its own"

_BASES: tuple[tuple[type, Refusal], ...] = (
    (types.GeneratorType, _SUSPENDED),
    (types.CoroutineType, _SUSPENDED),
    (types.FrameType, _SUSPENDED),
    (types.TracebackType, _SUSPENDED),
)

_LOOP_MODULES = ("asyncio.", "_asyncio.", "uvloop.")
"""All that is made there belongs to a loop, exceptions and constants excepted."""

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
        if found is None and _belongs_to_a_loop(kind):
            found = _LOOP
        if found is None and issubclass(kind, io.IOBase) and not issubclass(kind, io.BytesIO | io.StringIO):
            found = _FILE
        _known[kind] = found
        return found


def why_not_kept(value: Any, error: Exception, otherwise: str) -> tuple[str, str]:
    """Why a value was not kept of which the saving failed, and what to do; ``otherwise`` says why, where it is no
    change by another thread. (An iterator may be of something that a cell changed since.)
    """
    is_changing = isinstance(error, RuntimeError) and "during iteration" in str(error)
    if is_changing and not hasattr(type(value), "__next__"):
        return _NEVER_STILL, _STILL_ADVICE
    return otherwise, UNKNOWN_ADVICE


_BY_ATTRIBUTE = {"_sa_registry": _MAPPED, "_sa_class_manager": _MAPPED}
"""What a class has in its namespace where its library knows it by more than that."""


def refusal_of_class(kind: type) -> Refusal | None:
    """The refusal for a class of the notebook that a library was told of, and has to be told of again."""
    return next((refused for name, refused in _BY_ATTRIBUTE.items() if name in vars(kind)), None)


def _belongs_to_a_loop(kind: type) -> bool:
    return any(
        type_name(base).startswith(_LOOP_MODULES) and not issubclass(base, BaseException | enum.Enum)
        for base in kind.__mro__
    )
