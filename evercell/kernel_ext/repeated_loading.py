"""``%load_ext evercell`` where it is loaded: what Run All does in a living kernel is no mistake to be told of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evercell.kernel_ext.wrapper import Wrapper

_NAME = "evercell"


class RepeatedLoading:
    """Around the shell's loading of extensions: ours, loaded once more, says where the notebook stands."""

    def __init__(self, shell: Any, say: Callable[[], None]) -> None:
        self._manager = shell.extension_manager
        self._say = say

    def install(self) -> None:
        """Put ourselves around the manager's method."""
        self._original = self._manager.load_extension
        self._wrapper = Wrapper(
            vars(self._manager), "load_extension", original=self._original, ours=self._load
        )

    def uninstall(self) -> None:
        """Let IPython say that it is loaded already."""
        self._wrapper.remove()

    def _load(self, module_str: str) -> Any:
        if module_str != _NAME or _NAME not in self._manager.loaded:
            return self._original(module_str)
        self._say()
        return None
