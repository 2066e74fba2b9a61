"""What a kernel tells of itself: which notebook it runs, and which names in it are IPython's own."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_HISTORY = re.compile(r"_{1,3}|_i{1,3}|_i?\d+|_(?:oh|ih|dh)|In|Out|__\w+__|__vsc_ipynb_file__")
"""Output and input history, and the module's own dunders."""


def notebook_path(user_ns: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> str | None:
    """Absolute path of the notebook, None where no front end names one. A hint: it may be moved while it runs.

    Sources, first wins: ``EVERCELL_NOTEBOOK``, Jupyter Server's ``JPY_SESSION_NAME`` (JupyterLab,
    Notebook 7), VS Code's ``__vsc_ipynb_file__``.
    """
    for candidate in (
        environ.get("EVERCELL_NOTEBOOK"),
        environ.get("JPY_SESSION_NAME"),
        user_ns.get("__vsc_ipynb_file__"),
    ):
        if isinstance(candidate, str) and candidate.endswith(".ipynb"):
            return str(Path(candidate).absolute())
    return None


def is_hidden_in(shell: Any) -> Callable[[str], bool]:
    """A test for names that IPython put there itself: they are no part of the user's state."""
    own = frozenset(shell.user_ns_hidden) | {"exit", "quit", "get_ipython"}

    def is_hidden(name: str) -> bool:
        return name in own or _HISTORY.fullmatch(name) is not None

    return is_hidden
