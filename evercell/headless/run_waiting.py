"""What a headless execution raises where its run waits for somebody, and the exit code of its command."""

from __future__ import annotations

from click.exceptions import Exit

EX_TEMPFAIL = 75
"""Exit code, of ``sysexits.h``: no failure; try again later."""


class RunWaiting(Exit):
    """The run is suspended until somebody answers; its kernel has ended. The message says who has to do what.

    Papermill's own command ends with exit code 75 by it, as ``evercell run`` does.
    """

    def __init__(self, message: str) -> None:
        super().__init__(EX_TEMPFAIL)
        self.message = message

    def __str__(self) -> str:
        return self.message
