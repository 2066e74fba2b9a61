"""What executes the runs that `evercell serve` admits: processes of this machine, or somebody else's cluster."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil

from evercell.core.run_process import command_of

_MODULE = "evercell.headless.admitted"

SUSPEND_SECONDS = 10.0
"""How long runs have to leave their kernels in good order."""

_OF_KERNEL = ("EVERCELL_NOTEBOOK", "EVERCELL_RUNNER", "EVERCELL_RUN", "EVERCELL_WAIT_GRACE")
"""What the environment says of the run of a kernel in which somebody started us."""


class Starter(Protocol):
    """Whoever executes admitted runs. It holds no truth: all that it is told is the id of a run.

    What it executes is `evercell.headless.admitted.execute_admitted`. A run that is delivered twice, late, or after
    another server started it, is executed once: the runner claims it first, and goes where it is executed already or
    is not admitted any more.
    """

    def start(self, run_id: str) -> None:
        """Have a run executed, and return at once. Raises an `EvercellError` where nobody can be asked for it now."""

    def alive(self) -> Collection[str]:
        """The runs that were handed over by this process and have not ended, as far as anybody knows.

        One that is missing has no runner any more: if the store says that it has not ended, it is started again.
        """

    def close(self) -> None:
        """Leave what runs to go on by itself."""


class ProcessStarter:
    """Each run in a process of this machine, in a session of its own: it outlives whoever started it."""

    def __init__(self, store_url: str, logs: Path) -> None:
        """``logs``: where what a process says is kept until it ended well."""
        self._store_url = store_url
        self._logs = logs
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, run_id: str) -> None:
        """Start a process that executes the run."""
        of_kernel = _OF_KERNEL if "EVERCELL_RUNNER" in os.environ else ()
        environ = {name: value for name, value in os.environ.items() if name not in of_kernel}
        self._logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._log(run_id).open("ab") as log:
            self._processes[run_id] = subprocess.Popen(  # noqa: S603  our own program, and an id
                command_of(_MODULE, run_id),
                env={**environ, "EVERCELL_STORE": self._store_url},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def _log(self, run_id: str) -> Path:
        return self._logs / f"{run_id}.log"

    def alive(self) -> Collection[str]:
        """The runs whose processes live."""
        for run_id, process in list(self._processes.items()):
            if process.poll() is not None:
                del self._processes[run_id]
                if process.returncode == 0:
                    self._log(run_id).unlink(missing_ok=True)
        return self._processes.keys()

    def suspend(self) -> None:
        """End the processes in good order: each leaves its run to be gone on with."""
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        last = time.monotonic() + SUSPEND_SECONDS
        for process in self._processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, last - time.monotonic()))

    def close(self) -> None:
        """Nothing of theirs is ours: they go on."""
        self.alive()
        for process in self._processes.values():
            process.returncode = 0  # not ours to wait for: `Popen` would warn of it
        self._processes.clear()


def has_process(run_id: str) -> bool:
    """Whether some process of this machine is there to execute a run."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if run_id in words and _MODULE in words:
            return True
    return False
