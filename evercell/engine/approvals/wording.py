"""How an approval stands and what to type, in the words that every door uses."""

from __future__ import annotations

from evercell.core.approvals import Approval


def outcome_text(approval: Approval) -> str:
    """How it stands, in one line."""
    decision = approval.decision
    if decision is None:
        return "pending"
    comment = f": {decision.comment}" if decision.comment else ""
    return (
        f"{decision.choice} by {decision.by}, {decision.at:%Y-%m-%d %H:%M:%S} UTC ({decision.via}){comment}"
    )


def where_to_answer(approval: Approval, link: str | None = None) -> str:
    """What to type or to open where no button can be pressed."""
    page = f", or open {link}" if link else ", or open /evercell on your Jupyter server"
    return f"evercell approve {approval.id}  |  evercell reject {approval.id} --comment WHY{page}"
