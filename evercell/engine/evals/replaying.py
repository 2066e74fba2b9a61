"""A notebook replayed against what a run recorded: durable calls get recorded answers, and nothing else is called.

A call that has no recorded answer ends the step where it is made, and is reported: there the notebook's way leaves the
run's. The kernel works on a copy of the run that is thrown away.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evercell.core.metrics import METRICS, Metric, metrics_from_json
from evercell.core.records import Call
from evercell.engine.calls import ownership
from evercell.engine.calls.content import load_result
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.guard import Arguments
from evercell.engine.calls.http import unrecorded
from evercell.engine.calls.log import AGAIN, CallLog, Result, signed, verify_call
from evercell.engine.calls.order import CallIdentity
from evercell.engine.evals.connections import refuse_connections
from evercell.engine.evals.recorded_calls import calls_of_run
from evercell.engine.workspace import Workspace

VARIABLE = "EVERCELL_CHECK"
"""Of a kernel that checks: the id of the run whose answers count, and where to report, as JSON."""


class Diverged(BaseException):
    """The notebook calls what the run did not. No ``except Exception`` of the user's goes on after it."""

    def _render_traceback_(self) -> list[str]:
        return [f"evercell: {self}"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that was not executed."""

    step: str
    """Empty: it was made outside of any."""
    key: str
    call: str
    """In words: ``search('fusion')``."""
    recorded: str = ""
    """What the run called under the same key, in words; empty where it called nothing."""

    def __str__(self) -> str:
        if not self.step:
            return f"{self.call} is called outside of a step, where nothing is recorded"
        if self.recorded == self.call:
            return f"{self.call} is called with other arguments than in the run"
        if self.recorded:
            return f"{self.call} is called, where the run called {self.recorded}"
        return f"{self.call} is called, and the run has no recorded answer"


class Recording:
    """What a run recorded, and what was called beyond that."""

    def __init__(self, workspace: Workspace, run_id: str, report: Path) -> None:
        self._workspace = workspace
        self._run_id = run_id
        self._report = report
        self._steps: dict[str, dict[str, Call]] = {}
        self.refused: Refusal | None = None
        """The first call that was not executed."""
        self._lock = threading.Lock()

    def log_of(self, step: StepContext) -> CallLog:
        """What an attempt at a step gets for its calls."""
        return _ReplayedLog(step, self)

    def guard_of(self, step: str) -> ReplayGuard:
        """What refuses its other calls."""
        return ReplayGuard(self, step)

    def answer(self, step: str, identity: CallIdentity) -> Call | None:
        """What was recorded of a call, None where there is nothing; after a refusal nothing is answered any more."""
        call = self._recorded(step).get(identity.key)
        if call is None or call.arguments != identity.arguments or self.refused is not None:
            return None
        return (
            call if call.ok or not call.tries or AGAIN not in call.tries[-1] else None
        )  # it was interrupted

    def refuse(self, step: str, key: str, call: str) -> Diverged:
        """The error for a call that is not to be executed. The first one is reported."""
        known = self._recorded(step).get(key) if step else None
        with self._lock:
            if self.refused is None:
                self.refused = Refusal(step, key, call, in_words(known) if known is not None else "")
                with self._report.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(self.refused)) + "\n")
            return Diverged(str(self.refused))

    def refuse_outside(self, name: str) -> None:
        """Of what is called where no step records it."""
        raise self.refuse("", "", f"{name}()" if name.isidentifier() else name)

    def _recorded(self, step: str) -> Mapping[str, Call]:
        with self._lock:
            if step not in self._steps:
                found = calls_of_run(self._workspace, self._run_id, step)
                self._steps[step] = {call.key: call for call in found}
            return self._steps[step]


def in_words(call: Call) -> str:
    """``search('fusion')``."""
    return f"{call.name}({call.tries[0].get('arguments') or '' if call.tries else ''})"


class _ReplayedLog(CallLog):
    """Answers calls as the run was answered, and writes down that they were made."""

    def __init__(self, step: StepContext, recording: Recording) -> None:
        super().__init__(step)
        self._recording = recording
        self._answered: dict[str, Call] = {}

    def find(self, identity: CallIdentity) -> Result | None:
        """What was recorded of the call; raises `Diverged` for one of evercell's own that was not."""
        call = self._recording.answer(self._step.name, identity)
        if call is None:
            if identity.name in OWN_NAMES:
                raise self._recording.refuse(self._step.name, identity.key, f"{identity.name}()")
            return None  # the guard refuses it, and knows its arguments
        content = self._content(call)
        verify_call(call, content, self._step.workspace.signer)
        self._write_down(call, identity, content)
        value = load_result(self._step.values, content)
        return Result(value) if call.ok else Result(error=value)

    def metrics(self, identity: CallIdentity) -> Mapping[str, Metric]:
        """What was logged in the recorded call."""
        call = self._answered.get(identity.key)
        return metrics_from_json(call.tries[-1].get(METRICS)) if call is not None and call.tries else {}

    def _write_down(self, call: Call, identity: CallIdentity, content: bytes) -> None:
        step = self._step
        if identity.key in self._answered:
            return
        mine = replace(
            call, run_id=step.run_id, step=step.name, step_key=step.key, position=identity.position, undo=None
        )
        self._answered[identity.key] = mine
        self.commit(signed(mine, content, step.workspace.signer))
        self.replayed += 1
        self.replayed_keys.add(identity.key)
        step.progress.call_replayed(nested=identity.is_nested)


OWN_NAMES = frozenset(
    {"now", "random", "uuid", "sleep", "wait_for", "approve", "result", "cancel", "session"}
)
"""Names of evercell's own calls, about which no guard is asked."""


class ReplayGuard:
    """Refuses each call that comes to it: it is one that would be executed."""

    def __init__(self, recording: Recording, step: str) -> None:
        self._recording = recording
        self._step = step

    def permit(self, identity: CallIdentity, name: str, arguments: Arguments, words: str) -> None:  # noqa: ARG002
        """Raises `Diverged`."""
        raise self._recording.refuse(self._step, identity.key, f"{identity.name}({words})")

    async def permit_async(self, identity: CallIdentity, name: str, arguments: Arguments, words: str) -> None:
        """Raises `Diverged`."""
        self.permit(identity, name, arguments, words)

    def permit_step(self) -> None:
        """Steps are replayed."""

    async def permit_step_async(self) -> None:
        """Steps are replayed."""


def recording_of(workspace: Workspace) -> Recording | None:
    """The one that this kernel is to replay, None where it works for real.

    From then on what is called beside steps is refused.
    """
    said = os.environ.get(VARIABLE)
    if not said:
        return None
    found: dict[str, Any] = json.loads(said)
    recording = Recording(workspace, found["run"], Path(found["report"]))
    ownership.refuse_outside = recording.refuse_outside
    for name in ("httpx", "httpx2", "urllib3"):
        if find_spec(name) is not None:
            import_module(name)
    unrecorded.refuse = recording.refuse_outside
    unrecorded.watch_requests()
    if not found["network"]:
        refuse_connections()
    return recording
