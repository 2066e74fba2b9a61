"""The command of a process of ours that executes a run: for a server, a worker of a cluster, a child's parent."""

from __future__ import annotations

import sys


def command_of(module: str, *words: str) -> list[str]:
    """``python -m MODULE WORDS``, with imports as those of a command, and none from the folder it is started in.

    (Some process of a run is started wherever the notebook lies, beside which there may be a ``papermill.py``.)
    """
    return [sys.executable, "-P", "-m", "evercell.headless.entry", module, *words]
