"""What a page without our extension shows of a run: a live line, marks, and last pictures of what is dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_browser import write_notebook
from tests.browser import FrontEnd, chromium
from tests.conftest import isolated_home
from tests.servers import jupyter_server

pytestmark = pytest.mark.browser

CELLS = (
    "%load_ext evercell",
    # (calls that take their time: a step that is over within a second shows nothing)
    "import evercell, time\n@evercell.step\ndef ask(n):\n    time.sleep(0.25)\n    return n",
    "%%step research\nresults = evercell.map(ask, range(24), max_concurrency=2)",
    "%%step shown\nimport ipywidgets\nprint('loss 0.12')\nipywidgets.IntSlider(30, description='size')",
    "%%step silent\nx = 1",
    "%%step send\nd = evercell.approve('Send 3 mails?', details='three rows', form={'subject': 'Results', 'copies': 2})"
    "\nprint('decided', d.choice)",
)


@pytest.fixture
def page(tmp_path: Path) -> Iterator[FrontEnd]:
    write_notebook(tmp_path / "q.ipynb", *CELLS)
    environ = {"EVERCELL_STORE": f"sqlite:///{tmp_path / 'store.db'}", "EVERCELL_USER": "ann"}
    environ |= isolated_home(tmp_path / "home")
    configured = Path(environ["JUPYTER_CONFIG_DIR"], "labconfig", "page_config.json")
    configured.parent.mkdir(parents=True)
    configured.write_text(
        '{"disabledExtensions": {"evercell": true, "@jupyterlab/apputils-extension:announcements": true}}'
    )
    with (
        jupyter_server(tmp_path, app="lab", **environ) as server,
        chromium() as browser,
    ):
        front = FrontEnd(browser, server, "lab", "q.ipynb")
        yield front
        front.close()


def below(front: FrontEnd, cell: int) -> Any:
    return front.page.locator(".jp-CodeCell").nth(cell).locator(".jp-OutputArea-output")


def test_a_page_tells_quietly_how_far_a_run_is_and_what_was_not_done_again(page: FrontEnd) -> None:
    page.run_all()
    page.wait_for_text("of 24 calls · running ask")
    page.photograph("quiet-live-light")
    page.approval().get_by_role("button", name="Approve").wait_for()
    page.choose_theme("JupyterLab Dark")
    page.approval().get_by_role("button", name="Approve").click()
    page.wait_for_text("decided Approve")
    assert below(page, 2).all_inner_texts()[0].startswith("saved · 24 calls · ")
    assert below(page, 4).all_inner_texts() == ["saved"]
    assert page.page.locator(".evercell-approval button").count() == 0, "it is folded"
    page.photograph("quiet-done-dark")
    page.save()
    page.restart_kernel()
    page.run_all()
    page.page.locator(".jp-CodeCell").nth(5).locator(".jp-OutputArea-output", has_text="replayed").wait_for()
    page.photograph("quiet-replayed-dark")
    assert below(page, 2).all_inner_texts()[0].startswith("replayed · saved ")
    mark, printed, slider = below(page, 3).all_inner_texts()
    assert (mark, printed.strip()) == ("replayed", "loss 0.12") and "size" in slider and "30" in slider
    folded = below(page, 5).nth(1)
    assert "Approve by ann" in folded.inner_text() and "subject: Results, copies: 2" in folded.inner_text()
    assert not folded.get_by_text("three rows").is_visible()
    folded.locator("summary").click()
    folded.get_by_text("three rows").wait_for()
