"""One run of a notebook with calls, a signal and an approval, driven to its end over as many kernels as it takes."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from evercell.core.errors import EvercellError
from evercell.engine.approvals.deciding import answer
from evercell.engine.calls.signals import send_signal
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from tests.kernels import Kernel, KernelGone

STEPS = 8
CALLS = 3
LEASE_SECONDS = 4
_CELL_SECONDS = 180
_HOUR = ["+1h", "-1h", "+0", "+0"]
"""By how much the clocks of kernels are wrong, where that can be brought about."""

SETUP = """
import os, time, evercell
def effect(*words):
    handle = os.open({effects!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (' '.join(map(str, words)) + '\\n').encode())
    os.close(handle)
@evercell.step
def act(step, number):
    effect('call', step, number)
    return step * 10 + number
"""


def _cell(step: int) -> str:
    lines = [
        f"%%step s{step}",
        f"effect('step', {step})",
        f"made = [act({step}, n) for n in range({CALLS})]",
        {
            2: "evercell.wait_for('go')",
            4: "evercell.approve('Go on?')",
            5: "evercell.sleep(0.5)",
            6: "blob = os.urandom(300_000)",
        }.get(step, "time.sleep(0.05)"),
        "history = [*globals().get('history', []), *made]" if step == 0 else "history.extend(made)",
        "print('done', len(history))",
    ]
    return "\n".join(lines)


CELLS = [_cell(step) for step in range(STEPS)]
EXPECTED = [step * 10 + number for step in range(STEPS) for number in range(CALLS)]


class _Abandoned(Exception):
    """The kernel cannot go on with the run; another one shall."""


@dataclass
class DrivenRun:
    """A run, and what is known of it from outside of its kernels."""

    name: str
    folder: Path
    store_url: str
    chance: random.Random
    faketime: str | None = None
    """Path of the library that gives kernels a wrong clock."""
    kernels: int = 0
    acknowledged: set[str] = field(default_factory=set)
    """Steps of which a front end was told that they completed."""
    seen: int = 0
    repeated: Counter[str] = field(default_factory=Counter)
    """Effects of steps after they were acknowledged."""
    problems: list[str] = field(default_factory=list)
    is_done: bool = False
    kernel: Kernel | None = None

    @property
    def effects(self) -> Path:
        return self.folder / f"{self.name}.effects"

    def drive(self, deadline: float) -> None:
        """Run all cells until the last one completed, in new kernels where one dies or loses the run."""
        while not self.is_done and time.monotonic() < deadline:
            try:
                self._drive_kernel()
            except (KernelGone, _Abandoned, RuntimeError):
                pass
            finally:
                self._count_repeated()
                self._end_kernel()
        if not self.is_done:
            self.problems.append(f"{self.name} did not come to its end: {sorted(self.acknowledged)}")

    def _drive_kernel(self) -> None:
        self.kernel = kernel = self._new_kernel()
        self.kernels += 1
        if kernel.run("%load_ext evercell", timeout=_CELL_SECONDS).status != "ok":
            raise _Abandoned
        if self.acknowledged and kernel.run("%resume", timeout=_CELL_SECONDS).status != "ok":
            raise _Abandoned
        kernel.run(SETUP.format(effects=str(self.effects)))
        for step, source in enumerate(CELLS):
            shown = kernel.run(source, timeout=_CELL_SECONDS)
            if shown.status != "ok":
                self._judge_error(shown.error)
                raise _Abandoned
            self._count_repeated()
            self.acknowledged.add(f"s{step}")
        if (found := kernel.value("history")) != EXPECTED:
            self.problems.append(f"{self.name} has {found}")
        self.is_done = True

    def look_in(self) -> None:
        """A kernel more, which takes up what the last one could not commit."""
        kernel = self._new_kernel()
        try:
            kernel.run("%load_ext evercell", timeout=_CELL_SECONDS)
            kernel.run("%resume", timeout=_CELL_SECONDS)
        finally:
            kernel.shut_down()

    def _judge_error(self, error: str) -> None:
        """Only errors of ours that say what to do may be shown."""
        expected = (
            "StoreUnavailable",
            "LeaseHeld",
            "LeaseLost",
            "KeyboardInterrupt",
            "StoreFull",
            "StoreError",
        )
        if not error.strip().startswith(expected) or "→" not in error:
            self.problems.append(f"{self.name} showed: {error[-400:]}")

    def _new_kernel(self) -> Kernel:
        environ = {
            "EVERCELL_STORE": self.store_url,
            "EVERCELL_NOTEBOOK": str(self.folder / f"{self.name}.ipynb"),
            "EVERCELL_LEASE_SECONDS": str(LEASE_SECONDS),
            "EVERCELL_OUTAGE_SECONDS": str(self.chance.choice([2, 60])),
        }
        if self.faketime is not None:
            environ |= {"LD_PRELOAD": self.faketime, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            environ |= {"FAKETIME": self.chance.choice(_HOUR)}
        return Kernel(cwd=self.folder, environ=environ)

    def _end_kernel(self) -> None:
        kernel, self.kernel = self.kernel, None
        if kernel is not None:
            if self.is_done or not kernel.is_alive():
                kernel.shut_down()
            else:
                kernel.kill()

    def _count_repeated(self) -> None:
        """What happened since the last look in steps that had been acknowledged by then."""
        lines = self.effects.read_text().splitlines() if self.effects.exists() else []
        for line in lines[self.seen :]:
            _, step, *_ = line.split()
            if f"s{step}" in self.acknowledged:
                self.repeated[line] += 1
        self.seen = len(lines)

    # -- faults of its kernel --------------------------------------------------------------------

    def kill(self, chance: random.Random, over: threading.Event) -> None:  # noqa: ARG002
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def freeze(self, chance: random.Random, over: threading.Event) -> None:
        """SIGSTOP, for longer than a lease or shorter, and SIGCONT."""
        pid = self._signal(signal.SIGSTOP)
        over.wait(chance.uniform(0.5, LEASE_SECONDS + 3))
        if pid is not None:
            _send(pid, signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> int | None:
        kernel = self.kernel
        if kernel is None or not kernel.is_alive():
            return None
        _send(kernel.pid, what)
        return kernel.pid


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, what)


class Answerer:
    """Somebody elsewhere who sends the signal and approves, whenever the store lets them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="answerer")
        self._sent: set[str] = set()
        self.errors: list[str] = []

    def __enter__(self) -> Answerer:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(0.3):
            try:
                with open_workspace(self._settings) as workspace, workspace.store.outages.nobody_waits():
                    self._send_signals(workspace)
                    for approval in workspace.store.approvals.pending():
                        answer(
                            workspace, approval.id, approval.question.choices[0], by="answerer", via="bench"
                        )
            except EvercellError:
                continue  # the store is away, or somebody was faster
            except Exception as error:  # noqa: BLE001  the bench reports what is raw
                self.errors.append(f"{type(error).__name__}: {error}")

    def _send_signals(self, workspace: object) -> None:
        store = workspace.store  # type: ignore[attr-defined]
        for run in store.runs.all():
            if run.id not in self._sent:
                send_signal(workspace, run.id, "go")  # type: ignore[arg-type]
                self._sent.add(run.id)
