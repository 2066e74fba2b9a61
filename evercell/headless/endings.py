"""How a headless execution ends other than by completing: what it raises, and the exit code of its command."""

from __future__ import annotations

import signal
from enum import IntEnum

from click.exceptions import Exit

from evercell.core.text import as_word


class ExitCode(IntEnum):
    """What ``evercell run``, ``evercell resume`` and ``papermill --engine evercell`` end with."""

    COMPLETED = 0
    FAILED = 1
    """A cell raised an error."""
    USAGE = 2
    CANCELLED = 3
    """Somebody gave the run up; nobody will go on with it."""
    OUTPUT_UNWRITTEN = 74
    """It completed, and the output notebook could not be written (``EX_IOERR`` of ``sysexits.h``)."""
    WAITS = 75
    """No failure: it waits for somebody, or is paused; try again later (``EX_TEMPFAIL``)."""
    INTERRUPTED = 128 + signal.SIGINT
    """Ctrl-C; it can be resumed."""
    KERNEL_DIED = 138
    """More kernels died than it may take. (Papermill's own code for a dead kernel.)"""
    TERMINATED = 128 + signal.SIGTERM
    """SIGTERM, or SIGHUP; it can be resumed."""


EX_TEMPFAIL = ExitCode.WAITS


class RunEnded(Exit):
    """Papermill's own command ends with the exit code of it, as ``evercell run`` does. The message says what to do."""

    def __init__(self, message: str, code: ExitCode) -> None:
        super().__init__(code)
        self.message = message

    def __str__(self) -> str:
        return self.message


class RunWaiting(RunEnded):
    """The run is suspended until somebody answers; its kernel has ended. The message says who has to do what."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.WAITS)


class RunStopped(RunEnded):
    """Ctrl-C or SIGTERM: the run is left so that it can be resumed, and the message says how."""

    def __init__(self, name: str, signum: int) -> None:
        is_ours = signum == signal.SIGINT
        why = "interrupted" if is_ours else f"ended by {signal.Signals(signum).name}"
        message = f"run {name} was {why}; what completed is saved, and it goes on with: evercell resume {as_word(name)}"
        super().__init__(message, ExitCode.INTERRUPTED if is_ours else ExitCode.TERMINATED)
        self.why = why


class RunCancelled(RunEnded):
    """Somebody cancelled the run while it was executed."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"run {name} was cancelled; a branch of it begins at any of its steps: "
            f"evercell branch {as_word(name)} --from STEP",
            ExitCode.CANCELLED,
        )
