"""``python -m evercell.headless.entry MODULE ...``: a process of ours that executes a run.

Its imports are those of a command: they make no grammars, and nobody collects garbage meanwhile or goes through them
when it ends.
"""

from __future__ import annotations

import sys
from importlib import import_module

from evercell.core.garbage import imports_spared
from evercell.core.late_grammars import leave_grammars


def main() -> None:
    """Go on as ``python -m MODULE ...`` would."""
    del sys.argv[0]
    leave_grammars()
    with imports_spared():
        module = import_module(sys.argv[0])
    module.main()


if __name__ == "__main__":
    main()
