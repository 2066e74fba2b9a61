"""Random state as hidden variables: what the global generators will draw next is state, too."""

from __future__ import annotations

import random
import sys
from typing import Any

PYTHON = ":random"
NUMPY = ":numpy.random"
STATES = (PYTHON, NUMPY)
"""Their names among the variables; no variable of a user can have one."""


def read_states() -> dict[str, Any]:
    """The present state of every global generator that this process has loaded."""
    states: dict[str, Any] = {PYTHON: random.getstate()}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        kind, keys, position, has_gauss, gauss = numpy_random.get_state()
        states[NUMPY] = (kind, keys.tobytes(), position, has_gauss, gauss)
    return states


def write_state(name: str, state: Any) -> None:
    """Put a generator's state back (NumPy is imported for its own)."""
    if name == PYTHON:
        random.setstate(state)
        return
    import numpy

    kind, keys, position, has_gauss, gauss = state
    numpy.random.set_state((kind, numpy.frombuffer(keys, "uint32"), position, has_gauss, gauss))
