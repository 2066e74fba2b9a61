"""Waiting for a slot of a limit that all runs of the store share, and giving it back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress

from evercell.core.errors import StoreError, UsageError
from evercell.core.ids import new_id
from evercell.engine.admission import grant
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.running_call import RunningCall
from evercell.engine.calls.scope import CallScope

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 0.5
"""Seconds between two looks."""


@contextmanager
def slot_of_call(call: RunningCall, key: str) -> Iterator[None]:
    """While inside, the call holds a slot, which is waited for; it is not held between two tries."""
    wanted = _Wanted(call.scope, key, f"{call.scope.step.name} {call.identity.key}", call.slots)
    with wanted, _held_by(call, wanted):
        for pause in wanted.looks():
            time.sleep(pause)
        yield


@asynccontextmanager
async def slot_of_call_async(call: RunningCall, key: str) -> AsyncIterator[None]:
    """The same while the loop goes on with other tasks."""
    wanted = _Wanted(call.scope, key, f"{call.scope.step.name} {call.identity.key}", call.slots)
    with wanted, _held_by(call, wanted):
        for pause in wanted.looks():
            await asyncio.sleep(pause)
        yield


def take_cell_slot() -> None:
    """Wait until the step whose cell is about to run has its slot. (`CallScope.give_slots_back` ends that.)"""
    wanted = _of_cell()
    if wanted is not None:
        with wanted.given_up_on_error():
            for pause in wanted.looks():
                time.sleep(pause)


async def take_cell_slot_async() -> None:
    """The same while the loop goes on with other tasks."""
    wanted = _of_cell()
    if wanted is not None:
        with wanted.given_up_on_error():
            for pause in wanted.looks():
                await asyncio.sleep(pause)


def _of_cell() -> _Wanted | None:
    scope = current_scope()
    if scope is None or scope.step.limit is None:
        return None
    wanted = _Wanted(scope, scope.step.limit, scope.step.name, {})
    if wanted.slot_id is not None:
        scope.slots[wanted.key] = wanted.slot_id
    return wanted


@contextmanager
def _held_by(call: RunningCall, wanted: _Wanted) -> Iterator[None]:
    """While inside, calls of the call may use its slot, one at a time."""
    before = call.slots
    if wanted.slot_id is not None:
        call.slots = {**before, wanted.key: wanted.slot_id}
    try:
        yield
    finally:
        call.slots = before


class _Wanted:
    """A slot that is wanted, and then held, until it is given back."""

    def __init__(self, scope: CallScope, key: str, holder: str, around: Mapping[str, str]) -> None:
        """``around``: the slots of whatever is around it."""
        self._scope = scope
        self.key = key
        slot_id = new_id()
        with scope.step.deferred_interrupts():
            is_limited = scope.step.workspace.store.limits.want(
                scope.step.lease(), key, slot_id=slot_id, holder=holder, lent_by=around.get(key)
            )
        self.slot_id = slot_id if is_limited else None
        """None where nobody has set this limit."""
        if not is_limited and key not in scope.unknown_limits:
            scope.unknown_limits.add(key)
            scope.step.note(
                f"nobody has set the limit {key!r} in this store, so it limits nothing: "
                f"evercell limit set {key} --at-once 4"
            )

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """It is another one's."""
        if self.slot_id is not None:
            with suppress(StoreError), self._scope.step.deferred_interrupts():  # it ends with our lease
                self._scope.step.workspace.store.limits.give_back(self.slot_id)

    @contextmanager
    def given_up_on_error(self) -> Iterator[None]:
        """While inside, it is waited for."""
        try:
            yield
        except BaseException:
            self._scope.slots.pop(self.key, None)
            self.give_back()
            raise

    def looks(self) -> Iterator[float]:
        """Look until it is ours; gives the seconds to wait before each further look."""
        if self.slot_id is None or not self._why_not():
            return
        with self._scope.step.progress.waiting(f"limit {self.key}"):
            pause = _FIRST_PAUSE
            while True:
                yield pause
                if not self._why_not():
                    return
                pause = min(_LONGEST_PAUSE, pause * 1.5)

    def _why_not(self) -> str:
        step = self._scope.step
        if self._scope.has_ended:
            raise UsageError(f"Step {step.name} has ended; nothing of it waits for a limit any more.")
        assert self.slot_id is not None
        with step.deferred_interrupts():
            return step.workspace.store.limits.take(self.slot_id, grant)
