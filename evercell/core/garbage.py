"""When the garbage collector need not look, and at what: modules stay as long as their process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_spared() -> Iterator[None]:
    """Collect nothing while modules are imported, and never look at them again.

    For the process of a command, and for a kernel before its first cell: among the modules of papermill are some on
    which one look takes as long as importing all of ours, and a kernel with SQLAlchemy in it would spend some 0.3 s on
    such looks when it ends. (Cycles that are garbage already stay, too, so it is for nobody else's process; and who
    asks the collector for what refers to an object, or for all objects, is not told of what was there before.)
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def collected_later() -> Iterator[None]:
    """Collect nothing while inside: where very many objects are made and none is garbage, and where no finalizer of
    the user's is to change what is being looked at.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
