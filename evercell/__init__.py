"""evercell: notebook workflows that cannot lose their place."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "resource",
    "rebuilds",
    "CannotRebuild",
    "load_ipython_extension",
    "unload_ipython_extension",
    "__version__",
]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from evercell.state.rebuilding import CannotRebuild, rebuilds
    from evercell.state.resource import resource

_PLACES = {
    "resource": "evercell.state.resource",
    "rebuilds": "evercell.state.rebuilding",
    "CannotRebuild": "evercell.state.rebuilding",
}
"""Name → module of what is imported at its first use, so that ``import evercell`` costs nothing."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'evercell' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def load_ipython_extension(shell: InteractiveShell) -> Any:
    """``%load_ext evercell``: attach this kernel to its notebook's run."""
    from evercell import kernel_ext

    return kernel_ext.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext evercell``: let the run go and leave the shell as it was."""
    from evercell import kernel_ext

    kernel_ext.unload_ipython_extension(shell)
