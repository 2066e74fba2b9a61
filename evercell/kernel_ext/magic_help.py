"""Shift-Tab: how one of our magics is written, whatever else has its name in the notebook, and what a variable that
waits to be loaded really is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from evercell.core.errors import EvercellError
from evercell.engine.magic_lines import parser_of
from evercell.kernel_ext.wrapper import Wrapper
from evercell.magics.completion import magic_at

_NAME = re.compile(r"[^\W\d]\w*")


class MagicHelp:
    """Around the kernel's inspection: IPython looks for the name below the cursor, and ``step`` is a function, too."""

    def __init__(self, kernel: Any, load: Callable[[Iterable[str]], None]) -> None:
        """``load`` loads those of these names that wait."""
        self._kernel = kernel
        self._load = load
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
            with suppress(EvercellError):  # raised again to whoever uses the value
                self._load(_NAME.findall(code))
            return self._original(code, cursor_pos, *args, **kwargs)
        data = {"text/plain": parser_of(magic).format_help()}
        return {"status": "ok", "found": True, "data": data, "metadata": {}}
