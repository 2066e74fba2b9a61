"""A notebook is found again by whatever name, a copy is told from it, and nobody gets a stranger's run."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from evercell.core.records import Run
from evercell.engine.identity import KnownNotebook, Match, NotebookIdentity
from evercell.engine.notebook_cells import read_notebook_file
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.unit.sessions import Notebook


class Desk:
    """A folder of notebooks, opened one after the other by sessions that take nothing from each other's memory."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.folder = folder

    def write(self, name: str, *sources: str, with_ids: bool = True, **own: str) -> Path:
        """A notebook of steps named a, b, …"""
        cells = [
            nbformat.v4.new_code_cell(f"%%step {chr(97 + number)}\n{source}")
            for number, source in enumerate(sources)
        ]
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"evercell": own} if own else {})
        if not with_ids:
            notebook.nbformat_minor = 4
            for cell in cells:
                del cell["id"]
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
        return path

    def known(self, path: Path, *, kernel_id: str | None = None) -> KnownNotebook:
        content = read_notebook_file(path)
        assert content is not None
        return KnownNotebook(NotebookIdentity(str(path), content.id, kernel_id, content.cells))

    def find(self, path: Path, **options: Any) -> Run | None:
        return self.known(path, **options).find_run(self.workspace)

    def run_all(self, path: Path, **options: Any) -> Run:
        """Open the notebook, and run its cells as Run All does; its run is left as by a kernel that was shut down."""
        known = self.known(path, **options)
        notebook = Notebook(self.workspace, known=known)
        for cell in known.identity.cells or ():
            notebook.step(cell.source.split()[1], cell.body, cell_id=cell.id)
        run = notebook.session.require_run()
        notebook.session.detach()
        return self.workspace.store.runs.find(run.id)


@pytest.fixture
def desk(store_url: str, tmp_path: Path) -> Iterator[Desk]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as workspace:
        yield Desk(workspace, tmp_path / "desk")


@pytest.mark.parametrize("with_ids", [True, False], ids=["cell ids", "no cell ids"])
def test_a_notebook_is_found_again_after_a_rename_and_a_move(desk: Desk, with_ids: bool) -> None:
    path = desk.write("Untitled.ipynb", "x = 1", "y = x + 1", with_ids=with_ids, id="n1")
    run = desk.run_all(path)
    for new in (desk.folder / "plan.ipynb", desk.folder / "below" / "plan.ipynb"):
        new.parent.mkdir(exist_ok=True)
        path = path.rename(new)
        again = desk.run_all(path)
        assert (again.id, again.notebook) == (run.id, str(path))


def test_it_is_found_by_its_cells_where_nothing_wrote_an_id(desk: Desk) -> None:
    path = desk.write("Untitled.ipynb", "x = 1", "y = x + 1")
    run = desk.run_all(path)
    found = desk.find(path.rename(desk.folder / "plan.ipynb"))
    assert found is not None and found.id == run.id


def test_another_notebook_at_the_same_path_begins_anew_and_is_told_so(desk: Desk) -> None:
    first = desk.run_all(desk.write("Untitled.ipynb", "x = 1"))
    other = desk.known(desk.write("Untitled.ipynb", "x = 2", "z = 5"))
    assert other.find_run(desk.workspace) is None
    [miss] = other.near_misses
    assert miss.match is Match.OTHER_CELLS and f"%evercell attach {first.name}" in str(miss)
    second = desk.run_all(desk.folder / "Untitled.ipynb")
    assert second.id != first.id
    assert desk.find(desk.folder / "Untitled.ipynb") == second


def test_a_renamed_notebook_keeps_its_run_though_another_has_its_old_name(desk: Desk) -> None:
    path = desk.write("Untitled.ipynb", "x = 1")
    first = desk.run_all(path)
    renamed = path.rename(desk.folder / "plan.ipynb")
    second = desk.run_all(desk.write("Untitled.ipynb", "other = 'cells'"))
    assert second.id != first.id
    found = desk.run_all(renamed)
    assert (found.id, found.notebook) == (first.id, str(renamed))


def test_a_copy_is_offered_a_branch_and_then_has_a_run_of_its_own(desk: Desk) -> None:
    path = desk.write("plan.ipynb", "x = 1", "y = x + 1", id="n1")
    run = desk.run_all(path)
    copy = desk.folder / "plan-Copy1.ipynb"
    shutil.copy(path, copy)
    known = desk.known(copy)
    assert known.find_run(desk.workspace) is None and known.id != "n1"
    [miss] = known.near_misses
    assert (
        miss.match is Match.COPY and f"%branch --from {run.name}@" in str(miss) and "plan.ipynb" in str(miss)
    )
    notebook = Notebook(desk.workspace, known=known)
    from evercell.engine import moving

    child = moving.branch(notebook.session, lambda *_: None, step=f"{run.name}@", name=None).run
    assert notebook["y"] == 2
    notebook.session.detach()
    for file, owner in ((copy, child.id), (path, run.id)):
        found = desk.find(file)
        assert found is not None and found.id == owner


def test_a_linked_folder_is_no_copy(desk: Desk) -> None:
    run = desk.run_all(desk.write("plan.ipynb", "x = 1"))
    (desk.folder.parent / "linked").symlink_to(desk.folder)
    found = desk.find(desk.folder.parent / "linked" / "plan.ipynb")
    assert found is not None and found.id == run.id


