"""Approval gates: a cell or a call executes when somebody approved, and not otherwise."""

from __future__ import annotations

from functools import partial
from typing import Any

from evercell.core.errors import Rejected
from evercell.engine.approvals.asking import LONGEST_TITLE, ONCE, Ask, key_of, wait, wait_async
from evercell.engine.approvals.decision import Decision
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.scope import require_scope


def require_cell_approval(line: str) -> None:  # noqa: ARG001
    """What ``%%approve LINE`` puts before a cell; raises `Rejected`."""
    scope = require_scope("approve")
    ask = scope.gate
    if isinstance(ask, Ask):
        _require(ask, key_of(ask, None))


def require_call_approval(name: str, arguments: bytes, told: str) -> None:
    """What ``@step(approve=True)`` asks before a call with arguments that are new to this step."""
    ask, key, given = _gate_of(name, arguments, told)
    if key not in given:
        given[key] = call_sync(partial(wait, ask), (), {}, name="approve", key=key, policy=ONCE)
    _refuse_rejected(ask, given[key])


async def require_call_approval_async(name: str, arguments: bytes, told: str) -> None:
    """The same before a coroutine function's call, without holding up the kernel's loop."""
    ask, key, given = _gate_of(name, arguments, told)
    if key not in given:
        given[key] = await call_async(partial(wait_async, ask), (), {}, name="approve", key=key, policy=ONCE)
    _refuse_rejected(ask, given[key])


def _gate_of(name: str, arguments: bytes, told: str) -> tuple[Ask, str, dict[str, Any]]:
    key = f"{name} {arguments.hex()[:16]}"
    return Ask(f"{name}({told})"[:LONGEST_TITLE]), key, require_scope("approve").gate_decisions


def _require(ask: Ask, key: str) -> None:
    _refuse_rejected(ask, call_sync(partial(wait, ask), (), {}, name="approve", key=key, policy=ONCE))


def _refuse_rejected(ask: Ask, decision: Decision) -> None:
    if not decision:
        comment = f": {decision.comment}" if decision.comment else ""
        raise Rejected(
            f"{decision.by} answered {ask.title!r} with {decision.choice}{comment}.",
            hint="It was not executed. To ask again: --rerun on the cell's first line, or change what is asked.",
        )
