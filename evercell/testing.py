"""Test the durability of your own functions and notebooks: a pytest plugin, without kernels and without waiting.

    def test_the_agent_goes_on_where_it_died(durable):
        with durable.dies_at("after_call_commit", 3):
            durable.step("agent", run_agent)          # a function that calls @evercell.step functions
        result = durable.step("agent", run_agent)
        assert effects == [...]

``durable`` has a store of its own, a clock that is set (``durable.clock.advance(days=3)``; a sleep of three days
passes in an instant), and named places where the process "dies".
"""

from __future__ import annotations

import asyncio
import datetime
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evercell.core import faults
from evercell.core.ids import new_id
from evercell.core.records import NewRun
from evercell.engine.approvals.gate import ApprovalGate
from evercell.engine.calls.context import StepContext
from evercell.engine.calls.http.unrecorded import watch_requests
from evercell.engine.calls.ownership import calls_of
from evercell.engine.calls.permits import permit_step, permit_step_async
from evercell.engine.calls.policy import OnChange
from evercell.engine.calls.scope import CallScope
from evercell.engine.calls.signals import send_signal
from evercell.engine.leasing import HeldLease, take_lease
from evercell.engine.missions.guarding import guard_of
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from evercell.kernel_ext.interrupts import deferred_interrupts
from evercell.kernel_ext.time_limits import LIMITS
from evercell.state import Values

PLACES = (
    "before_call_commit", "after_call_commit", "before_user_commit", "after_user_commit",
    "before_policy_commit", "after_policy_commit", "after_policy_decision",
    "before_mission_commit", "after_mission_commit",
    "before_child_commit", "after_child_commit", "before_result_commit", "after_result_commit",
    "before_thread_commit", "after_thread_commit", "before_thread_writes_commit", "after_thread_writes_commit",
)  # fmt: skip
"""Where a process can die in a durable call: on either side of what is committed."""


class Died(BaseException):
    """The simulated end of the process: nothing of evercell's catches it, nor does ``except Exception``."""


class SetClock:
    """A clock that stands still but for ``advance()`` and durable sleeps."""

    def __init__(self) -> None:
        self.moment = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)

    def __call__(self) -> datetime.datetime:
        return self.moment

    def advance(self, **duration: float) -> None:
        """``advance(days=3, hours=1)``."""
        self.moment += datetime.timedelta(**duration)

    def pass_by(self, seconds: float) -> None:
        """What a durable sleep does instead of waiting."""
        self.moment += datetime.timedelta(seconds=seconds)


class Durable:
    """One run whose steps are Python functions."""

    def __init__(self, workspace: Workspace, clock: SetClock) -> None:
        self.workspace = workspace
        self.clock = clock
        self.run = workspace.store.runs.create(NewRun(notebook=None, created_by="test"))
        self.notes: list[str] = []
        self._completed: dict[str, str] = {}
        """Attempts that returned, with their steps."""
        self.calls: CallScope | None = None
        """The calls of the step that ran last: ``calls.executed``, ``calls.replayed``."""

    def step(self, name: str, function: Callable[[], Any], *, on_change: str = "fail") -> Any:
        """Run a function (or coroutine function) as the step ``name``: its calls are durable.

        A step that died, or raised, goes on the next time where it was. Returns what the function returns.
        """
        held = take_lease(self.workspace, self.run.id)
        try:
            return self._run(self._context(name, function, held, OnChange(on_change)), function)
        finally:
            held.release()

    def _context(
        self, name: str, function: Callable[[], Any], held: HeldLease, on_change: OnChange
    ) -> StepContext:
        guard = guard_of(self.workspace, self.run, lambda: held.lease)
        return StepContext(
            workspace=self.workspace,
            lease=lambda: held.lease,
            values=Values(getattr(inspect.unwrap(function), "__globals__", {})),
            run_id=self.run.id,
            name=name,
            key=sha256(name.encode()).digest(),
            note=self.notes.append,
            gate=ApprovalGate(),
            guard=guard.for_step(name, lambda: held.lease) if guard is not None else None,
            attempt=new_id(),
            attempts_behind=lambda: {done for done, step in self._completed.items() if step != name},
            limits=LIMITS,
            deferred_interrupts=deferred_interrupts,
            on_change=on_change,
        )

    def _run(self, step: StepContext, function: Callable[[], Any]) -> Any:
        watch_requests()
        if inspect.iscoroutinefunction(function):
            result = asyncio.run(self._run_async(step, function))
        else:
            with calls_of(step) as self.calls:
                permit_step()
                result = function()
        self._completed[step.attempt] = step.name
        return result

    async def _run_async(self, step: StepContext, function: Callable[[], Any]) -> Any:
        with calls_of(step) as self.calls:
            await permit_step_async()
            return await function()

    @contextmanager
    def dies_at(self, place: str, number: int = 1) -> Iterator[None]:
        """Within, the process dies when it comes to ``place`` (of `PLACES`) for the ``number``-th time."""
        if place not in PLACES:
            raise ValueError(f"{place!r} is none of {', '.join(PLACES)}.")
        left = number

        def die(name: str) -> None:
            nonlocal left
            left -= name == place
            if left == 0 and name == place:
                raise Died(place)

        try:
            with faults.watched(die):
                yield
        except BaseException as error:
            if not _has_died(error):
                raise
        else:
            pytest.fail(f"It ended without dying: {place} was not reached {number} times.")

    def send(self, signal: str, payload: Any = None) -> None:
        """A signal from outside."""
        send_signal(self.workspace, self.run.id, signal, payload)


def _has_died(error: BaseException) -> bool:
    """Whether the process died: in a task of a group, say, which raises what its tasks did together."""
    if isinstance(error, BaseExceptionGroup):
        return any(_has_died(inner) for inner in error.exceptions)
    return isinstance(error, Died)


@contextmanager
def open_durable(folder: Path, clock: SetClock) -> Iterator[Durable]:
    """What the ``durable`` fixture gives."""
    settings = Settings(f"sqlite:///{folder / 'evercell-test.db'}", folder / "evercell-test.key")
    with open_workspace(settings, clock=clock) as workspace:
        yield Durable(workspace, clock)
