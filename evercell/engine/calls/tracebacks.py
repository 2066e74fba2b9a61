"""Tracebacks as the user's code alone would have them: without our frames, and what we call for ourselves."""

from __future__ import annotations

import site
import sysconfig
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeVar

from evercell.core.errors import EvercellError

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = __name__.partition(".")[0]
_passing_on: set[CodeType] = set()


def passes_on(function: F) -> F:
    """Mark a function of ours that calls what the user gave us: whatever that is, its frames are shown."""
    _passing_on.add(function.__code__)
    return function


def hide_our_frames(error: BaseException) -> None:
    """Take our frames out of the error's traceback, and out of those of the errors that it is chained to.

    What we call for ourselves goes with them (a database, a pool), until the user's own code follows again.
    A fault of our own keeps them: they are all that tells where it is.
    """
    if is_our_fault(error):
        return
    for each in _chained(error, set()):
        each.__traceback__ = _without_ours(each.__traceback__)


def is_our_fault(error: BaseException) -> bool:
    """Whether nothing of the user's was running, and it is no error that we mean to raise."""
    if isinstance(error, EvercellError) or not isinstance(error, Exception):
        return False
    entries = list(_entries(error.__traceback__))
    return bool(entries) and not any(_shown(entries))


def _chained(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    yield from _chained(error.__cause__, seen)
    yield from _chained(error.__context__, seen)
    for inner in error.exceptions if isinstance(error, BaseExceptionGroup) else ():
        yield from _chained(inner, seen)


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    entries = list(_entries(traceback))
    shown = list(_shown(entries))
    if len(shown) == len(entries):
        return traceback
    rest = None
    for entry in reversed(shown):
        rest = TracebackType(rest, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return rest


def _entries(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _shown(entries: list[TracebackType]) -> Iterator[TracebackType]:
    is_shown = True
    for entry in entries:
        frame = entry.tb_frame
        if _is_ours(frame):
            is_shown = frame.f_code in _passing_on
            continue
        is_shown = is_shown or not _is_installed(frame.f_code.co_filename)
        if is_shown:
            yield entry


def _is_ours(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] == _PACKAGE


@cache
def _is_installed(filename: str) -> bool:
    """Whether a file is Python's or an installed package's, and not the user's own."""
    return filename.startswith(("<frozen", *_library_folders()))


@cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {
        paths["stdlib"],
        paths["platstdlib"],
        paths["purelib"],
        paths["platlib"],
        *site.getsitepackages(),
    }
    return tuple(f"{folder}/" for folder in (*folders, site.getusersitepackages()))
