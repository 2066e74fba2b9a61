"""The output notebook of a headless run: what the file holds while cells execute, and when it is written."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from evercell.headless.notebook_file import write_whole
from evercell.headless.output import CellEnd, OutputNotebook

CODE = (1, 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.ipynb"


@pytest.fixture
def output(path: Path) -> OutputNotebook:
    cells = [new_markdown_cell("# a"), new_code_cell("x"), new_markdown_cell("# b"), new_code_cell("y")]
    notebook = new_notebook(cells=[*cells, new_markdown_cell("# end")], metadata={"papermill": {}})
    made = OutputNotebook(notebook, output_path=str(path), progress_bar=False)
    made.notebook_start()
    return made


def _complete(output: OutputNotebook, index: int) -> None:
    cell = output.nb.cells[index]
    if cell.cell_type == "code":
        cell.outputs = [new_output("stream", text=f"of {index}\n")]
    output.cell_came_to(CellEnd.COMPLETED, cell, index)


def test_it_is_written_once_for_each_cell_that_executes_with_all_that_came_before(
    output: OutputNotebook, path: Path
) -> None:
    written = []
    for index, cell in enumerate(output.nb.cells):
        before = path.stat().st_ino, path.stat().st_mtime_ns
        output.cell_start(cell, index)
        now = path.stat().st_ino, path.stat().st_mtime_ns
        if now != before:
            written.append(index)
            assert nbformat.read(path, 4) == output.nb
        _complete(output, index)
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == now
    assert written == [*CODE]
    output.notebook_complete()
    assert nbformat.read(path, 4) == output.nb
    assert {cell.metadata.papermill.status for cell in output.nb.cells} == {"completed"}


@pytest.mark.parametrize("end", [CellEnd.FAILED, CellEnd.PENDING])
def test_a_cell_that_did_not_complete_is_written_as_soon_as_that_is_known(
    output: OutputNotebook, path: Path, end: CellEnd
) -> None:
    cell = output.nb.cells[1]
    output.cell_start(cell, 1)
    output.cell_came_to(end, cell, 1)
    assert nbformat.read(path, 4).cells[1].metadata.papermill.status == end


def test_a_notebook_on_its_way_is_the_same_as_at_its_end(tmp_path: Path) -> None:
    nb = nbformat.v4.new_notebook(metadata={"names": ["Ünï", "漢字"]})
    shown = nbformat.v4.new_output("stream", name="stdout", text="one\ntwo\n<b>\u2028")
    nb.cells = [nbformat.v4.new_code_cell("x = 1\ny = 2", outputs=[shown]), nbformat.v4.new_markdown_cell("")]
    on_its_way, at_its_end = tmp_path / "a.ipynb", tmp_path / "b.ipynb"
    write_whole(nb, on_its_way, synchronous=False)
    write_whole(nb, at_its_end)
    assert nbformat.read(on_its_way, as_version=4) == nbformat.read(at_its_end, as_version=4) == nb

    nb.metadata["odd"] = {1: b"bytes"}  # what JSON has no word for
    write_whole(nb, on_its_way, synchronous=False)
    assert nbformat.read(on_its_way, as_version=4).cells == nb.cells
