"""Verbs that wait are for plain code: inside of a coroutine they would hold up its loop, and say so instead."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from evercell.core.errors import UsageError

_COROUTINE = inspect.CO_COROUTINE | inspect.CO_ITERABLE_COROUTINE | inspect.CO_ASYNC_GENERATOR

_KERNEL = frozenset({"IPython", "ipykernel"})
"""They run every cell inside of a coroutine, plain ones, too."""

_THE_CELL = "the kernel, for this cell awaits"

_STEP_BEGINS = frozenset({"evercell.engine.execution", "evercell.testing"})
"""Modules of ours that run a step: what is around it is none of its business."""


_cell_awaits: ContextVar[Callable[[], bool]] = ContextVar("evercell_cell_awaits", default=bool)


@contextmanager
def kernels_cell(awaits: Callable[[], bool]) -> Iterator[None]:
    """Inside, a kernel runs a cell. ``awaits`` says whether it has a top-level ``await``: the kernel compiles a
    cell statement by statement, so that one statement's frame says nothing about another's.
    """
    token = _cell_awaits.set(awaits)
    try:
        yield
    finally:
        _cell_awaits.reset(token)


def refuse_in_coroutine(verb: str, *, hint: str = "") -> None:
    """Raise `UsageError` where a coroutine waits for the caller, directly or not; a thread's code never is.

    The frames around the caller are looked at, up to those of the kernel. A cell with a top-level ``await`` is a
    coroutine. ``hint`` is what to do there: await the verb's twin.
    """
    held_up = _what_is_held_up(inspect.currentframe())
    if held_up is not None:
        raise UsageError(
            f"{verb}() waits, and would hold up {held_up}.",
            hint=hint or f"Type: await {verb.replace('evercell.', 'evercell.aio.')}(...)",
        )


def _what_is_held_up(frame: FrameType | None) -> str | None:
    while frame is not None:
        code, module = frame.f_code, str(frame.f_globals.get("__name__"))
        package = module.partition(".")[0]
        is_coroutine = bool(code.co_flags & _COROUTINE)
        if module in _STEP_BEGINS:
            return None
        if is_coroutine and package in _KERNEL:
            return _THE_CELL if _cell_awaits.get()() else None
        if package == "asyncio":
            return "the event loop that calls back here"
        if is_coroutine and package != "evercell":
            return _name(frame)
        if _is_whole_program(frame):
            return None
        frame = frame.f_back
    return None


def _name(frame: FrameType) -> str:
    name = frame.f_code.co_qualname
    return _THE_CELL if name == "<module>" else f"the coroutine {name}()"


def _is_whole_program(frame: FrameType) -> bool:
    """Whether it is a cell or script, and nobody's who is himself a part of one (as with ``%run``)."""
    if frame.f_code.co_name != "<module>" or frame.f_globals.get("__name__") != "__main__":
        return False
    around = frame.f_back
    return around is None or str(around.f_globals.get("__name__")).partition(".")[0] != "IPython"
