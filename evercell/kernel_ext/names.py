"""Which names of the shell's namespace are IPython's own, and so no part of the user's state."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_HISTORY = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|_(?:oh|ih|dh)|In|Out|__\w+__|__vsc_ipynb_file__")
"""Output and input history, and the module's own dunders."""


def is_hidden_in(shell: Any) -> Callable[[str], bool]:
    """A test for names that IPython put there itself."""
    own = frozenset(shell.user_ns_hidden) | {"exit", "quit", "get_ipython"}

    def is_hidden(name: str) -> bool:
        return name in own or _HISTORY.fullmatch(name) is not None

    return is_hidden
