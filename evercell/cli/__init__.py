"""The command line. One module per noun; nothing here decides anything."""

import sys


def main() -> None:
    """Entry point of ``evercell``."""
    from evercell.core.garbage import imports_spared
    from evercell.core.late_grammars import leave_grammars

    try:
        leave_grammars()
        with imports_spared():
            from evercell.cli.app import app
    except KeyboardInterrupt:  # so early, click does not yet end it without a traceback
        sys.exit(130)
    app()
