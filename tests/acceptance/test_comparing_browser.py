"""A comparison as somebody sees it in JupyterLab, live and in a saved notebook that nobody trusts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_lab_extension import without_news
from tests.browser import FrontEnd, chromium
from tests.conftest import isolated_home
from tests.servers import jupyter_server

pytestmark = pytest.mark.browser

FIT = "%%step fit\nplt.plot([{score}, 1]); plt.show()\nscore = {score}\nevercell.log_metric('score', score)"
CELLS = [
    "%load_ext evercell\nimport evercell, matplotlib.pyplot as plt\n%matplotlib inline",
    "%%step load\nrows = [1, 2]",
    FIT.format(score=1),
    "%branch --from load --name other",
    "%diff cmp-1@fit",
    "%compare cmp-1 other",
    "%source cmp-1@fit --put",
]


def write(path: Path, cells: list[dict[str, Any]]) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    path.write_text(json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}))


def code(number: int, source: str) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": f"c{number}", "source": source, "metadata": {}}
    return {**cell, "outputs": [], "execution_count": None}


def run(front: FrontEnd, cell: int) -> None:
    front.go_to(cell)
    front.page.keyboard.press("Control+Enter")
    front.wait_until_idle()


def pictures(front: FrontEnd) -> list[int]:
    """Widths of the pictures that stand side by side."""
    found: list[int] = front.page.locator("details td img").evaluate_all(
        "all => all.map(i => i.naturalWidth)"
    )
    return found


def test_a_comparison_shows_pictures_side_by_side_and_reads_the_page(tmp_path: Path) -> None:
    environ = {"EVERCELL_STORE": f"sqlite:///{tmp_path / 'store.db'}", **isolated_home(tmp_path / "home")}
    without_news(tmp_path / "home")
    write(tmp_path / "cmp.ipynb", [code(*cell) for cell in enumerate(CELLS)])
    with jupyter_server(tmp_path, app="lab", **environ) as server, chromium() as browser:
        front = FrontEnd(browser, server, "lab", "cmp.ipynb")
        for cell in range(4):
            run(front, cell)
        front.wait_for_text("branched off: other")
        front.go_to(2)
        front.page.keyboard.press("Control+a")
        front.page.keyboard.insert_text(FIT.format(score=2))
        front.go_to(1)
        front.page.keyboard.press("Control+End")
        front.page.keyboard.insert_text("; more = 3")
        front.wait_for_mark(
            "load", "its own code changed"
        )  # the kernel knows of both edits; nothing is saved
        run(front, 4)
        front.wait_for_text("+score = 2")
        run(front, 2)
        run(front, 5)
        front.wait_for_text("code of fit differs")
        assert len(pictures(front)) == 2
        assert min(pictures(front)) > 100
        front.page.locator("details td img").first.scroll_into_view_if_needed()
        front.photograph("lab-compare")
        run(front, 6)
        front.page.locator(".jp-CodeCell").nth(len(CELLS)).wait_for()
        front.save()
        saved = json.loads((tmp_path / "cmp.ipynb").read_text())
        written = ["".join(cell["source"]) for cell in saved["cells"]]
        assert written.count(FIT.format(score=1)) == 1, "the code of the other branch stands in a new cell"
        note = {"cell_type": "markdown", "id": "note", "source": "from elsewhere", "metadata": {}}
        write(tmp_path / "untrusted.ipynb", [note, *saved["cells"]])
        reader = FrontEnd(browser, server, "lab", "untrusted.ipynb")
        reader.wait_for_text("code of fit differs")
        assert min(pictures(reader)) > 100
        reader.page.locator("details td img").first.scroll_into_view_if_needed()
        reader.photograph("lab-compare-untrusted")