def test_edited_added_and_deleted_cells_leave_it_the_same_notebook(desk: Desk) -> None:
    path = desk.write("plan.ipynb", "x = 1", "y = 2", "z = 3")
    run = desk.run_all(path)
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "%%step a\nx = 'edited'"
    notebook.cells[1].source = "%%step b\nold = 'edited, too'"
    del notebook.cells[2]
    notebook.cells.append(nbformat.v4.new_code_cell("%%step new\nw = 4"))
    nbformat.write(notebook, path)
    found = desk.find(path)
    assert found is not None and found.id == run.id


def test_nobody_is_attached_to_another_persons_run(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    path = desk.write("tutorial.ipynb", "x = 1", id="shared")
    monkeypatch.setenv("EVERCELL_USER", "ann")
    run = desk.run_all(path)
    monkeypatch.setenv("EVERCELL_USER", "bob")
    known = desk.known(path)
    assert known.find_run(desk.workspace) is None
    assert [miss.match for miss in known.near_misses] == [Match.OTHER_PERSON] and "ann's" in str(
        known.near_misses[0]
    )
    theirs = desk.run_all(path)
    assert (theirs.id != run.id, theirs.created_by) == (True, "bob")
    monkeypatch.setenv("EVERCELL_USER", "ann")
    mine = desk.find(path)
    assert mine is not None and mine.id == run.id


def test_a_restarted_kernel_is_on_its_run_whatever_the_file_is_called_or_holds_by_then(desk: Desk) -> None:
    path = desk.write("Untitled.ipynb", "x = 1")
    kernel = "0b1f9a2e-0000-4000-8000-000000000001"
    run = desk.run_all(path, kernel_id=kernel)
    for other in (
        desk.write("Untitled.ipynb", "not = 'saved'".replace("not ", "n ")),
        desk.write("plan.ipynb", "q = 1"),
    ):
        found = desk.find(other, kernel_id=kernel)
        assert found is not None and found.id == run.id


def test_an_output_notebook_has_the_run_that_made_it(desk: Desk) -> None:
    path = desk.write("plan.ipynb", "x = 1")
    run = desk.run_all(path)
    output = desk.folder / "plan.out.ipynb"
    desk.workspace.store.runs.update(run.id, output=str(output))
    shutil.copy(path, output)
    found = desk.run_all(output)
    assert (found.id, found.notebook) == (run.id, str(path))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"cells": 3}', '{"cells": [1, {"cell_type": "code"}], "metadata": 4}', "[" * 100_000],
)
def test_a_file_that_is_no_notebook_says_nothing(desk: Desk, text: str) -> None:
    path = desk.write("plan.ipynb", "x = 1")
    run = desk.run_all(path)
    path.write_text(text)
    content = read_notebook_file(path)
    identity = NotebookIdentity(
        str(path), content.id if content else None, None, content.cells if content else None
    )
    known = KnownNotebook(identity)
    found = known.find_run(desk.workspace)
    assert (found.id if found else None) == (run.id if content is None else None)


@pytest.mark.parametrize("seed", range(10))
def test_whatever_is_done_to_the_files_each_notebook_keeps_its_run(desk: Desk, seed: int) -> None:
    """Random renames, moves, copies, edits and reuses of names, against a list of who has which run."""
    dice = random.Random(seed)
    owner: dict[Path, str | None] = {}
    names = [
        desk.folder / folder / f"{name}.ipynb" for folder in ("", "sub") for name in ("Untitled", "plan", "x")
    ]
    for turn in range(14):
        free = [path for path in names if path not in owner]
        there = list(owner)
        match dice.choice(["new", "rename", "copy", "edit", "open", "open", "open"]):
            case "new" if free:
                path = dice.choice(free)
                sources = [f"v{turn}_{n} = {dice.random()}" for n in range(dice.randint(1, 4))]
                own = {"id": f"n{turn}"} if dice.random() < 0.5 else {}
                desk.write(str(path.relative_to(desk.folder)), *sources, with_ids=dice.random() < 0.8, **own)
                owner[path] = None
            case "rename" if free and there:
                path, new = dice.choice(there), dice.choice(free)
                new.parent.mkdir(exist_ok=True)
                owner[path.rename(new)] = owner.pop(path)
                check(desk, owner, new)  # (a copy made before it is opened again would look like it)
            case "copy" if free and there:
                path, new = dice.choice(there), dice.choice(free)
                check(desk, owner, path)
                new.parent.mkdir(exist_ok=True)
                shutil.copy(path, new)
                owner[new] = None
                check(desk, owner, new)
            case "edit" if there:
                path = dice.choice(there)
                notebook = nbformat.read(path, as_version=4)
                notebook.cells.append(nbformat.v4.new_code_cell(f"%%step s{turn}\nadded{turn} = {turn}"))
                nbformat.write(notebook, path)
            case "open" if there:
                check(desk, owner, dice.choice(there))


def check(desk: Desk, owner: dict[Path, str | None], path: Path) -> None:
    """The notebook gets the run that it had, or one that no other notebook has."""
    run = desk.run_all(path)
    if owner[path] is None:
        assert run.id not in owner.values(), f"{path} was given another's run"
        owner[path] = run.id
    assert run.id == owner[path]
