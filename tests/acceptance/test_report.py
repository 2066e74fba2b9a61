"""A run as one page: all that is known of it, nothing that runs, loads or tells a secret."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from click.testing import CliRunner

from evercell.cli.app import app
from evercell.core.records import NewRun, Output
from evercell.engine.approvals.deciding import answer
from evercell.engine.calls.suspension import Suspended
from evercell.engine.settings import Settings
from evercell.engine.spec import CellPlace, StepSpec
from evercell.engine.steps import run_step
from evercell.engine.workspace import open_workspace
from tests.browser import SCREENSHOTS, chromium
from tests.long_runs import CALLS, EVIL
from tests.unit.sessions import Notebook, PlainExecutor

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
KEY = "sk-test-0123456789<&>abcd"
PASSWORD = 'hunter2 & "friends"'
PAGE = f"""<table><tr><td>cell</td></tr></table>{EVIL}<img src="https://example.invalid/spy.png">
<link rel="stylesheet" href="https://example.invalid/spy.css">
<p style="background:url(https://example.invalid/b)">key {KEY}</p>
<form action="https://example.invalid/form"><input name="x"></form>"""


class Rich(PlainExecutor):
    """Shows what a notebook full of displays would."""

    def recorded(self) -> list[Output]:
        return [
            Output("stream", {"name": "stdout", "text": f"key {KEY}\n</pre>{EVIL}\nhalf \ud83d\n"}),
            Output("display_data", {"data": {"text/html": PAGE.replace("<script>", "<x>")}, "metadata": {}}),
            Output("display_data", {"data": {"image/png": PNG, "text/plain": EVIL}, "metadata": {}}),
            Output("stream", {"name": "stderr", "text": "n" * 30_000_000}),
        ]


@pytest.fixture
def run(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a run in which a bit of everything happened, whose store the command finds."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    monkeypatch.setenv("EVERCELL_KEY", "ab" * 32)
    monkeypatch.setenv("MODEL_API_KEY", KEY)
    with open_workspace(Settings(store_url, tmp_path / "key", wait_grace=0.0)) as workspace:
        new = NewRun(None, name="all <of> it", params={"rate": 3, "db": {"password": PASSWORD}})
        _fill(Notebook(workspace, workspace.store.runs.create(new).id))
    return "all <of> it"


def _fill(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1, 2]\nprint('2 rows')")
    notebook.plain(CALLS)
    notebook.step("research", "answers = [ask(f'topic {n}') for n in range(30)]")
    source = f"password = 'one-two-three'\ntoken = {KEY!r}\nshown = {EVIL!r}"
    place = CellPlace("In [1]", None)
    asyncio.run(run_step(notebook.session, StepSpec("show"), place, source, Rich(source, notebook.variables)))
    notebook.step(
        "fails", f"print('before')\nraise ValueError('https://ann:{PASSWORD[:7]}@host/ ' + {EVIL!r})"
    )
    with pytest.raises(Suspended):
        notebook.step(
            "ask", f"evercell.approve('Send it?', details={EVIL!r}, form={{'subject': 'Results <1>'}})"
        )
    workspace = notebook.session.workspace
    (asked,) = workspace.store.approvals.pending()
    answer(workspace, asked.id, "Approve", by="ann", via="web page", comment=f"with {PASSWORD}, but why?")
    notebook.session.detach()


TOLD = [
    *(
        "all &lt;of&gt; it",
        "2 rows",
        "print(&#x27;2 rows&#x27;)",
        "ask(&#x27;topic 3&#x27;)",
        "ValueError",
        "before",
    ),
    *("Timeline", "Steps", "Calls", "Environment", "Journal", "parameter rate", "step load completed"),
    *("characters are left out", "Approvals", "Send it?", "Results &lt;1&gt;", "Approve by ann", "but why?"),
]


def report(name: str, path: Path, *more: str) -> str:
    done = CliRunner().invoke(app, ["report", name, "-o", str(path), *more])
    assert done.exit_code == 0, (done.output, done.exception)
    assert "5 steps" in done.output
    return path.read_text()


def faults(page: Any) -> list[str]:
    """What axe-core finds wrong with a page for eyes, screen readers and keyboards."""
    found = Axe().run(page, options={"iframes": False}).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


class Tags(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_a_report_tells_all_and_holds_no_script_no_address_and_no_secret(run: str, tmp_path: Path) -> None:
    page = report(run, tmp_path / "report.html")
    for text in TOLD:
        assert text in page, text
    for secret in (KEY, "0123456789", "hunter2", "friends", "one-two-three"):
        assert secret not in page, secret
    assert page.count("***") >= 5
    assert len(page) < 1_000_000
    tags = Tags(page).found
    assert {tag for tag, _ in tags}.isdisjoint({"script", "link", "form", "object", "embed", "base"})
    assert all(a.get("sandbox") == "" for tag, a in tags if tag == "iframe")
    assert not [a for _, a in tags if any(name.startswith("on") for name in a)]
    sources = [a["src"] or "" for _, a in tags if "src" in a]
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert all((a["href"] or "").startswith("#") for _, a in tags if "href" in a)


REFUSED = [
    (["nowhere", "-o", "r.html"], 1, "There is no run 'nowhere'"),
    (["all <of> it", "-o", "missing/r.html"], 1, "has no folder to be in"),
    (["all <of> it", "-o", "r.ipynb"], 2, "evercell export"),
    (["all <of> it", "-o", "data.csv"], 2, "no page by its name"),
    (["all <of> it", "-o", "."], 1, "is a folder"),
    (["all <of> it"], 2, "-o"),
]


def test_bad_input_is_refused_and_nothing_is_overwritten(
    run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data.csv").write_text("1,2")
    for words, code, said in REFUSED:
        done = CliRunner().invoke(app, ["report", *words])
        assert (done.exit_code, said in done.stderr) == (code, True), done.stderr
    assert Path("data.csv").read_text() == "1,2"


@pytest.mark.browser
def test_a_report_is_read_in_a_browser_without_network_light_and_dark_and_on_paper(
    run: str, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    report(run, path)
    with chromium() as browser:
        for scheme in ("light", "dark"):
            page = browser.new_context(
                color_scheme=scheme, viewport={"width": 1000, "height": 1200}
            ).new_page()
            asked: list[Any] = []
            page.on("request", lambda request, requests=asked: requests.append(request))
            page.goto(path.as_uri())
            frame = page.frame_locator("iframe").first
            assert frame.locator("td", has_text="cell").is_visible(), "what a cell showed is there"
            assert page.title() == "all <of> it", "nothing of it ran"
            others = [one for one in asked if not one.url.startswith(("file:", "data:", "about:"))]
            assert {one.failure for one in others} <= {"csp"}, "what a cell showed is not fetched"
            assert faults(page) == []
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (
                "nothing beside the page"
            )
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SCREENSHOTS / f"report-{scheme}.png", full_page=True)
        page.emulate_media(media="print")
        call = page.get_by_text("ask('topic 3')").first
        assert call.evaluate("node => node.checkVisibility({contentVisibilityAuto: true})"), (
            "details are printed"
        )
        page.pdf(path=SCREENSHOTS / "report.pdf")
