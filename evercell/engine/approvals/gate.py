"""Approval gates: a cell or a call executes when somebody approved, and not otherwise."""

from __future__ import annotations

from functools import partial

from evercell.core.errors import Rejected
from evercell.engine.approvals.asking import wait, wait_async
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.request import LONGEST_TITLE, ApprovalRequest
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.ownership import require_scope
from evercell.engine.calls.policy import ONCE


class ApprovalGate:
    """Asks before a step's cell, where ``%%approve`` says so, and before calls of ``@step(approve=True)``."""

    def __init__(self, cell: ApprovalRequest | None = None) -> None:
        self._cell = cell
        self._decisions: dict[str, Decision] = {}
        """Those on calls, in this attempt."""

    def require_cell(self) -> None:
        """Wait until the cell is approved; raises `Rejected`."""
        if self._cell is not None:
            _refuse_rejected(self._cell, _decide(self._cell, self._cell.call_key))

    def require(self, name: str, arguments: bytes, description: str) -> None:
        """Wait until the call is approved; raises `Rejected`."""
        request, key = _of_call(name, arguments, description)
        if key not in self._decisions:
            self._decisions[key] = _decide(request, key)
        _refuse_rejected(request, self._decisions[key])

    async def require_async(self, name: str, arguments: bytes, description: str) -> None:
        """The same without holding up the loop."""
        request, key = _of_call(name, arguments, description)
        if key not in self._decisions:
            self._decisions[key] = await call_async(
                partial(wait_async, request), (), {}, name="approve", key=key, policy=ONCE
            )
        _refuse_rejected(request, self._decisions[key])


def require_cell_approval(line: str) -> None:  # noqa: ARG001
    """What ``%%approve LINE`` puts before a cell; raises `Rejected`."""
    gate = require_scope("approve").step.gate
    if isinstance(gate, ApprovalGate):
        gate.require_cell()


def _of_call(name: str, arguments: bytes, description: str) -> tuple[ApprovalRequest, str]:
    title = f"{name}({description})"[:LONGEST_TITLE]
    return ApprovalRequest(title), f"{name} {arguments.hex()[:16]}"


def _decide(request: ApprovalRequest, key: str) -> Decision:
    decision: Decision = call_sync(partial(wait, request), (), {}, name="approve", key=key, policy=ONCE)
    return decision


def _refuse_rejected(request: ApprovalRequest, decision: Decision) -> None:
    if not decision:
        comment = f": {decision.comment}" if decision.comment else ""
        raise Rejected(
            f"{decision.by} answered {request.title!r} with {decision.choice}{comment}.",
            hint="It was not executed. To ask again: --rerun on the cell's first line, or change what is asked.",
        )
