"""What runs beside the cells and is in no variable: threads, tasks, timers. It ends with its kernel, and is named."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from typing import Any

from evercell.state.internals.standard_library import target_of, timers_of
from evercell.state.typerules.settings import Setting, Unkept, keeps_settings

_WHY = "running beside the cells, and ends with this kernel"
_START = "start it in a %%setup cell, which runs in every new kernel"
_AWAIT = "await it inside the step, and keep its result, or start it in a %%setup cell"

_met: dict[Unkept, None] = {}
"""All that ran so far: what is over needs no second look."""


def _read() -> tuple[Unkept, ...]:
    variables = vars(sys.modules["__main__"])
    for one, unkept in _running():
        if unkept not in _met and not _is_held(one, variables):
            _met[unkept] = None
    return tuple(_met)


def _running() -> Iterator[tuple[Any, Unkept]]:
    for thread in threading.enumerate():
        if _is_users(target_of(thread)) or type(thread).__module__ == "__main__":
            yield thread, Unkept(f"thread {thread.name!r}", "threading.Thread", _WHY, _START)
        elif type(thread) is threading.Timer and not _is_ours(thread.function):
            yield thread, Unkept(f"timer {thread.name!r}", "threading.Timer", _WHY, _START)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    for task in asyncio.all_tasks(loop):
        frame = getattr(task.get_coro(), "cr_frame", None)
        if frame is not None and frame.f_globals.get("__name__") == "__main__":
            name = f"{frame.f_code.co_name}()"
            yield task, Unkept(f"task of {name}", "asyncio.Task", _WHY, _AWAIT)
    for timer, callback in timers_of(loop):
        if _is_users(callback):
            name = getattr(callback, "__qualname__", type(callback).__name__)
            yield timer, Unkept(f"loop.call_later({name})", "asyncio.TimerHandle", _WHY, _START)


def _is_users(function: Any) -> bool:
    """Whether a function is the notebook's, or changes an object that is plain data."""
    while hasattr(function, "func"):
        function = function.func
    owner = getattr(function, "__self__", None)
    return (
        getattr(function, "__module__", None) == "__main__"
        or type(owner) in (list, dict, set)
        or type(owner).__module__ == "__main__"
    )


def _is_ours(function: Any) -> bool:
    """Whether it is evercell's own, which draws a picture anew and is in every kernel that needs it."""
    return str(getattr(function, "__module__", "")).partition(".")[0] == "evercell"


def _is_held(one: Any, variables: dict[str, Any]) -> bool:
    """Whether a variable is it, or holds it in a container: then it is named as that variable."""
    for value in list(variables.values()):
        if value is one:
            return True
        held = value.values() if type(value) is dict and value is not variables else value
        if (
            type(value) in (list, tuple, set, dict)
            and len(value) < _FEW
            and any(part is one for part in held)
        ):
            return True
    return False


_FEW = 1000


def _write(_: object) -> None:
    """Whoever puts state back has named them."""


keeps_settings([Setting("what runs beside the cells", "threading", _read, _write, usual=())])
