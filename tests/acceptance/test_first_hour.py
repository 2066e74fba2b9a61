"""Somebody who reads no docs: the kernel from the launcher, a rename, a restart, a copy, a name that is used again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import SECONDS, FrontEnd, chromium
from tests.conftest import Counter, isolated_home
from tests.servers import TOKEN, JupyterServer, jupyter_server

pytestmark = pytest.mark.browser

KERNEL = "Python 3 (evercell)"
_SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"


class NewNotebook(FrontEnd):
    """A notebook made as people make one: from the launcher, or from the menu of Notebook 7's files."""

    def __init__(self, browser: Any, server: JupyterServer, app: str) -> None:
        self.app, self._browser, self._server = app, browser, server
        self.notebook = "Untitled.ipynb"
        self.page = browser.new_page(viewport={"width": 1100, "height": 1100})
        self.page.set_default_timeout(SECONDS)
        if app == "lab":
            self.page.goto(f"{server.url}/lab?token={TOKEN}&reset")
            self.page.locator(f'.jp-LauncherCard[title*="{KERNEL}"][data-category=Notebook]').click()
        else:
            self.page.goto(f"{server.url}/tree?token={TOKEN}")
            self.page.get_by_text("New", exact=True).click()
            with self.page.expect_popup() as opened:
                self.page.locator(".lm-Menu-itemLabel", has_text=KERNEL).click()
            self.page = opened.value
            self.page.set_default_timeout(SECONDS)
        self.page.wait_for_selector(f"{_SHOWN} .jp-CodeCell")
        self.wait_until_connected()

    def write_and_run(self, source: str) -> None:
        """Type a cell into the last one, and run it."""
        self.page.locator(f"{_SHOWN} .jp-CodeCell .cm-content").last.click()
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")

    def rename(self, name: str) -> None:
        """File, Rename Notebook…; a notebook that was never named is asked about at its first save, too."""
        self.menu("File", "Rename Notebook…" if self.app == "lab" else "Rename…")
        field = self.page.locator(".jp-Dialog input.jp-mod-styled").last
        field.fill(name)
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.wait_for_selector(".jp-Dialog", state="detached")
        self.wait_until_named(name)
        self.notebook = name


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(params=["lab", "notebook"])
def app(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(app: str, tmp_path: Path) -> Iterator[JupyterServer]:
    environ = {"EVERCELL_STORE": f"sqlite:///{tmp_path / 'store.db'}", "EVERCELL_USER": "ann"}
    with jupyter_server(tmp_path, app=app, **environ, **isolated_home(tmp_path / "home")) as started:
        yield started


def test_a_new_notebook_keeps_its_place_through_rename_restart_copy_and_reuse_of_its_name(
    browser: Any, server: JupyterServer, app: str, counter: Counter, tmp_path: Path
) -> None:
    front = NewNotebook(browser, server, app)
    front.write_and_run("rows = [1, 2, 3]")
    front.write_and_run(f"total = sum(rows)\n{counter.cell('summed')}\nprint('total is', total)")
    front.wait_for_text("total is 6")
    front.rename("plan.ipynb")
    front.save()
    front.restart_kernel()
    front.write_and_run("print('still', total)")
    front.wait_for_text("still 6")
    front.wait_for_text("resumed from step 2, `total = sum(rows)`")
    front.photograph(f"{app}-first-hour-resumed")
    front.run_all()
    front.wait_until_idle()
    assert counter.times("summed") == 1
    front.save()
    copied = front.page.request.post(
        f"{server.url}/api/contents?token={TOKEN}", data={"copy_from": "plan.ipynb"}
    )
    copy = FrontEnd(browser, server, app, copied.json()["path"])
    copy.run_cells(1)
    copy.wait_for_text("this is a copy of plan.ipynb")
    copy.photograph(f"{app}-first-hour-copy")
    other = NewNotebook(browser, server, app)
    assert (tmp_path / "Untitled.ipynb").exists()
    other.write_and_run("print('other', 'total' in globals())")
    other.wait_for_text("other False")
    assert other.page.locator(f"{_SHOWN} .jp-OutputArea-output", has_text="evercell").count() == 0
    other.photograph(f"{app}-first-hour-other")
    for page in (front, copy, other):
        page.close()
