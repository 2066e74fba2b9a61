"""Loggers and handlers; the standard streams that they and others write to."""

from __future__ import annotations

import logging
import sys
from threading import RLock
from typing import Any

from evercell.state.typerules.rebuilding import as_it_is, rebuilds


@rebuilds("logging.Handler", subclasses=True)
def _handler(handler: logging.Handler) -> tuple[Any, ...]:
    """With all its settings. A file is opened again with its next line, and goes on at its end."""
    state: dict[str, Any] = {"lock": RLock()}
    if isinstance(handler, logging.FileHandler):
        state |= {"stream": None, "mode": "a"}
    elif (name := _standard_name(vars(handler).get("stream"))) is not None:
        state["stream"] = Standard(name)
    if "sock" in vars(handler):
        state["sock"] = None
    return as_it_is(handler, **state)


def _standard_name(stream: Any) -> str | None:
    names = ("stdout", "stderr")
    return next(
        (n for n in names if stream is not None and stream in (getattr(sys, n), getattr(sys, f"__{n}__"))),
        None,
    )


class Standard:
    """Stands for a standard stream while a handler is taken apart."""

    def __init__(self, name: str) -> None:
        self.name = name


@rebuilds("evercell.rebuilders.logs.Standard")
def _standard(standard: Standard) -> tuple[Any, ...]:
    return standard_stream, (standard.name,)


@rebuilds("ipykernel.iostream.OutStream", subclasses=True)
def _shown(stream: Any) -> tuple[Any, ...]:
    return standard_stream, (str(stream.name),)


def standard_stream(name: str) -> Any:
    """``sys.stdout`` or ``sys.stderr``, as this kernel has it."""
    return getattr(sys, name)
