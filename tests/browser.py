"""A real JupyterLab or Notebook 7 in headless Chromium."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import nbformat

from tests.seen import watching
from tests.servers import TOKEN, JupyterServer

SCREENSHOTS = Path(__file__).parents[1] / "build" / "screenshots"
SECONDS = 60_000
"""Milliseconds that a page may take to come to a state."""

_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser with no profile; Debian's package ``chromium`` has to be there."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium")
    assert program, "the browser tests need Debian's package chromium: apt-get install chromium"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            with watching("pages in the browser", lambda: _pages_of(browser)):
                yield browser
        finally:
            browser.close()


def _pages_of(browser: Any) -> str:
    """What each open page shows, says on its console, and looks like."""
    pages = [page for context in browser.contexts for page in context.pages]
    return "\n".join(f"[{number}] {_look_at(page, number)}" for number, page in enumerate(pages)) or "none"


def _look_at(page: Any, number: int) -> str:
    name = f"failed-{os.getpid()}-{next(_FAILURES)}-{number}"
    photograph(page, name, timeout=10_000)
    said = [message.text[:200] for message in page.console_messages() if message.type in ("error", "warning")]
    return "\n".join([
        f"{page.url}, in {SCREENSHOTS / name}.png",
        f"kernel: {[n.get_attribute('data-status') for n in page.locator(_STATUS).all()]}",
        f"dialogs: {page.locator('.jp-Dialog').all_inner_texts()}",
        f"errors: {[str(error) for error in page.page_errors()]}",
        f"console: {said[-20:]}",
        f"text: {page.locator('body').inner_text()[-2000:]}",
    ])  # fmt: skip


_FAILURES = itertools.count()
_STATUS = ".jp-Notebook-ExecutionIndicator"
"""Where a notebook's page shows the state of its kernel."""

_SHOWN = ".jp-NotebookPanel:not(.lm-mod-hidden)"
"""The notebook in front: JupyterLab keeps others in hidden tabs."""


_PANEL = """
    const widgets = window.jupyterapp ? [...window.jupyterapp.shell.widgets('main')] : [];
    const panel = widgets.find(widget => widget.isVisible && widget.sessionContext);
"""
"""The notebook in front, as the page's application has it."""

_IS_SAVED = f"() => {{ {_PANEL} return panel?.context.model.dirty === false; }}"

_IS_CONNECTED = f"""() => {{ {_PANEL}
    const context = panel?.sessionContext;
    return context?.isReady === true && context.session?.kernel?.connectionStatus === 'connected';
}}"""
"""Whether the notebook in front can run a cell: whatever is run before that is forgotten, or asked about."""


