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
from evercell.core.records import NewRun
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.calls.suspension import Suspended
from evercell.engine.scores import Judgement, keep
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import Durable, SetClock
from tests.conftest import isolated_home
from tests.missions import launch
from tests.servers import TOKEN, jupyter_server
from tests.unit.sessions import Notebook

RED = "\x1b[31m"
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
        session.get(f"{address}/evercell?token={TOKEN}", timeout=60).raise_for_status()
        yield session


def send(person: requests.Session, url: str, **fields: str) -> requests.Response:
    page = person.get(url, timeout=60)
    token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
    assert token, page.text
    return person.post(url, data={"_xsrf": token[1], **fields}, timeout=60)


def test_a_stranger_sees_nothing_and_decides_nothing(address: str, durable: Durable) -> None:
    asked = ask(durable)
    for path in ("/evercell", f"/evercell/approvals/{asked.id}", f"/evercell/runs/{durable.run.name}"):
        page = requests.get(address + path, timeout=60, allow_redirects=False)
        assert page.status_code in (302, 403) and "Send?" not in page.text
    forged = requests.post(
        f"{address}/evercell/approvals/{asked.id}",
        data={"choice": "Approve"},
        timeout=60,
        allow_redirects=False,
    )
    assert forged.status_code == 403
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_a_form_from_another_site_decides_nothing(
    address: str, durable: Durable, person: requests.Session
) -> None:
    """The browser would send the cookies along; what it does not have is the page's XSRF token."""
    asked = ask(durable)
    forged = person.post(f"{address}/evercell/approvals/{asked.id}", data={"choice": "Approve"}, timeout=60)
    assert forged.status_code == 403
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_an_approval_is_answered_once_with_its_form_and_comment(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(
        durable, "Send 3 mails?", details=Html(), form={"subject": "Results", "copies": 1, "now": True}
    )
    inbox = person.get(f"{address}/evercell", timeout=60).text
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
    later = person.post(url, data={"_xsrf": person.cookies.get("_xsrf"), "choice": "Reject"}, timeout=60)
    assert later.status_code == 409 and "was decided already: Approve, by ann" in later.text
    assert durable.workspace.store.approvals.find(asked.id).decision == decision


def test_a_page_shows_the_form_in_its_order_and_in_the_end_what_was_decided(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(durable, form={"subject": "proposed", "copies": 1, "urgent": False})
    url = f"{address}/evercell/approvals/{asked.id}"
    names = re.findall(r'name="field\.(\w+)"', person.get(url, timeout=60).text)
    assert names == ["subject", "copies", "urgent"]
    wrong = send(person, url, choice="Approve", **{"field.subject": "typed", "field.copies": "many"})
    assert 'value="typed"' in wrong.text, "what was typed is not lost"
    answer(
        durable.workspace, asked.id, "Approve", by="bob", via="command line", values={"subject": "decided"}
    )
    shown = person.get(url, timeout=60).text
    assert re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", shown) == [
        ("subject", "decided"),
        ("copies", "1"),
        ("urgent", "no"),
    ]
    assert "proposed" not in shown and "<form" not in shown


def test_what_is_shown_cannot_run(address: str, durable: Durable, person: requests.Session) -> None:
    asked = ask(durable, f"Send? {EVIL}"[:400], details=Html())
    for path in ("/evercell", f"/evercell/approvals/{asked.id}", f"/evercell/runs/{durable.run.name}"):
        page = person.get(address + path, timeout=60)
        assert "<script>" not in page.text and 'onerror="' not in page.text
        scripts = re.findall(r"<script[^>]*>[^<]*</script>", page.text)
        assert scripts == re.findall(
            r'<script defer src="/evercell/static/evercell\.js\?v=\w+"></script>', page.text
        )
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert 'sandbox=""' in person.get(f"{address}/evercell/approvals/{asked.id}", timeout=60).text


def test_who_may_not_decide_is_told_who_may(address: str, durable: Durable, person: requests.Session) -> None:
    asked = ask(durable, approvers=["bob"])
    url = f"{address}/evercell/approvals/{asked.id}"
    page = person.get(url, timeout=60)
    assert "ann may not decide this" in page.text and "<form" not in page.text
    token = person.cookies.get("_xsrf")
    forced = person.post(url, data={"_xsrf": token, "choice": "Approve"}, timeout=60)
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
        page = person.get(address + path, timeout=60)
        assert page.status_code == 404 and "Traceback" not in page.text
    url = f"{address}/evercell/approvals/{asked.id}"
    long = send(person, url, choice="Approve", comment="x" * 10_000_000)
    assert long.status_code == 400 and "10,000,000 characters" in long.text
    odd = send(person, url, choice="Perhaps")
    assert odd.status_code == 400 and "cannot be answered with" in odd.text
    assert durable.workspace.store.approvals.find(asked.id).decision is None


def test_a_runs_journal_tells_in_words_what_happened(
    address: str, durable: Durable, person: requests.Session
) -> None:
    asked = ask(durable)
    answer(durable.workspace, asked.id, "Reject", by="ann", via="command line", comment="no")
    page = person.get(f"{address}/evercell/runs/{durable.run.name}/journal", timeout=60).text
    assert re.search(r"step s\d+ asked: Send\?", page) and "ann answered Reject (command line): no" in page
    before, _, _ = page.partition("<details>")
    assert asked.digest.hex() in page and asked.digest.hex() not in before, "behind a detail"


def test_two_hundred_pending_approvals_are_one_page(
    address: str, durable: Durable, person: requests.Session
) -> None:
    for _ in range(200):
        ask(durable)
    page = person.get(f"{address}/evercell", timeout=60)
    assert page.text.count(f">{durable.run.name}</a>, step") == 200


def test_the_key_of_the_server_is_not_needed(durable: Durable) -> None:
    """A decision holds nothing that is executed: whoever answers needs no signing key."""
    asked = ask(durable)
    without = dataclasses.replace(durable.workspace.settings, key_path=Path("/nowhere/key"))
    with open_workspace(without) as workspace:
        assert answer(workspace, asked.id, "Approve", by="ann", via="web page").approved


# -- runs ----------------------------------------------------------------------------------------


@pytest.fixture
def notebook(durable: Durable) -> Iterator[Notebook]:
    """A notebook on a run of its own."""
    run = durable.workspace.store.runs.create(NewRun(notebook=f"/w/{EVIL}.ipynb", created_by=EVIL))
    made = Notebook(durable.workspace, run.id)
    yield made
    made.session.detach()


def page_of(person: requests.Session, url: str) -> str:
    page = person.get(url, timeout=60)
    assert page.status_code == 200, page.text
    assert "<script>" not in page.text and "<img src=x" not in page.text
    return page.text


def test_runs_are_listed_with_status_progress_and_who_is_asked(
    address: str, notebook: Notebook, person: requests.Session
) -> None:
    run = notebook.session.workspace.store.runs.find
    notebook.step("load", "x = 1")
    notebook.plain("import evercell")
    with pytest.raises(Suspended):
        notebook.step("ask", "evercell.approve('Send 3 mails?', approvers=['ann', 'bob'])")
    found = run(notebook.session.require_run().id)
    (row,) = re.findall(rf'<tr id="r-{found.id}">.*?</tr>', page_of(person, f"{address}/evercell"), re.DOTALL)
    assert "meter" not in row and "of 2" not in row, "nobody knows how many steps are to come"
    for part in ("waiting", "1 step completed", "at ask", "ann or bob", "script&gt;&lt;img src=x"):
        assert part in row, part
    url = f"{address}/evercell"
    assert found.id in page_of(person, f"{url}?state=waiting") and "No run stands so" in page_of(
        person, f"{url}?state=%3Cb%3E"
    )
    shown = page_of(person, f"{address}/evercell/runs/{found.id}")
    assert "waits for ann or bob: Send 3 mails?" in shown and "1 of 2 steps completed" in shown


def test_a_runs_page_shows_where_its_mission_stands(
    address: str, durable: Durable, person: requests.Session
) -> None:
    run = durable.workspace.store.runs.create(NewRun(notebook="/w/pay.ipynb"))
    url = f"{address}/evercell/runs/{run.id}"
    assert "Its mission" not in page_of(person, url)
    launch(durable.workspace, run, objective=f"Pay {EVIL}", approvers=["bob"])
    shown = page_of(person, url)
    for part in (
        "Its mission",
        "WAITING_APPROVAL",
        "CREATED",
        "tools: transfer",
        "approved by bob",
        "script&gt;",
    ):
        assert part in shown, part


def test_a_runs_page_shows_what_evaluators_said_of_it(
    address: str, durable: Durable, person: requests.Session
) -> None:
    run = durable.workspace.store.runs.create(NewRun(notebook="/w/agent.ipynb"))
    url = f"{address}/evercell/runs/{run.id}"
    first = person.get(url, timeout=60)
    assert "What evaluators said" not in first.text
    said = [
        Judgement("flow", 0.86, reason=f"it asks {EVIL}", evaluator="flow"),
        Judgement("mails_once", None, label="fail", evaluator="mails_once", version="2"),
    ]
    keep(durable.workspace, run, said)
    keep(durable.workspace, run, [Judgement("steady", 12.0, evaluator="steady")], step="report")
    shown = person.get(url, headers={"If-None-Match": first.headers["Etag"]}, timeout=60).text
    for part in (
        "What evaluators said",
        "flow",
        "0.86",
        "script&gt;",
        "mails_once 2",
        "fail",
        "12",
        "step report",
    ):
        assert part in shown, part


def test_a_page_that_did_not_change_is_not_sent_again(
    address: str, notebook: Notebook, person: requests.Session
) -> None:
    notebook.step("load", "x = 1")
    for url in (f"{address}/evercell", f"{address}/evercell/runs/{notebook.session.require_run().id}"):
        first = person.get(url, timeout=60)
        again = person.get(url, headers={"If-None-Match": first.headers["Etag"]}, timeout=60)
        assert (again.status_code, again.content) == (304, b"")
        notebook.step(f"more-{len(url)}", "y = 2")
        changed = person.get(url, headers={"If-None-Match": first.headers["Etag"]}, timeout=60)
        assert changed.status_code == 200 and changed.text != first.text


def test_a_steps_page_shows_what_it_showed_its_calls_and_its_source(
    address: str, notebook: Notebook, person: requests.Session
) -> None:
    notebook.plain(
        "import evercell\n@evercell.step\ndef ask(n):\n    if n == 2: raise OSError('gone')\n    return n * n"
    )
    notebook.step("loop", f"print({f'{RED}red {EVIL}'!r})\n[ask(n) for n in range(3)]")
    base = f"{address}/evercell/runs/{notebook.session.require_run().id}/steps"
    page = page_of(person, f"{base}/loop")
    for part in ("red &lt;script&gt;", "ask(1)", "OSError: gone", "failed"):
        assert part in page, part
    assert "\x1b" not in page and "[31m" not in page
    missing = person.get(f"{base}/nothing", timeout=60)
    assert missing.status_code == 404 and "no step" in missing.text


def test_an_output_of_fifty_megabytes_breaks_no_page(
    address: str, notebook: Notebook, person: requests.Session
) -> None:
    notebook.step("huge", "print('begin\\n' + ('y' * 99 + '\\n') * 500_000 + 'end')\nprint('last')")
    run = notebook.session.require_run().id
    page = page_of(person, f"{address}/evercell/runs/{run}/steps/huge")
    assert len(page) < 100_000
    assert (
        "begin" in page
        and "last" in page
        and re.search(r"49,9\d\d,\d\d\d characters are left out here", page)
    )
    assert len(page_of(person, f"{address}/evercell/runs/{run}")) < 20_000
    text = person.get(f"{address}/evercell/runs/{run}/steps/huge/output", timeout=60)
    assert text.headers["Content-Type"].startswith("text/plain") and len(text.content) > 50_000_000


def test_a_run_that_has_no_steps_yet_or_ones_that_nobody_asked_for(
    address: str, durable: Durable, person: requests.Session
) -> None:
    url = f"{address}/evercell/runs/{durable.run.id}"
    assert "No step yet" in page_of(person, url)
    assert "No step yet" in page_of(person, f"{url}?from=5&to=x&state=%3Cb%3E")
    assert "the run was made" in page_of(person, f"{url}/journal")


def test_variables_after_a_step_need_the_servers_key_and_make_none(
    address: str, notebook: Notebook, person: requests.Session, settings: Settings
) -> None:
    notebook.step("load", "x = 1")
    run = notebook.session.require_run().id
    page = person.get(f"{address}/evercell/runs/{run}/steps/load/variables", timeout=60)
    assert page.status_code == 500 and "this server has none" in page.text
    assert not list((settings.key_path.parent / "home").rglob("evercell/key"))


def test_a_long_journal_has_pages(address: str, notebook: Notebook, person: requests.Session) -> None:
    for number in range(270):
        notebook.step(f"s{number}", f"x = {number}")
    url = f"{address}/evercell/runs/{notebook.session.require_run().id}/journal"
    newest = page_of(person, url)
    (link,) = re.findall(r'href="(\?before=\d+)">\d+ earlier entries', newest)
    assert "step s269 completed" in newest and "the run was made" not in newest
    assert "the run was made" in page_of(person, url + link)


def test_a_branch_and_a_reset_are_made_on_a_steps_page_and_only_from_there(
    address: str, notebook: Notebook, person: requests.Session
) -> None:
    notebook.step("load", "rows = [1, 2]")
    notebook.step("fit", "model = sum(rows)")
    workspace = notebook.session.workspace
    run = notebook.session.require_run()
    known = {one.id for one in workspace.store.runs.all()}
    page = f"{address}/evercell/runs/{run.id}/steps/fit"
    form = page_of(person, page)
    token = re.search(r'name="_xsrf" value="([^"]+)"', form)
    assert token and f"%checkout {run.id}@fit" in form, (
        "a name that would need quotation marks is no name to type"
    )
    for kind in ("branch", "reset"):
        assert person.post(f"{page}/{kind}", data={"name": "forged"}, timeout=20).status_code == 403
        stranger = requests.post(
            f"{page}/{kind}", data={"_xsrf": token[1]}, timeout=20, allow_redirects=False
        )
        assert stranger.status_code in (302, 403)
    assert {one.id for one in workspace.store.runs.all()} == known
    taken = f"what if {run.id}"
    branched = person.post(f"{page}/branch", data={"_xsrf": token[1], "name": taken}, timeout=60)
    assert branched.status_code == 200 and "Nobody executes it yet" in branched.text
    child = workspace.store.runs.find(taken)
    assert branched.url.endswith(child.id) and (child.parent, str(child.status)) == (run.id, "queued")
    assert child.created_by == "ann" and child.branch_point == workspace.store.runs.find(run.id).head
    again = person.post(f"{page}/branch", data={"_xsrf": token[1], "name": taken}, timeout=60)
    assert again.status_code == 409 and "<script>" not in again.text
    for name in (EVIL, "a@b", "x" * 300):
        refused = person.post(f"{page}/branch", data={"_xsrf": token[1], "name": name}, timeout=60)
        assert refused.status_code == 400 and "<script>" not in refused.text
    before = person.post(f"{page}/reset", data={"_xsrf": token[1]}, timeout=60)
    reset = workspace.store.runs.find(before.url.rpartition("/")[2])
    assert reset.branch_point != child.branch_point and reset.parent == run.id
    first = person.post(f"{page[:-4]}/load/reset", data={"_xsrf": token[1]}, timeout=60)
    assert workspace.store.runs.find(first.url.rpartition("/")[2]).branch_point is None
    assert person.post(f"{page[:-4]}/none/reset", data={"_xsrf": token[1]}, timeout=60).status_code == 404


def test_runs_are_compared_on_a_page_beside_the_server(
    address: str, notebook: Notebook, person: requests.Session
) -> None:
    notebook.step("load", f"rows = [1, 2]\nprint({EVIL!r})")
    notebook.step("load", "rows = [1, 2, 3]", rerun=True)
    run = notebook.session.require_run()
    compare = f"{address}/evercell/compare"
    found = page_of(person, f"{compare}?run={run.id}@load@1&run={run.id}")
    assert "code of load differs" in found and "[1, 2, 3]" in found
    assert "no signing key" in found, "what was in memory is for whoever has the key"
    for wrong in ("", f"?run={run.id}", "?run=no-such-run&run=nor-this", f"?run=--help&run={run.id}"):
        refused = person.get(f"{compare}{wrong}", timeout=60)
        assert refused.status_code == 400 and "That did not work" in refused.text
    assert requests.get(f"{compare}?run={run.id}&run={run.id}", timeout=20, allow_redirects=False).status_code in (
        302, 403,
    )  # fmt: skip
