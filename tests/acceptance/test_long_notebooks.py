"""P1, P3, P5: long notebooks, killed after a random cell, end as if nothing had happened."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.conftest import Counter, isolated_home, postgres_database
from tests.kernels import Kernel, Shown

TESTS = Path(__file__).parents[1]
NOTEBOOKS = ("analysis", "agent", "simulation")
KILLS = [0, 1, 2, 3, *(pytest.param(number, marks=pytest.mark.long) for number in range(4, 10))]
"""Each on another database, and with Run All or what is left, than the next."""

CANONICAL = (TESTS / "canonical.py").read_text()
OWN_NAMES = ("In", "Out", "get_ipython", "exit", "quit", "effect", "canonical", "open")


@dataclass(frozen=True)
class Undisturbed:
    """What a run without a kill showed and left behind."""

    pictures: dict[str, list[tuple[str, Any]]]
    variables: Any


@cache
def cells_of(name: str) -> list[tuple[str, str]]:
    """The code cells of a notebook: id and source."""
    notebook = nbformat.read(TESTS / "notebooks" / f"{name}.ipynb", as_version=4)
    return [(cell.id, cell.source) for cell in notebook.cells if cell.cell_type == "code"]


def step_names(name: str) -> list[str]:
    return [source.split()[1] for _, source in cells_of(name) if source.startswith("%%step")]


class Session:
    """Kernels of one notebook on one store, and what its cells showed last."""

    def __init__(self, folder: Path, store_url: str) -> None:
        self.folder = folder
        self.counter = Counter(folder / "effects.txt")
        self.pictures: dict[str, list[tuple[str, Any]]] = {}
        self._environ = {
            **isolated_home(folder / "home"),
            "EVERCELL_STORE": store_url,
            "EVERCELL_NOTEBOOK": str(folder / "nb.ipynb"),
        }

    def start(self) -> Kernel:
        kernel = Kernel(cwd=self.folder, environ=self._environ)
        kernel.run(
            f"def effect(word):\n    with open({str(self.counter.path)!r}, 'a') as f: print(word, file=f)"
        )
        return kernel

    def run(self, kernel: Kernel, cells: list[tuple[str, str]]) -> None:
        for cell_id, source in cells:
            shown = kernel.run(source, cell_id=cell_id)
            assert shown.status == "ok", f"{cell_id}: {shown.error}"
            self.pictures[cell_id] = _picture(shown)


def _picture(shown: Shown) -> list[tuple[str, Any]]:
    """What is on the page, without numbers of cells; our lines say where the run stands, and so differ."""
    seen = [(k, c) for k, c in shown.picture() if not str(c.get("text", "")).startswith("evercell: ")]
    return [(k, {n: v for n, v in c.items() if n != "execution_count"}) for k, c in seen]


def variables_of(kernel: Kernel) -> Any:
    """All variables, with the pattern of what is one object."""
    ask = f"print('VALUE', _space['canonical'](globals(), {OWN_NAMES!r}))"
    shown = kernel.run(f"_space = {{}}\nexec({CANONICAL!r}, _space)\n{ask}")
    assert shown.status == "ok", shown.error
    return ast.literal_eval(shown.text.partition("VALUE ")[2].strip())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Undisturbed]:
    """Each notebook run from top to bottom in one kernel."""
    results = {}
    for name in NOTEBOOKS:
        folder = tmp_path_factory.mktemp(name)
        session = Session(folder, f"sqlite:///{folder / 'store.db'}")
        kernel = session.start()
        try:
            session.run(kernel, cells_of(name))
            results[name] = Undisturbed(session.pictures, variables_of(kernel))
        finally:
            kernel.shut_down()
        assert session.counter.words() == step_names(name)
    return results


@pytest.fixture
def alternating_url(request: pytest.FixtureRequest, tmp_path: Path, number: int) -> Iterator[str]:
    """SQLite for even numbers, PostgreSQL for odd ones."""
    if number % 2:
        yield from postgres_database(request.getfixturevalue("postgres_server"))
    else:
        yield f"sqlite:///{tmp_path / 'store.db'}"


@pytest.mark.parametrize("number", KILLS)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_killed_after_a_random_cell_ends_the_same(
    name: str,
    number: int,
    undisturbed: dict[str, Undisturbed],
    alternating_url: str,
    chance: random.Random,
    tmp_path: Path,
) -> None:
    cells = cells_of(name)
    killed_after = chance.randrange(2, len(cells))
    session = Session(tmp_path, alternating_url)
    first = session.start()
    try:
        session.run(first, cells[:killed_after])
    finally:
        first.kill()
    steps = [i for i, (_, source) in enumerate(cells[:killed_after]) if source.startswith("%%step")]
    second = session.start()
    try:
        session.run(second, cells[:1])
        if steps:
            assert "resumed" in second.run("%resume").text
        run_all = number % 4 < 2  # else only what comes after the last completed step
        session.run(second, cells[1:] if run_all or not steps else cells[steps[-1] + 1 :])
        assert variables_of(second) == undisturbed[name].variables
    finally:
        second.shut_down()
    assert session.pictures == undisturbed[name].pictures
    assert sorted(session.counter.words()) == sorted(step_names(name)), "every step had its effect once"
