"""``EVERCELL_WEBHOOK_URL``: a signed POST of JSON, which chat services and own servers take."""

from __future__ import annotations

import hmac
import json
import os
import urllib.request
from hashlib import sha256
from urllib.parse import urlsplit

from evercell.core.errors import UsageError
from evercell.engine.approvals.notifications import Notice

_SECONDS = 10
SIGNATURE = "X-Evercell-Signature"
"""Header: ``sha256=`` and the HMAC of the body under ``EVERCELL_WEBHOOK_SECRET``, in hex."""


def notify(notice: Notice) -> str | None:
    """Post what is asked (without its details) to the webhook. Raises `OSError` where that fails."""
    url = os.environ.get("EVERCELL_WEBHOOK_URL")
    if not url:
        return None
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError("EVERCELL_WEBHOOK_URL is no http(s) address.", hint="https://host/path")
    body = json.dumps(_fields(notice)).encode()
    headers = {"Content-Type": "application/json"}
    secret = os.environ.get("EVERCELL_WEBHOOK_SECRET")
    if secret:
        headers[SIGNATURE] = "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
    request = urllib.request.Request(url, body, headers)  # noqa: S310  its scheme was checked
    with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310
        pass
    return urlsplit(url).hostname  # the rest of an address like that is a secret


def _fields(notice: Notice) -> dict[str, object]:
    approval = notice.approval
    where = notice.link or f"evercell approve {approval.id}"
    return {
        "text": f"{approval.title} (run {notice.run}): {where}",
        "approval": approval.id,
        "title": approval.title,
        "run": notice.run,
        "step": approval.step,
        "choices": approval.question.choices,
        "approvers": approval.question.approvers,
        "deadline": approval.deadline_at.isoformat() if approval.deadline_at else None,
        "link": notice.link,
    }
