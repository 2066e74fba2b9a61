"""A tool call of an agent as a question to a person: approved as it is, approved with other arguments, or not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from evercell.engine.approvals.asking import approve_async, request_of
from evercell.engine.approvals.decision import Decision
from evercell.engine.approvals.request import APPROVE_OR_REJECT, LONGEST_TITLE
from evercell.engine.calls.durable_functions import written


async def approve_tool_call(
    tool: str, arguments: Mapping[str, Any], *, key: str, details: Any = None,
    approvers: Sequence[str] | None = None, may_edit: bool = True,
) -> Decision:  # fmt: skip
    """Ask whether an agent may call a tool; the arguments are a form, which the approver ``may_edit`` first.

    ``key`` is what the question is found by: the id of the tool call. Belongs into a step.
    """
    title = f"{tool}({written((), dict(arguments))})"
    title = title if len(title) <= LONGEST_TITLE else f"{title[: LONGEST_TITLE - 1]}…"
    form = arguments if may_edit and arguments and _is_editable(arguments) else None
    request = request_of(title, details, APPROVE_OR_REJECT, form, None, "reject", approvers, 1)
    return await approve_async(request, key)


_LONGEST_KEY = 64


def key_of(given: str) -> str:
    """An id that a model gave, as a part of a call's key: short, and without what has a meaning there."""
    is_plain = len(given) <= _LONGEST_KEY and given.isprintable() and not set(given) & set("/[]#")
    return given if is_plain else sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _is_editable(arguments: Mapping[str, Any]) -> bool:
    """Whether a form can have them. A model may write what JSON does not know, such as NaN."""
    try:
        json.dumps(arguments, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
