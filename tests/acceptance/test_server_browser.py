"""The server's pages in a real browser: they follow by themselves, on a phone, by keyboard, for everybody's eyes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe

from evercell.core.records import NewRun
from evercell.engine.calls.suspension import Suspended
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.browser import SECONDS, chromium, photograph
from tests.conftest import isolated_home
from tests.long_runs import CALLS, EVIL
from tests.servers import TOKEN, jupyter_server
from tests.unit.sessions import Notebook

pytestmark = pytest.mark.browser


def faults(page: Any) -> list[str]:
    """What axe-core finds wrong with a page for eyes, screen readers and keyboards."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {node['html'][:120]}" for rule in found for node in rule["nodes"]]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    folder = tmp_path_factory.mktemp("pages")
    key = Path(isolated_home(folder / "home")["JUPYTER_DATA_DIR"]) / "evercell" / "key"  # the server's, too
    return Settings(f"sqlite:///{folder / 'store.db'}", key, wait_grace=0.0)


@pytest.fixture(scope="module")
def address(settings: Settings) -> Iterator[str]:
    folder = settings.key_path.parents[3]
    environ = {"EVERCELL_STORE": settings.store_url, "EVERCELL_USER": "ann", **isolated_home(folder / "home")}
    with jupyter_server(folder, **environ) as server:
        yield server.url


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def workspace(settings: Settings) -> Iterator[Workspace]:
    with open_workspace(settings) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    run = workspace.store.runs.create(NewRun(notebook="/home/ann/mailing.ipynb", created_by="ann"))
    made = Apart(workspace, run.id)
    yield made
    made.session.detach()


class Apart(Notebook):
    """A notebook whose cells run in a thread: the browser's driver has a loop of its own in this one."""

    def step(self, name: str, source: str, **options: Any) -> Any:
        done: list[Any] = []

        def run() -> None:
            try:
                done.append(super(Apart, self).step(name, source, **options))
            except BaseException as error:
                done.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if isinstance(done[0], BaseException):
            raise done[0]
        return done[0]


