"""How a headless run tells that it waits for somebody."""

from __future__ import annotations

from click.exceptions import Exit

EXIT_CODE = 75
"""``EX_TEMPFAIL`` of ``sysexits.h``: no failure; try again later."""


class RunWaiting(Exit):
    """The run is suspended until somebody answers; its kernel has ended. Says who has to do what.

    Papermill's own command ends with exit code 75 by it, as ``evercell run`` does.
    """

    def __init__(self, told: str) -> None:
        super().__init__(EXIT_CODE)
        self.told = told

    def __str__(self) -> str:
        return self.told
