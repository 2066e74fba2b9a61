"""Gradients that another thread computes.

PyTorch replaces them while it has given Python's turn away, and whoever reads one at that instant may end the process.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import FrameType

from evercell.core.undisturbed import others_waiting
from evercell.state.internals.standard_library import frames_of_threads

_REPLACING = frozenset({"_engine_run_backward", "zero_grad"})
"""PyTorch's functions that are on the stack of a thread all the time that gradients are replaced."""

_UNDISTURBED = 0.5
"""Seconds within which no other thread begins a pass."""

_TURN = 0.006
"""Seconds after which whoever waits for Python's turn has begun to wait for so long."""

_LONGEST_BACKWARD = 60.0

_GOES_ON = 10.0
"""Seconds after which a thread that was not seen in PyTorch's code again has ended with it."""


class _Training:
    seen_at = float("-inf")
    """When another thread was in PyTorch's code: between two passes it is in the user's own for an instant."""


_training = _Training()


def no_pass_elsewhere() -> AbstractContextManager[None]:
    """While inside, no other thread computes gradients: a pass is waited for. Raises `TimeoutError`.

    Costs nothing where no other thread was in PyTorch's code for a while.
    """
    if "torch" not in sys.modules or threading.active_count() == 1:
        return nullcontext()
    if _is_elsewhere("torch"):
        _training.seen_at = time.monotonic()
    return _held_off() if time.monotonic() - _training.seen_at < _GOES_ON else nullcontext()


@contextmanager
def _held_off() -> Iterator[None]:
    end = time.monotonic() + _LONGEST_BACKWARD
    with others_waiting(_UNDISTURBED):
        time.sleep(_TURN)
        while _is_elsewhere(""):
            if time.monotonic() > end:
                raise TimeoutError(f"another thread has computed gradients for {_LONGEST_BACKWARD:.0f} s")
            time.sleep(_TURN)
        yield


def _is_elsewhere(package: str) -> bool:
    """Whether another thread replaces gradients, or is in code of this package."""
    own = threading.get_ident()
    for thread, top in frames_of_threads().items():
        frame: FrameType | None = top if thread != own else None
        while frame is not None:
            if frame.f_code.co_name in _REPLACING:
                return True
            if package and str(frame.f_globals.get("__name__")).partition(".")[0] == package:
                return True
            frame = frame.f_back
    return False
