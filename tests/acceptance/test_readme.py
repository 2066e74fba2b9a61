"""The README's example does what the README shows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernels import Kernel

pytestmark = pytest.mark.kernel
README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_readmes_example_shows_what_it_says(
    new_kernel: Callable[..., Kernel], tmp_path: Path, store_url: str
) -> None:
    text = README.read_text()
    cells = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    notebook = {"EVERCELL_NOTEBOOK": str(tmp_path / "weather.ipynb")}
    kernel = new_kernel(load=False, **notebook)
    kernel.run(cells[0].partition("  #")[0])
    assert kernel.run(cells[1]).text == "2 rows\n"
    assert kernel.run(cells[2]).status == "ok"
    kernel.kill()
    kernel = new_kernel(load=False, **notebook)
    for source, shown in re.findall(r"In \[\d\]: (.*)\n        (.*)\n", text):
        assert kernel.run(source).text.strip() == shown


def test_the_readme_and_ci_call_one_test_command() -> None:
    command = re.findall(r"```sh\n(.*pytest)\n```", README.read_text())
    assert command == [(README.parent / ".ci" / "run").read_text().strip().splitlines()[-1]]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_notebook_can_name_its_store_above_load_ext(
    new_kernel: Callable[..., Kernel], tmp_path: Path
) -> None:
    kernel = new_kernel(load=False)
    kernel.run("%env EVERCELL_STORE=mine.db")
    kernel.run("%load_ext evercell")
    kernel.run("%%step one\nx = 1")
    assert (tmp_path / "mine.db").exists()
