"""Which cell of a notebook is which step of a history."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from evercell.engine.executed_steps import executed_history
from evercell.engine.magic_lines import cell_as_written
from evercell.engine.same_code import is_as_written, is_same_code
from evercell.headless.cell_places import cell_places
from evercell.headless.executed_notebook import executed_notebook
from tests.unit.sessions import Notebook, workspace_in


def cells(*found: tuple[str, str]) -> list[object]:
    return [nbformat.v4.new_code_cell(source, id=cell_id) for cell_id, source in found]


def test_a_cell_is_found_by_its_name_its_id_its_code_or_its_place(tmp_path: Path) -> None:
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        notebook.step("named", "a = 1", cell_id="one")
        notebook.step("former", "b = 2", cell_id="two")
        notebook.step("cell-3", "c = 3", cell_id="three", slot="#1")
        notebook.step("cell-4", "d = 4", slot="#1")
        notebook.step("cell-5", "e = 5", slot="#1")
        notebook.session.detach()
        run = notebook.session.require_run()
        steps = executed_history(workspace, run.name).steps
    now = cells(
        ("x1", "%%step other\nz = 0"),
        ("three", "c = 33"),
        ("x2", "d  =  4  # moved"),
        ("two", "%%step renamed\nb = 2"),
        ("x3", "e = 55"),
        ("one", "%%step named\na = 100"),
    )
    assert cell_places(now, steps) == {5: "named", 3: "former", 1: "cell-3", 2: "cell-4", 4: "cell-5"}


@pytest.mark.parametrize(
    ("executed", "written"),
    [
        ("# %%step a --retries 2\nx = 1\n", "%%step a --retries 2\nx = 1"),
        ("__evercell_leave__('b Sure?')  # %%approve b Sure?\nx = 1\n", "%%approve b Sure?\nx = 1"),
        ("get_ipython().run_line_magic('cd', '/tmp')\n", "%cd /tmp"),
        ("if 1:\n    x = get_ipython().getoutput('ls -l')\n", "if 1:\n    x = !ls -l"),
        ("get_ipython().system('echo \"a\"')\n", '!echo "a"'),
        ("get_ipython().run_cell_magic('bash', '', 'ls\\n')\n", "%%bash\nls"),
        ("get_ipython().run_line_magic(name, 'x')\n", "get_ipython().run_line_magic(name, 'x')"),
        ("x = '''\nget_ipython().system(\n'''", "x = '''\nget_ipython().system(\n'''"),
    ],
)
def test_a_source_is_told_as_it_was_typed(executed: str, written: str) -> None:
    assert cell_as_written(executed) == written
    assert is_same_code(written, executed, b"") and is_as_written(written, executed, b"")


def test_a_long_notebook_is_put_together_quickly(tmp_path: Path) -> None:
    """(A comparison of each cell with each step takes minutes.)"""
    with workspace_in(tmp_path) as workspace:
        notebook = Notebook(workspace)
        for number in range(300):
            notebook.step(f"cell-{number + 1}", f"x = {number % 7}", slot=f"#{number // 7}")
        notebook.session.detach()
        run = notebook.session.require_run()
        path = tmp_path / "in.ipynb"
        file = nbformat.v4.new_notebook()
        file.cells = cells(*((f"c{n}", f"x = {n % 7}") for n in range(300)))
        nbformat.write(file, path)
        run = workspace.store.runs.update(run.id, notebook=str(path))
        made = executed_notebook(workspace, executed_history(workspace, run.name))
    assert made.executed == 300 and len(made.notebook.cells) == 300
