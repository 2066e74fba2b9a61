"""The kernel of a headless run looks after its runner: when that has died and nobody comes, the kernel ends, too.

Loaded as an extension while the kernel starts (``--ext``), so that no instant is without it.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from evercell.core.kernel_files import remove_files
from evercell.core.locked_file import lock_exclusively

RUNNER = "EVERCELL_RUNNER"
"""Set where a headless runner starts the kernel: it says itself which run this is, and which cells are steps."""

MARK = "EVERCELL_RUNNER_MARK"
"""Variable with the path of the file that the runner has locked as long as it lives."""

ORPHAN_SECONDS = "EVERCELL_ORPHAN_SECONDS"
"""Variable with another patience."""

PATIENCE = 60.0
"""Seconds that an idle kernel waits for another runner."""

_LOOK = 1.0
"""Seconds between two looks."""

_EXTENSION = "evercell_extension"
"""Attribute of the shell that holds the loaded extension."""


def load_ipython_extension(shell: Any) -> None:
    """Begin to look, where a runner says what at."""
    mark = os.environ.get(MARK)
    if mark and hasattr(shell, "kernel"):
        RunnerWatch(shell, Path(mark), patience=_patience())


def _patience() -> float:
    try:
        return max(0.0, float(os.environ[ORPHAN_SECONDS]))
    except (KeyError, ValueError):
        return PATIENCE


class RunnerWatch:
    """Looks whether the runner's mark is locked; ends the kernel when it has been idle without a runner for long."""

    def __init__(self, shell: Any, mark: Path, *, patience: float) -> None:
        self._shell = shell
        self._mark = mark
        self._patience = patience
        threading.Thread(target=self._look, name="evercell-runner", daemon=True).start()

    def _look(self) -> None:
        alone_since: float | None = None
        while True:
            time.sleep(_LOOK)
            held = self._hold_mark()
            if held is None or self._is_busy():
                alone_since = None
            elif alone_since is None and self._is_on_run():
                alone_since = time.monotonic()
            elif alone_since is None or time.monotonic() - alone_since >= self._patience:
                remove_files(self._mark)
                self._end()
                return
            if held is not None and held >= 0:
                os.close(held)

    def _hold_mark(self) -> int | None:
        """The mark, locked by us; -1 where it is gone; None where a runner has it."""
        try:
            descriptor = os.open(self._mark, os.O_RDWR)
        except FileNotFoundError:
            return -1
        except OSError:
            return None
        if lock_exclusively(descriptor):
            return descriptor
        os.close(descriptor)
        return None

    def _is_on_run(self) -> bool:
        """Otherwise nobody will come for it."""
        return getattr(self._shell, _EXTENSION, None) is not None

    def _is_busy(self) -> bool:
        extension = getattr(self._shell, _EXTENSION, None)
        return extension is not None and bool(extension.runner.is_inside_cell)

    def _end(self) -> None:
        """End in the main thread, in good order, with the run left to whoever comes: *running*, for it is to go on."""
        from evercell.kernel_ext.ipykernel_internals import loop_of

        loop = loop_of(self._shell.kernel)
        if loop is None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            loop.add_callback(self._leave)

    def _leave(self) -> None:
        from evercell.core.errors import EvercellError
        from evercell.core.statuses import RunStatus

        extension = getattr(self._shell, _EXTENSION, None)
        if extension is not None:
            with suppress(EvercellError):
                extension.leave(RunStatus.RUNNING)
        signal.signal(signal.SIGTERM, _exit)
        os.kill(os.getpid(), signal.SIGTERM)


def _exit(*_: object) -> None:
    raise SystemExit(0)
