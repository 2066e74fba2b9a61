"""The inbox as pages of a real Jupyter server: behind its login, with its XSRF protection, running nothing."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

import evercell
from evercell.core.approvals import Approval
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable, SetClock
from tests.conftest import isolated_home
from tests.servers import TOKEN, jupyter_server

EVIL = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"


class Html:
    def _repr_html_(self) -> str:
        return f"<table><tr><td>a row</td></tr></table>{EVIL}"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("server")
    return Settings(f"sqlite:///{folder / 'store.db'}", folder / "key", wait_grace=0.0)


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    folder = settings.key_path.parent
    environ = {"EVERCELL_STORE": settings.store_url, "EVERCELL_USER": "ann", **isolated_home(folder / "home")}
    with jupyter_server(folder, **environ) as server:
        yield server.url


@pytest.fixture
def durable(settings: Settings) -> Iterator[Durable]:
    with open_workspace(settings) as workspace:
        yield Durable(workspace, SetClock())


def ask(durable: Durable, title: str = "Send?", **options: Any) -> Approval:
    known = {approval.id for approval in waiting_for(durable.workspace)}
    with pytest.raises(BaseException, match="approval of"):
        durable.step(f"s{len(known)}", lambda: evercell.approve(title, **options))
    (new,) = [a for a in waiting_for(durable.workspace) if a.id not in known]
    return new


@pytest.fixture
def person(address: str) -> Iterator[requests.Session]:
    """Somebody who logged in."""
    with requests.Session() as session:
        session.get(f"{address}/evercell?token={TOKEN}", timeout=20).raise_for_status()
        yield session


def send(person: requests.Session, url: str, **fields: str) -> requests.Response:
    page = person.get(url, timeout=20)
    token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert token, page.text
    return person.post(url, data={"_xsrf": token[1], **fields}, timeout=20)


def test_a_stranger_sees_nothing_and_decides_nothing(address: str, durable: Durable) -> None:
    asked = ask(durable)
    for path in ("/evercell", f"/evercell/approvals/{asked.id}", f"/evercell/runs/{durable.run.name}"):
        page = requests.get(address + path, timeout=20, allow_redirects=False)
        assert page.status_code in (302, 403) and "Send?" not in page.text
    forged = requests.post(
        f"{address}/evercell/approvals/{asked.id}",
        data={"choice": "Approve"},
        timeout=20,
        allow_redirects=False,
    )
    assert forged.status_code == 403
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_a_form_from_another_site_decides_nothing(
    address: str, durable: Durable, person: requests.Session
) -> None:
    """The browser would send the cookies along; what it does not have is the page's XSRF token."""
    asked = ask(durable)
    forged = person.post(f"{address}/evercell/approvals/{asked.id}", data={"choice": "Approve"}, timeout=20)
    assert forged.status_code == 403
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_an_approval_is_answered_once_with_its_form_and_comment(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(
        durable, "Send 3 mails?", details=Html(), form={"subject": "Results", "copies": 1, "now": True}
    )
    inbox = person.get(f"{address}/evercell", timeout=20).text
    assert "Send 3 mails?" in inbox and durable.run.name in inbox
    url = f"{address}/evercell/approvals/{asked.id}"
    wrong = send(person, url, choice="Approve", **{"field.copies": "many"}, comment="so far <b>so good</b>")
    assert wrong.status_code == 400 and "a whole number" in wrong.text
    assert "so far &lt;b&gt;so good&lt;/b&gt;" in wrong.text, "what was typed is not lost"
    done = send(
        person, url, choice="Approve", **{"field.copies": "2", "field.subject": "Héllo"}, comment="go"
    )
    assert done.status_code == 200 and "Approve by ann" in done.text
    decision = durable.workspace.store.approvals.find(asked.id).decision
    assert decision is not None
    assert (decision.by, decision.via, decision.comment) == ("ann", "web page", "go")
    assert decision.values == {"subject": "Héllo", "copies": 2, "now": False}
    later = person.post(url, data={"_xsrf": person.cookies.get("_xsrf"), "choice": "Reject"}, timeout=20)
    assert later.status_code == 409 and "was decided already: Approve, by ann" in later.text
    assert durable.workspace.store.approvals.find(asked.id).decision == decision


def test_a_page_shows_the_form_in_its_order_and_in_the_end_what_was_decided(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(durable, form={"subject": "proposed", "copies": 1, "urgent": False})
    url = f"{address}/evercell/approvals/{asked.id}"
    names = re.findall(r'name="field\.(\w+)"', person.get(url, timeout=20).text)
    assert names == ["subject", "copies", "urgent"]
    wrong = send(person, url, choice="Approve", **{"field.subject": "typed", "field.copies": "many"})
    assert 'value="typed"' in wrong.text, "what was typed is not lost"
    answer(
        durable.workspace, asked.id, "Approve", by="bob", via="command line", values={"subject": "decided"}
    )
    shown = person.get(url, timeout=20).text
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", shown) == [
        ("subject", "decided"),
        ("copies", "1"),
        ("urgent", "no"),
    ]
    assert "proposed" not in shown and "<form" not in shown


def test_what_is_shown_cannot_run(address: str, durable: Durable, person: requests.Session) -> None:
    asked = ask(durable, f"Send? {EVIL}"[:400], details=Html())
    for path in ("/evercell", f"/evercell/approvals/{asked.id}", f"/evercell/runs/{durable.run.name}"):
        page = person.get(address + path, timeout=20)
        assert "<script>" not in page.text and 'onerror="' not in page.text
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src" not in policy
    assert 'sandbox=""' in person.get(f"{address}/evercell/approvals/{asked.id}", timeout=20).text


def test_who_may_not_decide_is_told_who_may(address: str, durable: Durable, person: requests.Session) -> None:
    asked = ask(durable, approvers=["bob"])
    url = f"{address}/evercell/approvals/{asked.id}"
    page = person.get(url, timeout=20)
    assert "ann may not decide this" in page.text and "<form" not in page.text
    token = person.cookies.get("_xsrf")
    forced = person.post(url, data={"_xsrf": token, "choice": "Approve"}, timeout=20)
    assert forced.status_code == 400 and "ann may not decide" in forced.text
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_what_does_not_exist_and_what_is_too_long(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(durable)
    for path in (
        "/evercell/approvals/nothing",
        f"/evercell/approvals/{asked.id[:6]}",
        "/evercell/runs/nowhere",
    ):
        page = person.get(address + path, timeout=20)
        assert page.status_code == 404 and "Traceback" not in page.text
    url = f"{address}/evercell/approvals/{asked.id}"
    long = send(person, url, choice="Approve", comment="x" * 10_000_000)
    assert long.status_code == 400 and "10,000,000 characters" in long.text
    odd = send(person, url, choice="Perhaps")
    assert odd.status_code == 400 and "cannot be answered with" in odd.text
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_a_runs_timeline_tells_what_happened(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(durable)
    answer(durable.workspace, asked.id, "Reject", by="ann", via="command line", comment="no")
    page = person.get(f"{address}/evercell/runs/{durable.run.name}", timeout=20).text
    assert "approval.asked" in page and "approval.decided" in page and "choice=Reject" in page


def test_two_hundred_pending_approvals_are_one_page(
    address: str, durable: Durable, person: requests.Session
) -> None:
    for _ in range(200):
        ask(durable)
    page = person.get(f"{address}/evercell", timeout=20)
    assert page.text.count(durable.run.name) == 200


def test_the_key_of_the_server_is_not_needed(durable: Durable) -> None:
    """A decision holds nothing that is executed: whoever answers needs no signing key."""
    asked = ask(durable)
    without = dataclasses.replace(durable.workspace.settings, key_path=Path("/nowhere/key"))
    with open_workspace(without) as workspace:
        assert answer(workspace, asked.id, "Approve", by="ann", via="web page").approved
