"""People are told that they are asked: by a webhook and by e-mail, through real servers on loopback."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from pathlib import Path

import pytest

import evercell
from evercell.core.records import EventKind
from evercell.engine.approvals import notifications
from evercell.engine.approvals.deciding import waiting_for
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable, SetClock
from tests.servers import mail_server, webhook


def ask(
    tmp_path: Path, store_url: str, title: str = "Send?", server: str | None = None
) -> list[tuple[str, dict]]:
    """Asks, waits for the notifiers, and returns what the journal says of them."""
    settings = Settings(store_url, tmp_path / "key", wait_grace=0.0, server_url=server)
    with open_workspace(settings) as workspace:
        durable = Durable(workspace, SetClock())
        with pytest.raises(BaseException, match="approval of"):
            durable.step("ask", lambda: evercell.approve(title, details="3 rows", approvers=["ann"]))
        notifications.wait(timeout=30)
        assert len(waiting_for(workspace)) == 1
        events = workspace.store.journal.events(durable.run.id)
    kinds = (EventKind.NOTIFICATION_SENT, EventKind.NOTIFICATION_FAILED)
    return [(str(event.kind), dict(event.data)) for event in events if event.kind in kinds]


def test_a_webhook_is_signed_and_tried_again(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "FIRST_PAUSE", 0.01)
    with webhook(failures=2) as hook:
        monkeypatch.setenv("EVERCELL_WEBHOOK_URL", hook.url)
        monkeypatch.setenv("EVERCELL_WEBHOOK_SECRET", "s3cret")
        ((kind, told),) = ask(tmp_path, store_url, server="https://hub.test/user/ann/")
        ((headers, body),) = hook.got
    assert kind == "notification.sent" and told["tries"] == 3 and told["notifier"] == "webhook"
    assert "a-secret-path" not in json.dumps(told), "no secret in the journal"
    signature = hmac.new(b"s3cret", body, sha256).hexdigest()
    assert headers["X-Evercell-Signature"] == f"sha256={signature}"
    sent = json.loads(body)
    assert sent["title"] == "Send?" and sent["approvers"] == ["ann"]
    assert sent["link"] == f"https://hub.test/user/ann/evercell/approvals/{sent['approval']}"


def test_a_webhook_that_stays_away_is_in_the_journal_and_holds_up_nobody(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "FIRST_PAUSE", 0.01)
    with webhook(failures=99) as hook:
        monkeypatch.setenv("EVERCELL_WEBHOOK_URL", hook.url)
        ((kind, told),) = ask(tmp_path, store_url)
    assert kind == "notification.failed" and "503" in told["error"]


def test_a_mail_says_who_has_to_do_what(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server() as mailbox:
        monkeypatch.setenv("EVERCELL_SMTP_URL", mailbox.url)
        monkeypatch.setenv("EVERCELL_MAIL_TO", "ann@example.org")
        ((kind, told),) = ask(tmp_path, store_url, title="Send?\nBcc: eve@example.org")
    assert kind == "notification.sent" and told["to"] == "ann@example.org"
    (mail,) = mailbox.messages
    head, _, body = mail.partition("\r\n\r\n")
    assert "Subject: Approval asked: Send? Bcc: eve@example.org" in head and "\r\nBcc:" not in head
    assert "3 rows" in body and "evercell approve" in body


def test_who_is_not_set_up_is_not_mentioned(tmp_path: Path, store_url: str) -> None:
    assert ask(tmp_path, store_url) == []
