"""The shell's tracebacks, with the user's frames only."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from evercell.engine.calls.tracebacks import hide_our_frames, is_our_fault
from evercell.kernel_ext.ipykernel_internals import show_traceback_lines
from evercell.kernel_ext.wrapper import Wrapper

_OURS = (
    "This is a fault of evercell, not of the cell. If the cell's body ran, it is not recorded: what it did may "
    "have its effect again when you run the cell again. Please report it with the lines above."
)


class Tracebacks:
    """Around the shell's ``showtraceback``: our frames are taken out before anything is shown or kept."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._original = shell.showtraceback

    def install(self) -> None:
        """Put ourselves around the shell's method."""
        self._wrapper = Wrapper(vars(self._shell), "showtraceback", original=self._original, ours=self._show)

    def uninstall(self) -> None:
        """Show tracebacks as they are."""
        self._wrapper.remove()

    def _show(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> Any:
        error = sys.exc_info()[1] if exc_tuple is None else exc_tuple[1]
        if isinstance(error, BaseException):
            if is_our_fault(error) and _OURS not in getattr(error, "__notes__", ()):
                error.add_note(_OURS)
            hide_our_frames(error)
            if exc_tuple is not None and exc_tuple[2] is not None:
                exc_tuple = (exc_tuple[0], error, error.__traceback__)
            if _has_group(error) and show_traceback_lines(self._shell, error, _lines(error)):
                return None
        return self._original(exc_tuple, *args, **kwargs)


def _has_group(error: BaseException | None) -> bool:
    """Whether IPython would print the error to stderr, as Python does, and so not as the cell's error."""
    while error is not None and not isinstance(error, BaseExceptionGroup):
        error = error.__context__
    return error is not None


def _lines(error: BaseException) -> list[str]:
    """Python's own traceback, from the cell on: the frame before it is IPython's."""
    frames = error.__traceback__
    return traceback.format_exception(error.with_traceback(frames.tb_next if frames is not None else None))
