"""JupyterLab without a mouse, and Run All of a hundred cells that all replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import pytest

from tests.acceptance.test_lab_extension import LOAD, Notebooks, lab_in_browser
from tests.browser import SECONDS
from tests.servers import JupyterServer

pytestmark = pytest.mark.browser

ASK = "%%step ask\ndecision = evercell.approve('Send 3 mails?')\nprint('decided', decision.choice)"
CELLS = 100


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, JupyterServer]]:
    with lab_in_browser(tmp_path_factory.mktemp("keyboard")) as opened:
        yield opened


@pytest.fixture
def notebooks(lab: tuple[Any, JupyterServer], request: pytest.FixtureRequest) -> Iterator[Notebooks]:
    found = Notebooks(lab[0], "lab", lab[1], f"{request.node.name[-20:]}.ipynb")
    yield found
    for front in found.pages:
        front.close()


def choose_in_palette(page: Any, label: str) -> None:
    """Ctrl+Shift+C, some letters, Enter."""
    page.keyboard.press("Control+Shift+c")
    page.locator(".lm-CommandPalette-input:focus").wait_for()
    page.keyboard.type(label)
    page.locator(".lm-CommandPalette-item.lm-mod-active", has_text=label).wait_for()
    page.keyboard.press("Enter")


def tab_to(page: Any, selector: str) -> None:
    """Press Tab until something that fits has the focus."""
    for _ in range(80):
        if page.evaluate(
            "s => document.activeElement !== null && document.activeElement.matches(s)", selector
        ):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab leads to no {selector}")


def test_a_question_is_answered_and_a_step_inspected_by_keyboard_alone(notebooks: Notebooks) -> None:
    front = notebooks.write(LOAD, "%%step load\nrows = [1, 2, 3]", ASK)
    page = front.page
    page.keyboard.press("Escape")
    choose_in_palette(page, "Run All Cells")
    front.approval()
    tab_to(page, ".evercell-approval button:not([disabled])")
    page.keyboard.press("Enter")
    front.wait_for_text("decided Approve")
    choose_in_palette(page, "Steps and Runs")
    page.locator(".evercell-side").wait_for()
    tab_to(page, ".evercell-side .evercell-more")
    page.keyboard.press("Enter")
    page.locator(".lm-Menu-item", has_text="Inspect").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    front.panel().get_by_text("rows").first.wait_for()
    notebooks.photograph(front, "by-keyboard")


def seconds_of_run_all(front: Any, last: str) -> float:
    """From the choice in the menu until the last cell shows what it printed."""
    began = perf_counter()
    front.menu("Run", "Run All Cells")
    front.page.locator(".jp-OutputArea-output", has_text=last).first.wait_for(timeout=3 * SECONDS)
    front.wait_until_idle()
    return perf_counter() - began


def test_a_hundred_cells_that_replay_take_the_page_little_longer_than_plain_ones(
    notebooks: Notebooks, figure: Callable[[str], None]
) -> None:
    plain = notebooks.write(
        "import evercell", *(f"x{n} = {n}" for n in range(CELLS)), "print('plain', 'end')"
    )
    without = seconds_of_run_all(plain, "plain end")
    plain.close()
    notebooks.pages.clear()
    steps = notebooks.write(
        "%load_ext evercell",
        *(f"%%step s{n}\nx{n} = {n}" for n in range(CELLS)),
        "%%step end\nprint('the', 'end')",
    )
    seconds_of_run_all(steps, "the end")
    steps.menu("Edit", "Clear Outputs of All Cells")
    steps.restart_kernel()
    replayed = seconds_of_run_all(steps, "the end")
    steps.wait_for_mark("end", "replayed")
    figure(f"Run All of {CELLS} cells: plain {without:.1f} s, replayed in a new kernel {replayed:.1f} s")
