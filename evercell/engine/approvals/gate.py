"""Approval gates: a cell or a call executes when somebody approved, and not otherwise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from evercell.core.errors import Rejected
from evercell.engine.approvals.asking import wait, wait_async
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.request import LONGEST_TITLE, ApprovalRequest, Lines
from evercell.engine.calls.blocking import refuse_in_coroutine
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.order import CallIdentity
from evercell.engine.calls.ownership import current_scope, enter_call, leave_call, require_scope
from evercell.engine.calls.policy import ONCE
from evercell.engine.calls.running_call import RunningCall


class ApprovalGate:
    """Asks before a step's cell, where ``%%approve`` says so, and before calls of ``@step(approve=True)``."""

    def __init__(self, cell: ApprovalRequest | None = None) -> None:
        self._cell = cell
        self._decisions: dict[str, Future[Decision]] = {}
        """Those of this attempt, by the key of the question: who comes while it is asked waits for the same one."""
        self._lock = threading.Lock()

    def require_cell(self) -> None:
        """Wait until the cell is approved; raises `Rejected`."""
        if self._cell is not None:
            refuse_rejected(self._cell, self._decide(self._cell, self._cell.call_key))

    async def decide_cell(self) -> None:
        """Wait until the cell is decided on, while the loop goes on: `require_cell` then waits no more."""
        if self._cell is not None:
            await self._decide_async(self._cell, self._cell.call_key)

    def require(self, name: str, arguments: bytes, description: str) -> None:
        """Wait until the call is approved; raises `Rejected`."""
        refuse_in_coroutine(name, hint=f"Make {name} a coroutine function (async def), and await it.")
        request, key = _of_call(name, arguments, description)
        refuse_rejected(request, self._decide(request, key))

    async def require_async(self, name: str, arguments: bytes, description: str) -> None:
        """The same while the loop goes on with other tasks."""
        request, key = _of_call(name, arguments, description)
        refuse_rejected(request, await self._decide_async(request, key))

    def decide(self, call: CallIdentity, title: str, details: str, choices: tuple[str, ...]) -> bool:
        """See `Gate.decide`."""
        refuse_in_coroutine(
            call.name, hint=f"Make {call.name} a coroutine function (async def), and await it."
        )
        with _about(call):
            return bool(wait(ApprovalRequest(title[:LONGEST_TITLE], Lines(details), choices)))

    async def decide_async(
        self, call: CallIdentity, title: str, details: str, choices: tuple[str, ...]
    ) -> bool:
        """See `Gate.decide_async`."""
        with _about(call):
            return bool(await wait_async(ApprovalRequest(title[:LONGEST_TITLE], Lines(details), choices)))

    def _decide(self, request: ApprovalRequest, key: str) -> Decision:
        decision, is_ours = self._claim(key)
        if is_ours:
            with self._given_up_on_error(key):
                asked = partial(wait, request)
                decision.set_result(
                    call_sync(asked, (), {}, name="approve", key=key, policy=ONCE, is_own=True)
                )
        return decision.result()

    async def _decide_async(self, request: ApprovalRequest, key: str) -> Decision:
        decision, is_ours = self._claim(key)
        if not is_ours:
            return await asyncio.shield(asyncio.wrap_future(decision))
        with self._given_up_on_error(key):
            asked = partial(wait_async, request)
            decision.set_result(
                await call_async(asked, (), {}, name="approve", key=key, policy=ONCE, is_own=True)
            )
        return decision.result()

    def _claim(self, key: str) -> tuple[Future[Decision], bool]:
        """The decision, there or to come, and whether it is the caller's to ask for."""
        with self._lock:
            known = self._decisions.get(key)
            if known is None:
                known = self._decisions[key] = Future()
                return known, True
            return known, False

    @contextmanager
    def _given_up_on_error(self, key: str) -> Iterator[None]:
        """An error reaches all who wait for the same answer; who comes later asks anew."""
        try:
            yield
        except BaseException as error:
            with self._lock:
                self._decisions.pop(key).set_exception(error)
            raise


@contextmanager
def _about(call: CallIdentity) -> Iterator[None]:
    """While inside, a question belongs to this call."""
    token = enter_call(RunningCall(require_scope("approve"), replace(call, key=f"{call.key}/decision")))
    try:
        yield
    finally:
        leave_call(token)


def require_cell_approval(line: str) -> None:  # noqa: ARG001
    """What ``%%approve LINE`` puts before a cell; raises `Rejected`."""
    gate = require_scope("approve").step.gate
    if isinstance(gate, ApprovalGate):
        gate.require_cell()


async def decide_cell_approval() -> None:
    """What comes before a cell that awaits, so that the question in it does not hold up the loop."""
    scope = current_scope()
    if scope is not None and isinstance(scope.step.gate, ApprovalGate):
        await scope.step.gate.decide_cell()


def _of_call(name: str, arguments: bytes, description: str) -> tuple[ApprovalRequest, str]:
    title = f"{name}({description})"[:LONGEST_TITLE]
    return ApprovalRequest(title), f"{name} {arguments.hex()[:16]}"


def refuse_rejected(request: ApprovalRequest, decision: Decision) -> None:
    """Raise `Rejected` unless it was approved."""
    if not decision:
        comment = f": {decision.comment}" if decision.comment else ""
        raise Rejected(
            f"{decision.by} answered {request.title!r} with {decision.choice}{comment}.",
            hint="It was not executed. To ask again: --rerun on the cell's first line, or change what is asked.",
        )
