"""Shift-Tab on the line of one of our magics: how it is written, whatever else has its name in the notebook."""

from __future__ import annotations

from typing import Any

from evercell.engine.magic_lines import parser_of
from evercell.kernel_ext.wrapper import Wrapper
from evercell.magics.completion import magic_at


class MagicHelp:
    """Around the kernel's inspection: IPython looks for the name below the cursor, and ``step`` is a function, too."""

    def __init__(self, kernel: Any) -> None:
        self._kernel = kernel
        self._original = kernel.do_inspect

    def install(self) -> None:
        """Put ourselves around the kernel's method."""
        self._wrapper = Wrapper(vars(self._kernel), "do_inspect", original=self._original, ours=self._inspect)

    def uninstall(self) -> None:
        """Let IPython answer."""
        self._wrapper.remove()

    def _inspect(self, code: str, cursor_pos: int, *args: Any, **kwargs: Any) -> Any:
        magic = magic_at(code, cursor_pos)
        if magic is None:
            return self._original(code, cursor_pos, *args, **kwargs)
        data = {"text/plain": parser_of(magic).format_help()}
        return {"status": "ok", "found": True, "data": data, "metadata": {}}
