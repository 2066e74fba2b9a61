"""Time travel by clicks in JupyterLab: the tree of runs and the marks of cells. Pictures go to build/screenshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_lab_extension import LOAD, WAIT, Notebooks, lab_in_browser
from tests.browser import FrontEnd
from tests.servers import JupyterServer

pytestmark = pytest.mark.browser

FIT = "%%step fit --retries 1\nmodel = sum(rows)\nprint('model', model)"
SHOW = "print('in memory', globals().get('model'))"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, JupyterServer]]:
    with lab_in_browser(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


@pytest.fixture
def notebooks(lab: tuple[Any, JupyterServer], request: pytest.FixtureRequest) -> Iterator[Notebooks]:
    name = "what-if.ipynb" if "tree" in request.node.name else "busy.ipynb"
    found = Notebooks(lab[0], "lab", lab[1], name)
    yield found
    for front in found.pages:
        front.photograph(f"lab-{Path(name).stem}")
        front.close()


def run_last(front: FrontEnd, expected: str) -> None:
    """Run the cell that prints, and wait until it says so."""
    front.go_to(3)
    front.page.keyboard.press("Control+Enter")
    front.wait_for_text(expected)


def source(front: FrontEnd, cell: int) -> str:
    return str(front.page.locator(".jp-CodeCell .cm-content").nth(cell).inner_text())


def test_who_clicks_in_the_tree_goes_back_sees_which_cells_differ_and_compares(notebooks: Notebooks) -> None:
    front = notebooks.write(LOAD, "%%step load\nrows = [1, 2, 3]", FIT, SHOW)
    page = front.page
    front.run_all()
    front.wait_for_text("in memory 6")
    side = front.side_bar()
    steps = side.locator("section", has_text="Steps").locator("li")
    runs = side.locator("section", has_text="Runs").locator("li")
    # a branch from a step, named
    front.choose(steps.filter(has_text="load"), "Branch from Here…")
    page.locator(".jp-Dialog input").fill("largest <b>")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    front.what_was_said("branched off: largest <b>")
    run_last(front, "in memory None")
    front.go_to(2)
    page.keyboard.press("Control+End")
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(FIT.replace("sum(rows)", "max(rows)"))
    page.keyboard.press("Control+Enter")
    front.wait_for_text("model 3")
    # the run that it came from, unfolded: one of its steps is checked out
    trunk = runs.filter(has_text="what-if").first
    trunk.locator("[data-key]").press("Enter")
    trunk.locator("[aria-expanded=true]").wait_for()
    fit = runs.filter(has_text="fit")
    fit.wait_for()
    notebooks.photograph(front, "tree-unfolded")
    front.choose(fit, "Check Out")
    said = page.locator(".jp-Dialog").inner_text()
    assert "other code in the notebook than in this run: fit" in said
    front.photograph("lab-checked-out")
    # the sources of there: into the cell, where undo brings back what was typed
    page.get_by_role("button", name="Put Back the Source of 1 Cell").click()
    front.what_was_said("what run what-if-1 executed: fit")
    page.wait_for_function(
        "document.querySelectorAll('.jp-CodeCell .cm-content')[2].innerText.includes('sum(rows)')"
    )
    assert source(front, 2).startswith("%%step fit --retries 1")
    run_last(front, "in memory 6")
    front.go_to(2)
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "document.querySelectorAll('.jp-CodeCell .cm-content')[2].innerText.includes('max(rows)')"
    )
    front.wait_for_mark("fit", "stale")
    mark = page.locator('.evercell-mark[aria-label^="step fit"]')
    notebooks.photograph(front, "stale")
    front.choose(mark, "Put Back Its Source")
    front.what_was_said("executed: fit")
    front.wait_for_mark("fit", "saved")
    # with the branch, side by side, in a frame below the notebook, dark where the page is
    front.choose_theme("JupyterLab Dark")
    front.choose(runs.filter(has_text="largest <b>"), "Compare with This Notebook's Run")
    frame = front.panel()
    frame.get_by_text("max(rows)").first.wait_for()
    assert "model" in frame.locator("body").inner_text() and "<b>" in frame.locator("body").inner_text()
    front.photograph("lab-compared-dark")
    page.locator("#jp-down-stack .lm-TabBar-tabCloseIcon").first.click()
    # from before a step, in a new run
    front.choose(mark, "Reset to Before It…")
    page.locator(".jp-Dialog input").fill("again")
    page.locator(".jp-Dialog .jp-mod-accept").click()
    front.what_was_said("in a new run: again")
    run_last(front, "in memory None")
    side.locator("h2", has_text="again").wait_for()


def test_a_kernel_at_work_or_none_says_what_to_do_and_holds_nothing_up(notebooks: Notebooks) -> None:
    go = notebooks.folder / "go-on"
    front = notebooks.write(
        LOAD, "%%step load\nrows = [1, 2, 3]", f"{WAIT.format(go='go-on')}\nprint('it', 'ended')"
    )
    page = front.page
    front.run_cells(2)
    front.wait_for_mark("load", "saved")
    front.go_to(2)
    page.keyboard.press("Control+Enter")
    side = front.side_bar()
    load = side.locator("section", has_text="Steps").locator("li", has_text="load")
    front.choose(load, "Check Out")
    front.what_was_said("A cell runs")
    front.choose(load, "Inspect")
    front.panel().get_by_text("rows").first.wait_for()
    go.touch()
    front.wait_for_text("it ended")
    front.menu("Kernel", "Shut Down Kernel")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=unknown]", state="attached")
    front.choose(load, "Check Out")
    front.what_was_said("%load_ext evercell")
    front.choose(load, "Show Its Source")  # the server knows it
    front.panel(1).get_by_text("rows = [1, 2, 3]").wait_for()