class FrontEnd:
    """One notebook on a page; ``app`` is lab or notebook."""

    def __init__(self, browser: Any, server: JupyterServer, app: str, notebook: str) -> None:
        self.app = app
        self.notebook = notebook
        self._browser = browser
        self._server = server
        self.page = browser.new_page(viewport={"width": 1100, "height": 1100})
        self.page.set_default_timeout(SECONDS)
        path = "lab/tree" if app == "lab" else "notebooks"
        self._address = f"{server.url}/{path}/{notebook}?token={TOKEN}{'&reset' * (app == 'lab')}"
        self.open()

    def open(self) -> None:
        """Open the notebook, or load its page anew, and wait until it is connected to its kernel: JupyterLab
        asks for another one where a cell is run before.
        """
        self.page.goto(self._address)
        self.wait_until_connected()

    def wait_until_connected(self) -> None:
        """As the page has it. The server's count of connections is no witness: a websocket that is closed before its
        kernel has answered, as Notebook 7's list of files may close its own, is counted off without being counted. Nor
        is what the page shows: it shows a kernel as idle before it has one.
        """
        self.page.wait_for_selector(f"{_SHOWN} .jp-CodeCell")
        self.page.wait_for_function(_IS_CONNECTED)

    def menu(self, *labels: str) -> None:
        """Choose an entry of the menus."""
        bar, *entries = labels
        self.page.locator(".lm-MenuBar-itemLabel", has_text=bar).first.click()
        for entry in entries:
            self.page.locator(".lm-Menu-itemLabel").get_by_text(entry, exact=True).first.click()

    def run_all(self) -> None:
        """Run all cells; a page that is not connected to its kernel yet forgets it, and is asked again."""
        first = self.page.locator(f"{_SHOWN} .jp-CodeCell .jp-InputPrompt").first
        before = first.inner_text()
        for _ in range(12):
            self.menu("Run", "Run All Cells")
            for _ in range(50):
                if first.inner_text() not in (before, "[ ]:"):
                    return
                self.page.wait_for_timeout(100)
        raise AssertionError("Run All Cells did not begin")

    def run_cells(self, count: int) -> None:
        """Run the first cells one by one, as Shift+Enter does."""
        self.page.locator(f"{_SHOWN} .jp-CodeCell .jp-InputPrompt").first.click()
        for _ in range(count):
            self.page.keyboard.press("Shift+Enter")

    def restart_kernel(self) -> None:
        self.menu("Kernel", "Restart Kernel…")
        self.page.locator(".jp-Dialog button.jp-mod-accept").click()
        self.page.wait_for_selector(".jp-Dialog", state="detached")

    def approval(self, number: int = -1) -> Any:
        """The newest question on the page."""
        found = self.page.locator(f"{_SHOWN} .evercell-approval:visible")
        found.last.wait_for()
        return found.last if number == -1 else found.nth(number)

    def wait_for_text(self, text: str) -> None:
        self.page.locator(f"{_SHOWN} .jp-OutputArea-output", has_text=text).first.wait_for()

    def photograph(self, name: str) -> None:
        photograph(self.page, name)

    def reload(self) -> None:
        """Load the page anew, as a reader does."""
        self.save()
        self.open()

    # -- what our extension shows ----------------------------------------------------------------

    def marks(self) -> dict[str, str]:
        """Step → what stands below its cell, as a screen reader says it."""
        labels = [
            node.get_attribute("aria-label") for node in self.page.locator(f"{_SHOWN} .evercell-mark").all()
        ]
        return dict(label.removeprefix("step ").split(": ", 1) for label in labels)

    def wait_for_mark(self, step: str, text: str) -> None:
        """Wait until the mark of a step's cell says so."""
        mark = self.page.locator(f'{_SHOWN} .evercell-mark[aria-label^="step {step}: "]', has_text=text)
        mark.first.wait_for()

    def wait_for_status(self, text: str) -> None:
        """JupyterLab's line of status; Notebook 7 has none."""
        if self.app == "lab":
            self.page.locator(".evercell-status", has_text=text).wait_for()

    def side_bar(self) -> Any:
        """The side bar of ours, opened."""
        found = self.page.locator(".evercell-side")
        if not found.is_visible():
            self.menu("Evercell", "Steps and Runs")
        found.wait_for()
        return found

    def command(self, label: str) -> None:
        """Choose one of our commands in the menu."""
        self.menu("Evercell", label)

    def choose(self, node: Any, entry: str) -> None:
        """Open the menu of a step, a run or a cell's mark by the keyboard, and take an entry of it."""
        node.locator(".evercell-more").press("Enter")
        self.page.locator(".lm-Menu-item", has_text=entry).first.click()

    def panel(self, number: int = 0) -> Any:
        """What was asked for, in a frame below the notebook."""
        return self.page.frame_locator(f".evercell-page iframe >> nth={number}")

    def what_was_said(self, text: str) -> None:
        """Wait for what a command says came of it, and close it."""
        self.page.locator(".jp-Dialog, .Toastify__toast", has_text=text).first.wait_for()
        button = self.page.locator(".jp-Dialog .jp-mod-accept")
        if button.count():
            button.first.click()

    def go_to(self, cell: int) -> Any:
        """Put the cursor into a code cell, from 0; returns its editor."""
        editor = self.page.locator(f"{_SHOWN} .jp-CodeCell .cm-content").nth(cell)
        editor.click()
        return editor

    def choose_theme(self, name: str) -> None:
        self.menu("Settings", "Theme", name)
        is_light = "true" if "Light" in name else "false"
        self.page.wait_for_selector(f'body[data-jp-theme-light="{is_light}"]', state="attached")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")

    def wait_until_named(self, name: str) -> None:
        """A save before the page knows its notebook by its new name would ask for one, or about a file that changed."""
        self.page.wait_for_function(f"name => {{ {_PANEL} return panel?.context.path === name; }}", arg=name)

    def save(self) -> None:
        """Save the notebook, and wait until the page has nothing left to write. (Notebook 7 may ask about a file that
        it renamed itself. What a cell's mark says may change while a save is under way: then another one is due.)
        """
        from playwright.sync_api import TimeoutError as NotYet

        overwrite = self.page.locator(".jp-Dialog button", has_text="Overwrite")
        for _ in range(12):
            self.page.keyboard.press("Control+s")
            with suppress(NotYet):
                asked_or_saved = f"() => document.querySelector('.jp-Dialog') || ({_IS_SAVED})()"
                self.page.wait_for_function(asked_or_saved, timeout=SECONDS / 12)
                if overwrite.count():
                    overwrite.click()
                self.page.wait_for_function(_IS_SAVED, timeout=SECONDS / 12)
                return
        raise AssertionError("the page has always something left to write")

    def wait_until_idle(self) -> None:
        self.page.wait_for_selector(f"{_SHOWN} {_STATUS}[data-status=idle]", state="attached")

    def another(self, cells: list[str]) -> FrontEnd:
        """Another notebook beside this one, on a page of its own."""
        name = f"beside-{self.notebook}"
        nodes = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
        spec = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        nbformat.write(nbformat.v4.new_notebook(cells=nodes, metadata=spec), self._server.folder / name)
        return FrontEnd(self._browser, self._server, self.app, name)

    def close(self) -> None:
        """Close the page, on which our extension has raised nothing."""
        raised = [str(error.stack) for error in self.page.page_errors()]
        self.page.close()
        assert not [stack for stack in raised if "extensions/evercell/" in stack], raised


def photograph(page: Any, name: str, timeout: int = SECONDS) -> None:
    """Keep a picture of a page."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{name}.png"), timeout=timeout)
