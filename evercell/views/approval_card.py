"""An approval as HTML and as text. What is shown cannot run anything, whoever wrote it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.clock import utc_text
from evercell.engine.approvals.wording import where_to_answer
from evercell.views.form_fields import fields_of
from evercell.views.text import escaped, one_line

_IMAGES = ("image/png", "image/jpeg", "image/gif")
_FRAME = "width:100%;height:16em;border:1px solid #8888;border-radius:4px;background:white"
_TEXT = "white-space:pre-wrap;overflow:auto;max-height:24em;margin:.3em 0"
_CELL = "text-align:left;padding:.1em 1em .1em 0;vertical-align:top;white-space:pre-wrap"


def approval_card(approval: Approval, link: str | None = None) -> dict[str, str]:
    """A question, or how it ended, as a display of two MIME types: for pages where nothing is alive."""
    return {"text/plain": approval_text(approval, link), "text/html": approval_html(approval, link)}


def approval_text(approval: Approval, link: str | None = None) -> str:
    """The question, the form's values, how it stands, and where to answer while it is open."""
    fields = [f"  {one_line(field.label)}: {one_line(field.text)}" for field in fields_of(approval)]
    where = [one_line(where_to_answer(approval, link))] if approval.decision is None else []
    title = f"approval {approval.id}: {one_line(approval.title)}"
    return "\n".join([title, *fields, outcome_text(approval), *where])


def approval_html(approval: Approval, link: str | None = None) -> str:
    """The same as HTML, with the details as they were displayed."""
    where = f"<code>{escaped(where_to_answer(approval, link))}</code>" if approval.decision is None else ""
    return (
        "<div style='border-left:4px solid #e69500;padding:.4em 1em'>"
        f"{question_html(approval)}{_fields_html(approval)}"
        f"<div><strong>{escaped(outcome_text(approval))}</strong></div>{where}</div>"
    )


def question_html(approval: Approval) -> str:
    """Title and details."""
    return (
        f"<h4 style='margin:.2em 0'>{escaped(approval.title)}</h4>{details_html(approval.question.details)}"
    )


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
    return f'<pre style="{_TEXT}">{escaped(_joined(text))}</pre>' if text is not None else ""


def outcome_text(approval: Approval) -> str:
    """How it stands, in one line."""
    decision = approval.decision
    if decision is None:
        return "pending"
    comment = f": {decision.comment}" if decision.comment else ""
    return one_line(f"{decision.choice} by {decision.by}, {utc_text(decision.at)} ({decision.via}){comment}")


def _fields_html(approval: Approval) -> str:
    rows = "".join(
        f'<tr><td style="{_CELL}">{escaped(field.label)}</td><td style="{_CELL}">{escaped(field.text)}</td></tr>'
        for field in fields_of(approval)
    )
    return f"<table>{rows}</table>" if rows else ""


def _joined(data: Any) -> str:
    return data if isinstance(data, str) else "".join(map(str, data))
