"""P1: a step that executes again says why, and the reason is the true one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evercell.engine.branching import create_branch
from evercell.engine.magic_lines import first_line
from evercell.engine.workspace import Workspace
from evercell.headless.cell_steps import cell_mark, cell_requests
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with workspace_in(tmp_path) as opened:
        yield opened


def again(notebook: Notebook, name: str, source: str, **options: Any) -> str:
    """Why a step executes again; empty where it does not say so, ``replayed`` where it does not execute."""
    outcome, executor = notebook.step(name, source, **options)
    if outcome.ending == "replayed":
        return "replayed"
    return "".join(note.partition(": ")[2] for note in executor.notes if "executes again" in note)


def test_reasons(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    notebook.plain("n = 0\na = 1")
    notebook.step("make", "b = a + 1")
    notebook.step("use", "c = b + 1")
    notebook.step("count", "n += 1")
    assert again(notebook, "use", "c = b + 1") == "replayed"
    assert again(notebook, "use", "c = b + 2") == "its own code changed"
    assert again(notebook, "count", "n += 1") == "its input n was changed by the step itself"
    assert again(notebook, "make", "b = a + 10") == "its own code changed"
    assert again(notebook, "use", "c = b + 2") == "its input b was made otherwise in make"
    notebook.plain("a = 5")
    assert again(notebook, "make", "b = a + 10") == "its input a was made otherwise in In [1]"
    assert again(notebook, "make", "b = a + 10", rerun=True) == "--rerun is given"
    notebook.session.detach()


def unnamed(notebook: Notebook, cells: list[tuple[str, str | None]]) -> list[str]:
    """Run cells as a headless execution does, with the ids of their cells; why each executes."""
    made = [SimpleNamespace(cell_type="code", source=source, metadata={}) for source, _ in cells]
    return [
        again(notebook, request["step"], source, slot=request["slot"], cell_id=cell_id)
        for request, (source, cell_id) in zip(cell_requests(made), cells, strict=True)
    ]


@pytest.mark.parametrize("has_ids", [True, False])
def test_a_cell_that_moved_is_the_same_cell(workspace: Workspace, has_ids: bool) -> None:
    def cells(*sources: str) -> list[tuple[str, str | None]]:
        return [(source, f"id of {source.partition(' ')[0]}" if has_ids else None) for source in sources]

    notebook = Notebook(workspace)
    assert unnamed(notebook, cells("a = 1", "b = 2", "c = a + b")) == ["", "", ""]
    notebook.session.detach()
    branched = create_branch(workspace, notebook.session.require_run(), step="cell-3")
    branch = Notebook(workspace, branched.id)
    found = unnamed(branch, cells("new = 0", "a = 10", "b = 2", "c = a + b"))
    assert found[2:] == ["replayed", "its input a was made otherwise in cell-2"]
    if has_ids:
        assert found[0] == "", "a new cell executes for the first time"
    branch.session.detach()


def test_an_edited_cell_in_its_place_says_so(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    assert unnamed(notebook, [("a = 1", "x"), ("b = 2", "y")]) == ["", ""]
    assert unnamed(notebook, [("a = 1", "x"), ("b = 3", "y")]) == ["replayed", "its own code changed"]
    notebook.session.detach()
    without_ids = Notebook(workspace, notebook.session.require_run().id)
    assert unnamed(without_ids, [("a = 1", None), ("b = 4", None)]) == ["replayed", "its own code changed"]
    without_ids.session.detach()


def cell(source: str, *tags: str, kind: str = "code") -> Any:
    return SimpleNamespace(cell_type=kind, source=source, metadata={"tags": list(tags)})


def test_steps_are_named_by_the_code_cells_of_the_notebook_as_it_was_written() -> None:
    cells = [
        cell("# Title", kind="markdown"),
        cell("import x", "evercell-setup"),
        cell("rate = 1", "parameters"),
        cell("rate = 2", "injected-parameters"),
        cell("%%step load\nrows = 1"),
        cell("%runs"),
        cell("y = 1"),
        cell("y = 1"),
    ]
    plain = [c for c in cells if "injected-parameters" not in c.metadata["tags"] and c.cell_type == "code"]
    for notebook in (cells, plain):
        named = [r.get("step") or r.get("setup") for r in cell_requests(notebook)]
        assert [name for name in named if name] == ["cell-1", "cell-5", "cell-6"]
    marks = [cell_mark(c, r) for c, r in zip(cells, cell_requests(cells), strict=True)]
    assert marks == [
        {"plain": True}, {"setup": "cell-1"}, {"plain": True}, {"plain": True}, {"step": "load"}, {"plain": True},
        {"step": "cell-5"}, {"step": "cell-6"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("", ""),
        ("\n  x = 1\ny = 2", "x = 1"),
        ("%%step one --retries 2\n\nx = 1", "x = 1"),
        ("# %%step one --retries 2\nx = 1", "x = 1"),
        ("__evercell_leave__('a b')  # %%approve a b\nx = 1", "x = 1"),
        ("# load the data\nx = 1", "# load the data"),
        ("x" * 200, "x" * 60 + "…"),
        ("get_ipython().run_line_magic('matplotlib', 'inline')\nx = 1", "%matplotlib inline"),
        ("get_ipython().run_cell_magic('bash', '-s 1', 'echo hi\\n')", "%%bash -s 1"),
        ("get_ipython().system('ls -l')", "!ls -l"),
        ("get_ipython().user_ns['x']", "get_ipython().user_ns['x']"),
        ("get_ipython().run_line_magic(name, 'x'", "get_ipython().run_line_magic(name, 'x'"),
    ],
)
def test_the_first_line_of_a_cell_says_what_it_does(source: str, line: str) -> None:
    assert first_line(source) == line
