"""Several runs executed at a time, each in a process of its own: none can end, fill or hold up another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from evercell.core.records import Run
from evercell.core.text import one_line
from evercell.engine.workspace import Workspace
from evercell.headless.endings import EX_TEMPFAIL, ExitCode

_CODE = "from evercell.headless.several import end_with; end_with({}); from evercell.cli import main; main()"
_LOOK = 0.5
"""Seconds between two looks whether the parent lives."""

_END_TIMEOUT = 30.0
"""Seconds that a run has to leave its kernel in good order."""

_ENDED_FROM_OUTSIDE = (ExitCode.INTERRUPTED, ExitCode.TERMINATED)

_ABORTED = "Aborted!"
"""What a command says that was interrupted."""

Said = Callable[[Run, str], None]
"""Is told a line that one of them said."""


@dataclass(frozen=True, slots=True)
class Ended:
    """What came of one of several runs."""

    run: Run
    """As it was when it was begun."""
    status: str
    code: int
    """As ``evercell resume`` ends: 0 completed, 1 failed, 75 waits."""
    seconds: float = 0.0
    problem: str = ""
    """The error that stopped it, or what it waits for."""
    report: Any = None
    """What ``evercell resume --json`` says of it."""


def execute_each(
    workspace: Workspace, runs: Sequence[Run], *, at_once: int, options: Sequence[str] = (), said: Said
) -> list[Ended]:
    """Execute runs, ``at_once`` at a time, in their order. An interrupt ends those under way, and begins no other.

    ``options``: of ``evercell resume``, for each of them.
    """
    batch = _Batch({**os.environ, "EVERCELL_STORE": workspace.settings.store_url}, options, said)
    with ThreadPoolExecutor(max(1, min(at_once, len(runs)))) as pool, _terminable():
        futures = [pool.submit(batch.execute, run) for run in runs]
        try:
            wait(futures)
        except KeyboardInterrupt:
            batch.end()
        return [future.result() for future in futures]


def exit_code(ended: Sequence[Ended]) -> int:
    """1 where one did not complete; else 75 where one waits; else 0."""
    codes = {each.code for each in ended}
    if codes - {0, EX_TEMPFAIL}:
        return 1
    return EX_TEMPFAIL if EX_TEMPFAIL in codes else 0


class _Batch:
    """The processes of several runs."""

    def __init__(self, environ: dict[str, str], options: Sequence[str], said: Said) -> None:
        self._environ = environ
        self._options = options
        self._said = said
        self._under_way: list[subprocess.Popen[str]] = []
        self._is_over = False
        self._lock = threading.Lock()

    def execute(self, run: Run) -> Ended:
        """Execute one of them, unless they were ended meanwhile."""
        began = time.monotonic()
        with self._lock:
            if self._is_over:
                return Ended(run, str(run.status), 1, problem="not begun")
            process = self._begin(run)
        with process:
            lines: list[str] = []
            reading = threading.Thread(target=_read, args=(run, process, lines, self._said), daemon=True)
            reading.start()
            told = process.stdout.read() if process.stdout is not None else ""
            code = process.wait()
            reading.join()
        return _ended(run, code, told, lines, time.monotonic() - began)

    def _begin(self, run: Run) -> subprocess.Popen[str]:
        words = [sys.executable, "-P", "-c", _CODE.format(os.getpid()), "resume", run.id, "--json"]
        pipes: dict[str, Any] = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "stdin": subprocess.DEVNULL,
        }
        process = subprocess.Popen(  # noqa: S603  this very program
            [*words, *self._options],
            env=self._environ,
            text=True,
            errors="replace",
            start_new_session=True,
            **pipes,
        )
        self._under_way.append(process)
        return process

    def end(self) -> None:
        """Interrupt those under way, and wait until they left their runs."""
        with self._lock:
            self._is_over = True
            living = [process for process in self._under_way if process.poll() is None]
        for process in living:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        last = time.monotonic() + _END_TIMEOUT
        for process in living:
            try:
                process.wait(max(0.0, last - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()


def _read(run: Run, process: subprocess.Popen[str], lines: list[str], said: Said) -> None:
    for line in process.stderr or ():
        lines.append(line.rstrip("\n"))
        said(run, lines[-1])


def _ended(run: Run, code: int, told: str, lines: list[str], seconds: float) -> Ended:
    try:
        report = json.loads(told)
        problem = report.get("error") or report.get("waiting") or report.get("stopped") or ""
        status = "interrupted" if code in _ENDED_FROM_OUTSIDE else str(report["status"])
        return Ended(run, status, code, seconds, one_line(str(problem)), report)
    except (ValueError, KeyError, AttributeError):
        ours = [line.removeprefix("evercell: ") for line in lines if line.startswith("evercell: ")]
        if _ABORTED in lines:
            return Ended(run, "interrupted", 1, seconds)
        problem = (ours or lines or [f"it ended with exit code {code}"])[-1]
        return Ended(run, "not executed" if ours else "interrupted", code or 1, seconds, one_line(problem))


@contextmanager
def _terminable() -> Iterator[None]:
    """A polite end from outside is taken for an interrupt: what is under way is left in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def end_with(parent: int) -> None:
    """Have this process interrupted when its parent is gone: nobody would be told what came of it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK)
        os.kill(os.getpid(), signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    threading.Thread(target=watch, name="evercell-parent", daemon=True).start()
