"""An approval as HTML and as text. What is shown cannot run anything, whoever wrote it."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from evercell.core.approvals import Approval
from evercell.core.clock import local_text
from evercell.core.text import one_line
from evercell.engine.approvals.deciding import where_to_answer
from evercell.views.form_fields import fields_of
from evercell.views.text import escaped

PENDING, APPROVED, NOT_APPROVED = "#e69500", "#1a7f37", "#b42318"
"""Colours of the bar beside a question that is open, that was approved, that was answered otherwise."""

_LONGEST_VALUES = 200
"""Characters of a form's values in one line."""

_IMAGES = ("image/png", "image/jpeg", "image/gif")
_FRAME = "width:100%;border:1px solid #8888;border-radius:4px;background:white;resize:vertical"
_INSIDE_FRAME = (
    "<style>body{font:13px/1.4 system-ui,sans-serif;margin:8px}table{border:0;border-collapse:collapse}"
    "th,td{border:0;border-bottom:1px solid #ddd;padding:.2em .8em;text-align:right}</style>"
)
_TEXT = "white-space:pre-wrap;overflow:auto;max-height:24em;margin:.3em 0"
_CELL = "text-align:left;padding:.1em 1em .1em 0;vertical-align:top;white-space:pre-wrap"
_DIM = "opacity:.75;line-height:1.5"


def approval_card(approval: Approval, link: str | None = None) -> dict[str, str]:
    """A question, or how it ended, as a display of two MIME types: for pages where nothing is alive."""
    return {"text/plain": approval_text(approval, link), "text/html": approval_html(approval, link)}


def approval_text(approval: Approval, link: str | None = None) -> str:
    """The question, the form's values, how it stands, and where to answer while it is open."""
    fields = [f"  {one_line(field.label)}: {one_line(field.text)}" for field in fields_of(approval)]
    where = [one_line(where_to_answer(approval, link))] if approval.decision is None else []
    title = f"approval {approval.id}: {one_line(approval.title)}"
    return "\n".join(filter(None, [title, terms_text(approval), *fields, outcome_text(approval), *where]))


def approval_html(approval: Approval, link: str | None = None) -> str:
    """The same as HTML, with the details as they were displayed; once it is decided, folded to one line."""
    if approval.decision is not None:
        bar = f"border-left:4px solid {colour_of(approval)};padding:.2em 1em"
        return f"<div style='{bar}'>{folded_html(approval)}</div>"
    return (
        f"<div style='border-left:4px solid {colour_of(approval)};padding:.4em 1em'>"
        f"{question_html(approval)}{_fields_html(approval)}"
        f"<div><strong>{escaped(outcome_text(approval))}</strong></div>{where_html(approval, link)}</div>"
    )


def folded_html(approval: Approval) -> str:
    """A decided question in one line: what was decided, by whom, with which values. Opened, all that was asked."""
    sign = "✓" if approval.approved else "✗"
    values = _joined_fields(approval)
    line = (
        f"<span style='color:{colour_of(approval)};font-weight:600'>{sign}</span> "
        f"<strong>{escaped(one_line(approval.title))}</strong> · {escaped(outcome_text(approval))}"
        f"{f' · {escaped(values)}' if values else ''}"
    )
    inside = details_html(approval.question.details) + _fields_html(approval)
    if not inside:
        return f"<div style='line-height:1.5'>{line}</div>"
    return (
        f"<details style='line-height:1.5'><summary style='cursor:pointer'>{line}</summary>{inside}</details>"
    )


def _joined_fields(approval: Approval) -> str:
    """``subject: Results, copies: 2``, at most a line of it."""
    text = ", ".join(f"{one_line(field.label)}: {one_line(field.text)}" for field in fields_of(approval))
    return text if len(text) <= _LONGEST_VALUES else f"{text[:_LONGEST_VALUES]}…"


def question_html(approval: Approval) -> str:
    """Title, terms and details."""
    title = f"<div style='font-weight:600;font-size:1.05em;margin:.2em 0'>{escaped(approval.title)}</div>"
    terms = f"<div style='{_DIM}'>{escaped(terms_text(approval))}</div>" if terms_text(approval) else ""
    return title + terms + details_html(approval.question.details)


def where_html(approval: Approval, link: str | None = None) -> str:
    """Where to answer while it is open."""
    return f"<div style='{_DIM}'><code>{escaped(where_to_answer(approval, link))}</code></div>"


def colour_of(approval: Approval) -> str:
    """Of the bar beside it."""
    if approval.decision is None:
        return PENDING
    return APPROVED if approval.approved else NOT_APPROVED


def terms_text(approval: Approval) -> str:
    """While it is open: until when, by whom and by how many it is decided; empty where anybody may at any time."""
    if approval.decision is not None:
        return ""
    question = approval.question
    deadline = (
        f"until {local_text(approval.deadline_at)} (then: {question.on_timeout})"
        if approval.deadline_at
        else ""
    )
    people = f"for {' or '.join(question.approvers)}" if question.approvers else ""
    quorum = f"{question.quorum} have to approve" if question.quorum > 1 else ""
    return one_line(", ".join(filter(None, [deadline, people, quorum])))


def details_html(details: Mapping[str, Any]) -> str:
    """Details as they were displayed. HTML is shut in a frame without scripts, forms or links to us."""
    page = details.get("text/html")
    if page is not None:
        inside = html.escape(_INSIDE_FRAME + _joined(page))
        return f'<iframe sandbox="" style="{_FRAME};height:{_frame_height(_joined(page))}" srcdoc="{inside}"></iframe>'
    for kind in _IMAGES:
        if kind in details:
            data = html.escape("".join(_joined(details[kind]).split()))
            return f'<img style="max-width:100%" alt="details" src="data:{kind};base64,{data}">'
    text = details.get("text/markdown", details.get("text/plain"))
    return f'<pre style="{_TEXT}">{escaped(_joined(text))}</pre>' if text is not None else ""


def _frame_height(page: str) -> str:
    """A frame does not fit itself to what is in it; the rows of a table tell roughly."""
    rows = page.count("<tr")
    return f"{min(2 + 2 * rows, 20)}em" if rows else "16em"


def outcome_text(approval: Approval) -> str:
    """How it stands, in one line."""
    decision = approval.decision
    if decision is None:
        return "pending"
    comment = f": {decision.comment}" if decision.comment else ""
    return one_line(
        f"{decision.choice} by {decision.by}, {local_text(decision.at)} ({decision.via}){comment}"
    )


def _fields_html(approval: Approval) -> str:
    rows = "".join(
        f'<tr><td style="{_CELL}">{escaped(field.label)}</td><td style="{_CELL}">{escaped(field.text)}</td></tr>'
        for field in fields_of(approval)
    )
    return f"<table>{rows}</table>" if rows else ""


def _joined(data: Any) -> str:
    return data if isinstance(data, str) else "".join(map(str, data))
