"""What a worker of a cluster does with a run: executes it in a process of its own, on the worker's host.

Nothing but the run's id came to it. The store, which the worker's own environment names, says all else.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from evercell.core.run_process import command_of
from evercell.engine.clusters import THIS_CLUSTER

_MODULE = "evercell.headless.fleet_runner"

_RUNNERS = 2
"""How many processes are tried here: one that was killed has left a kernel that only this host can take over."""

_ORPHAN_SECONDS = "10"
"""How long a kernel waits for that, idle and without a runner, before it ends."""

_LOOK_SECONDS = 1.0
"""Between two looks at whether the worker is about to close."""


PROBLEMS = ("refused", "died", "lost")
"""Words of answers that are no matter of the notebook."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a run that was handed to a worker."""

    word: str
    """What `execute_admitted` says; or ``suspended``, ``refused`` here, ``died`` with its process."""
    why: str = ""
    """Of a refusal or a failure, in words."""


def execute_on_worker(run_id: str, store_url: str) -> dict[str, str]:
    """Execute a run, and say what became of it. The worker's process stays free to answer its scheduler.

    ``store_url`` has no password in it, and counts where the worker's environment has no ``EVERCELL_STORE``.
    """
    from distributed import get_worker

    worker = get_worker()
    environ = {
        "EVERCELL_STORE": store_url,
        "EVERCELL_ORPHAN_SECONDS": _ORPHAN_SECONDS,
        **os.environ,
        THIS_CLUSTER: str(worker.scheduler.address),
    }
    code = 0
    for _ in range(_RUNNERS):
        # stdin is how the runner knows that this worker lives, stdout is where it answers
        runner = subprocess.Popen(  # noqa: S603  our own program, and an id
            command_of(_MODULE, run_id),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environ,
            start_new_session=True,
        )
        with runner:
            said = _answer(runner, worker)
        if said:
            answered: dict[str, str] = json.loads(said)
            return answered
        code = runner.wait()
    return {"word": "died", "why": f"its process ended with {_ending(code)} on {os.uname().nodename}"}


def _answer(runner: subprocess.Popen[bytes], worker: Any) -> bytes:
    """What the runner says before it ends. It is told when the worker closes, which has some seconds for that."""
    assert runner.stdin is not None
    assert runner.stdout is not None
    with ThreadPoolExecutor(1) as reader:
        said = reader.submit(runner.stdout.read)
        while not wait([said], timeout=_LOOK_SECONDS).done:
            if str(worker.status.name).startswith("clos"):
                runner.stdin.close()
                break
        return said.result()


def _ending(code: int) -> str:
    try:
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"
    except ValueError:
        return f"signal {-code}"
