"""Which notebook this kernel belongs to. The path is a hint: a notebook may be moved while it runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def notebook_path(user_ns: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> str | None:
    """Absolute path of the notebook, None where no front end told one.

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
