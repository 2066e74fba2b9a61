"""``EVERCELL_SMTP_URL``: an e-mail to ``EVERCELL_MAIL_TO``, through any SMTP server."""

from __future__ import annotations

import os
import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from evercell.core.clock import utc_text
from evercell.core.errors import UsageError
from evercell.core.text import one_line, printable
from evercell.engine.approvals.notifications import Notice

_SECONDS = 15


def notify(notice: Notice) -> str | None:
    """Send a mail. ``EVERCELL_SMTP_URL`` is ``smtp://[user:password@]host:port``, or ``smtps://`` (TLS from the
    start), or ``smtp+tls://`` (STARTTLS). Raises `OSError` or `smtplib.SMTPException` where that fails.
    """
    url, to = os.environ.get("EVERCELL_SMTP_URL"), os.environ.get("EVERCELL_MAIL_TO")
    if not url or not to:
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("smtp", "smtps", "smtp+tls") or not parts.hostname:
        raise UsageError("EVERCELL_SMTP_URL is no address of a mail server.", hint="smtp://host:25")
    message = _message(notice, to)
    with _connect(parts.scheme, parts.hostname, parts.port) as server:
        if parts.scheme == "smtp+tls":
            server.starttls(context=ssl.create_default_context())
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
    return to


def _connect(scheme: str, host: str, port: int | None) -> smtplib.SMTP:
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port or 465, timeout=_SECONDS, context=ssl.create_default_context())
    return smtplib.SMTP(host, port or 25, timeout=_SECONDS)


def _message(notice: Notice, to: str) -> EmailMessage:
    approval = notice.approval
    title = printable(" ".join(approval.title.split()))  # a line break would begin another header
    message = EmailMessage()
    message["Subject"] = f"Approval asked: {title}"
    message["From"] = os.environ.get("EVERCELL_MAIL_FROM", "evercell@localhost")
    message["To"] = to
    until = f"\nUntil: {utc_text(approval.deadline_at)}" if approval.deadline_at else ""
    where = notice.link or f"evercell approve {approval.id}\nevercell reject {approval.id} --comment WHY"
    details = printable(str(approval.question.details.get("text/plain", ""))[:2000])
    message.set_content(
        f"{title}\n\nRun: {one_line(notice.run)}, step {approval.step}{until}\n\n{details}\n\nTo answer:\n{where}\n"
    )
    return message
