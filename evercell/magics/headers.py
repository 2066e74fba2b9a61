"""From the header of a cell to what the engine is to do."""

from __future__ import annotations

from evercell.core.vocabulary import HEADERS
from evercell.engine.approvals.request import ApprovalRequest
from evercell.engine.calls.policy import OnChange
from evercell.engine.magic_lines import parse_line
from evercell.engine.spec import StepSpec


def parse_step(line: str) -> StepSpec:
    """The spec on a ``%%step`` line; raises `UsageError` or, for ``-h``, `HelpRequested`."""
    if line.isidentifier():  # as nearly always: reading the others takes some 50 µs
        return StepSpec(line)
    parsed = parse_line(HEADERS["step"], line)
    if parsed.gate is not None:
        _check_gate(parsed.gate)
    return StepSpec(**{**vars(parsed), "on_change": OnChange(parsed.on_change)})


def _check_gate(text: str) -> None:
    from evercell.engine.evals.gate_lines import read_gates

    read_gates(text)


def parse_approve(line: str) -> StepSpec:
    """The spec on an ``%%approve`` line; raises `UsageError` or `HelpRequested`."""
    parsed = parse_line(HEADERS["approve"], line)
    request = ApprovalRequest(
        parsed.title,
        timeout=parsed.timeout,
        on_timeout=parsed.on_timeout,
        approvers=parsed.approvers,
        quorum=parsed.quorum,
    )
    return StepSpec(name=parsed.name, rerun=parsed.rerun, approval=request)


def parse_setup(line: str) -> str:
    """The name on a ``%%setup`` line; raises `UsageError` or `HelpRequested`."""
    return str(parse_line(HEADERS["setup"], line).name)
