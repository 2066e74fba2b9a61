"""Approvals as HTML and as text. What is shown cannot run anything, whoever wrote it."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from evercell.core.approvals import Approval
from evercell.engine.approvals.wording import outcome_text, where_to_answer
from evercell.views.listings import ago
from evercell.views.table import Table

_IMAGES = ("image/png", "image/jpeg", "image/gif")
_FRAME = "width:100%;height:16em;border:1px solid #8888;border-radius:4px;background:white"
_TEXT = "white-space:pre-wrap;overflow:auto;max-height:24em;margin:.3em 0"


def details_html(details: Mapping[str, Any]) -> str:
    """Details as they were displayed. HTML is shut in a frame without scripts, forms or links to us."""
    page = details.get("text/html")
    if page is not None:
        return f'<iframe sandbox="" style="{_FRAME}" srcdoc="{html.escape(_joined(page))}"></iframe>'
    for kind in _IMAGES:
        if kind in details:
            data = html.escape("".join(_joined(details[kind]).split()))
            return f'<img style="max-width:100%" alt="details" src="data:{kind};base64,{data}">'
    text = details.get("text/markdown", details.get("text/plain"))
    return f'<pre style="{_TEXT}">{html.escape(_joined(text))}</pre>' if text is not None else ""


def _joined(data: Any) -> str:
    return data if isinstance(data, str) else "".join(map(str, data))


def question_html(approval: Approval) -> str:
    """Title and details."""
    return f"<h4 style='margin:.2em 0'>{html.escape(approval.title)}</h4>{details_html(approval.question.details)}"


def card(approval: Approval, link: str | None = None) -> dict[str, str]:
    """A question, or how it ended, as a display of two MIME types: for pages where nothing is alive."""
    outcome = outcome_text(approval)
    where = where_to_answer(approval, link) if approval.decision is None else ""
    text = "\n".join(filter(None, [f"approval {approval.id}: {approval.title}", outcome, where]))
    return {
        "text/plain": text,
        "text/html": "<div style='border-left:4px solid #e69500;padding:.4em 1em'>"
        f"{question_html(approval)}<div><strong>{html.escape(outcome)}</strong></div>"
        f"<code>{html.escape(where)}</code></div>",
    }


def inbox_view(rows: Sequence[tuple[Approval, str]]) -> Table:
    """Pending approvals with the names of their runs."""
    body = [
        (
            approval.id,
            run,
            approval.step,
            approval.title,
            ago(approval.asked_at),
            f"{approval.deadline_at:%Y-%m-%d %H:%M} UTC" if approval.deadline_at else "",
            ", ".join(approval.question.approvers or ()),
        )
        for approval, run in rows
    ]
    if not body:
        return Table("Nothing waits for approval.", (), ())
    return Table("", ("id", "run", "step", "title", "asked", "until", "approvers"), body)
