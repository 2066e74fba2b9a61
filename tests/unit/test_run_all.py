"""P1: whatever a notebook's cells are, run again unchanged they replay: here, in a new kernel, and after a resume."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.engine.late_changes import look_at_everything
from evercell.engine.outcome import Ending
from evercell.engine.workspace import Workspace
from evercell.state.changes import scan
from tests.unit.sessions import Notebook, workspace_in

NAMES = ("a", "b", "c")

STATEMENTS = [
    "{x} = [{n}]",
    "{x} = {y} + [{n}]",
    "{x} = {y}",
    "{x}.append({n})",
    "{x} = len({y})",
    "exec('{x} = [{n}]')",
    "exec('{x}.append({n})')",
    "globals()['{x}'].append({n})",
    "def f_{x}(): {x}.append({n})",
    "def g_{x}(): globals()['{x}'].append({n})",
    "f_{x}()",
    "g_{x}()",
    "put_{x} = {x}.append",
    "put_{x}({n})",
    "box_{x} = {{'in': {x}}}",
    "box_{x}['in'].append({n})",
    "del {x}",
    "__import__('sys').modules['__main__']",
]


@dataclass(frozen=True)
class Cell:
    source: str
    is_step: bool


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with workspace_in(tmp_path_factory.mktemp("run_all")) as opened:
        yield opened


@st.composite
def notebooks(draw: st.DrawFn) -> list[Cell]:
    """Cells that run without an error in this order."""
    cells, variables = [], {}  # type: ignore[var-annotated]
    for number in range(draw(st.integers(2, 9))):
        statement = draw(st.sampled_from(STATEMENTS))
        x, y = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
        source = statement.format(x=x, y=y, n=number)
        if (
            source == f"{x} = {x}"
        ):  # makes nothing, and an exec above it cannot be seen to make the same again
            continue
        try:
            exec(source, variables)
        except (NameError, KeyError, TypeError, AttributeError):
            continue
        cells.append(Cell(source, draw(st.integers(0, 3)) > 0))
    return [*cells, Cell("end = 1", is_step=True)]


@contextmanager
def kernel_on(workspace: Workspace, run: str | None = None) -> Iterator[Notebook]:
    notebook = Notebook(workspace, run)
    try:
        yield notebook
    finally:
        notebook.session.detach()


def run_all(notebook: Notebook, cells: list[Cell], looks: Iterator[bool]) -> list[Ending]:
    """``looks``: whether the kernel is idle for long enough after a cell."""
    endings = []
    for number, cell in enumerate(cells):
        if cell.is_step:
            endings.append(notebook.step(f"s{number}", cell.source)[0].ending)
        else:
            notebook.plain(cell.source)
        if next(looks):
            look_at_everything(notebook.session)
    return endings


def values_of(notebook: Notebook) -> dict[str, Any]:
    return {name: notebook.variables.get(name) for name in (*NAMES, "end")}


@pytest.mark.parametrize(
    "is_quick", [False, True], ids=["everything is seen at a cell's end", "or later, or never"]
)
@given(cells=notebooks(), chances=st.lists(st.booleans(), min_size=1, max_size=5))
def test_a_notebook_run_again_replays_every_step(
    workspace: Workspace, is_quick: bool, cells: list[Cell], chances: list[bool]
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scan, "FREE", 0.0 if is_quick else 10.0)
        patched.setattr(scan, "SHARE", 0.0)
        looks = itertools.cycle(chances) if is_quick else itertools.repeat(False)
        with kernel_on(workspace) as first:
            assert set(run_all(first, cells, looks)) == {Ending.COMPLETED}
            values, run = values_of(first), first.session.require_run().id
            _check_replays(first, cells, looks, None if is_quick else values)
        for is_resumed in (False, True):
            with kernel_on(workspace, run) as other:
                if is_resumed:
                    other.resume()
                _check_replays(other, cells, looks, None if is_quick else values)


def _check_replays(
    notebook: Notebook, cells: list[Cell], looks: Iterator[bool], values: dict[str, Any] | None
) -> None:
    endings = run_all(notebook, cells, looks)
    assert set(endings) == {Ending.REPLAYED}, [cell.source for cell in cells]
    if values is not None:
        assert values_of(notebook) == values, [cell.source for cell in cells]
