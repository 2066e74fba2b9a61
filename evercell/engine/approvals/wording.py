"""What to type to answer an approval, in the words that every door uses."""

from __future__ import annotations

from evercell.core.approvals import Approval


def where_to_answer(approval: Approval, link: str | None = None) -> str:
    """What to type or to open where no button can be pressed."""
    page = f", or open {link}" if link else ", or open /evercell on your Jupyter server"
    return f"evercell approve {approval.id}  |  evercell reject {approval.id} --comment WHY{page}"
