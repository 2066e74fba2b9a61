"""The live shell: running cells, recording and replaying what they show. Wires the other rooms together."""

from __future__ import annotations

from typing import Any


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext evercell``."""
    from evercell.kernel_ext import extension

    extension.load_ipython_extension(shell)


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext evercell``."""
    from evercell.kernel_ext import extension

    extension.unload_ipython_extension(shell)