class Looker:
    """Somebody with a browser, whose mistakes of the page are noted."""

    def __init__(self, browser: Any, address: str, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(SECONDS)
        self.errors: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self._address = address

    def open(self, path: str) -> Any:
        self.page.goto(f"{self._address}{path}?token={TOKEN}")
        self.page.wait_for_selector("main")
        return self.page


def test_a_runs_page_follows_by_itself_and_leaves_what_is_open_as_it_is(
    browser: Any, address: str, notebook: Notebook
) -> None:
    notebook.step("load", "rows = 1\nprint('1000 rows')")
    notebook.plain(CALLS)
    notebook.step("research", "answers = [ask(f'topic {n}') for n in range(30)]")
    run = notebook.session.require_run()
    looker = Looker(browser, address, color_scheme="dark")
    page = looker.open(f"/evercell/runs/{run.name}")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    page.get_by_text("1000 rows", exact=True).wait_for()
    notebook.step("report", f"print({EVIL!r})\nraise ValueError({EVIL!r})")
    page.locator("ol.timeline .name", has_text="report").wait_for()
    page.locator("summary .state.failed").wait_for()
    assert page.get_by_text("1000 rows", exact=True).is_visible(), "what was opened stays open"
    assert page.evaluate("document.activeElement.tagName") == "SUMMARY", "and the focus where it was"
    assert "2 of 3 steps" in page.locator("#head").inner_text()
    page.locator("summary", has_text="report").click()
    page.locator("pre.error", has_text="ValueError").or_(page.locator("pre.out")).first.wait_for()
    assert page.title() == f"{run.name}: idle (kernel attached)", "nothing ran"
    photograph(page, "page-run-dark")
    assert looker.errors == []
    looker.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_no_serious_fault_for_eyes_readers_and_keyboards_and_fit_a_phone(
    browser: Any, address: str, notebook: Notebook, scheme: str
) -> None:
    notebook.step("load", f"rows = 1\nprint({EVIL!r})")
    notebook.plain(CALLS)
    notebook.step("research", "pages = [fetch(f'https://example.org/{n}' + 'x' * 200) for n in range(3)]")
    notebook.step("judge", "ask('broken')")
    with pytest.raises(Suspended):
        notebook.step(
            "ask", "evercell.approve('Send?', approvers=['ann'], form={'subject': 'a', 'now': True, 'n': 1})"
        )
    store = notebook.session.workspace.store
    run, asked = notebook.session.require_run(), store.approvals.pending()[-1]
    paths = [
        "",
        f"/runs/{run.id}",
        f"/runs/{run.id}/steps/research",
        f"/runs/{run.id}/journal",
        "/runs/nowhere",
        "/tree",
        f"/runs/{run.id}/steps/research/variables",
    ]
    for width in (1200, 390):
        looker = Looker(browser, address, color_scheme=scheme, viewport={"width": width, "height": 844})
        for number, path in enumerate([*paths, f"/approvals/{asked.id}"]):
            page = looker.open(f"/evercell{path}")
            if path == f"/runs/{run.id}":
                page.locator("summary", has_text="research").click()
                page.locator(".part section").first.wait_for()
            if path.endswith("variables"):
                assert "last changed by" in page.locator("main").inner_text()
            assert faults(page) == [], (path, scheme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            photograph(page, f"page-{number}-{width}-{scheme}")
        looker.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_runs_are_chosen_in_the_tree_and_compared_and_a_step_is_branched_from_without_a_notebook(
    browser: Any, address: str, notebook: Notebook, scheme: str
) -> None:
    notebook.step("load", f"rows = [1, 2, 3]\nprint({EVIL!r})")
    notebook.step("fit", "model = sum(rows)  # " + "wide " * 60 + "\nprint(model)")
    workspace = notebook.session.workspace
    trunk = notebook.session.require_run()
    looker = Looker(browser, address, color_scheme=scheme, viewport={"width": 1200, "height": 844})
    page = looker.open(f"/evercell/runs/{trunk.id}")
    page.locator("summary", has_text="fit").click()
    part = page.locator(".part", has=page.get_by_role("button", name="Branch from here"))
    part.get_by_label("Name of the new run").fill(f"what-if-{scheme}")
    assert faults(page) == []
    photograph(page, f"page-from-here-{scheme}")
    part.get_by_role("button", name="Branch from here").click()
    page.get_by_text("Nobody executes it yet").wait_for()
    assert page.get_by_role("heading", level=1).inner_text() == f"what-if-{scheme}"
    child = workspace.store.runs.find(f"what-if-{scheme}")
    assert (child.parent, str(child.status)) == (trunk.id, "queued")
    branch = Apart(workspace, child.id)
    branch.resume()
    branch.step("fit", "model = max(rows)\nprint(model)", rerun=True)
    branch.session.detach()
    page = looker.open("/evercell/tree")
    for run in (trunk, child):
        page.get_by_label(f"choose {run.name}", exact=True).check()
    assert faults(page) == []
    photograph(page, f"page-choose-{scheme}")
    page.get_by_role("button", name="Compare the chosen runs").click()
    page.get_by_text("model = max(rows)").first.wait_for(timeout=60_000)
    said = page.locator("main").inner_text()
    assert "variables: 1 differs" in said and "code of fit differs" in said
    assert faults(page) == []
    photograph(page, f"page-compared-{scheme}")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert looker.errors == []
    looker.context.close()


def test_the_first_picture_of_two_thousand_steps_is_measured(
    browser: Any, address: str, workspace: Workspace, figure: Callable[[str], None]
) -> None:
    run = workspace.store.runs.create(NewRun(notebook="/home/ann/long.ipynb", created_by="ann"))
    notebook = Apart(workspace, run.id)
    notebook.plain(CALLS)
    for number in range(2000):
        source = "many = [ask(str(n)) for n in range(10_000)]" if number == 900 else f"x{number} = 1"
        notebook.step(f"s{number}", source)
    notebook.session.detach()
    looker = Looker(browser, address)
    looker.open("/evercell")
    times = []
    for _ in range(3):
        began = time.perf_counter()
        page = looker.open(f"/evercell/runs/{run.id}")
        page.locator("ol.timeline li").nth(20).wait_for()
        times.append(time.perf_counter() - began)
    figure(f"the page of 2,000 steps and 10,000 calls: first picture after {min(times):.2f} s")
    assert "2000 of 2000 steps completed" in page.locator("#head").inner_text()
    page.locator("ol.timeline .shared a").nth(3).click()
    page.locator("summary").nth(5).wait_for()
    asked = parse_qs(urlsplit(page.url).query)
    shared = (
        int(asked["to"][0]) - int(asked["from"][0]) + 1
    )  # how many that are depends on how long they took
    assert page.locator("summary").count() >= shared > 1, "those that shared a row have rows of their own"
    looker.context.close()


def test_a_page_says_when_the_server_cannot_be_reached_and_goes_on_when_it_can(
    browser: Any, address: str, notebook: Notebook
) -> None:
    looker = Looker(browser, address)
    page = looker.open("/evercell")
    page.route("**/evercell**", lambda route: route.abort())
    page.get_by_text("cannot be reached").wait_for()
    page.unroute("**/evercell**")
    notebook.step("load", "x = 1")
    name = notebook.session.require_run().name
    page.locator("table.runs a", has_text=name).wait_for()
    page.locator("#connection").wait_for(state="hidden")
    looker.context.close()
