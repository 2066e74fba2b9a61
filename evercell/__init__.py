"""evercell: notebook workflows that cannot lose their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "load_ipython_extension", "unload_ipython_extension"]

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load_ipython_extension(shell: InteractiveShell) -> Any:
    """``%load_ext evercell``: attach this kernel to its notebook's run."""
    from evercell import kernel_ext

    return kernel_ext.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """``%unload_ext evercell``: let the run go and leave the shell as it was."""
    from evercell import kernel_ext

    kernel_ext.unload_ipython_extension(shell)
