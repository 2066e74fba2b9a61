"""%history, %source, %diff and %why: what a notebook's past and present say, without running anything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import evercell
from evercell.core.errors import RunNotFound, StepNotFound, UsageError
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.magic_lines import cell_as_written
from evercell.engine.workspace import Workspace
from evercell.magics import commands
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    opened = workspace_in(tmp_path)
    yield opened
    opened.close()


class Pages:
    """A notebook file, and a front end that takes cells."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.put: list[str] = []

    def save(self, *sources: str) -> None:
        """The notebook has these cells now."""
        cells = [
            {"cell_type": "code", "id": f"cell-{n}", "source": source, "metadata": {}, "outputs": []}
            for n, source in enumerate(sources)
        ]
        self.path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return Pages(tmp_path / "nb.ipynb")


@pytest.fixture
def notebook(workspace: Workspace, pages: Pages) -> Iterator[Notebook]:
    made = Notebook(workspace, known=KnownNotebook(NotebookIdentity(path=str(pages.path))))
    commands.set_notebook(commands.Notebook(made.session, lambda *_: None, put_cell=pages.put.append))
    yield made
    commands.set_notebook(None)
    made.session.detach()


# -- history -------------------------------------------------------------------------------------


def lines_of(text: object) -> dict[str, list[str]]:
    """By step and version, the words of its line."""
    rows = [line.split() for line in str(text).splitlines()]
    return {row[1]: row for row in rows if len(row) > 2 and "@" in row[1]}


def test_history_has_each_version_in_order_and_says_where_one_is_and_who_leaves(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("fit", "m = rows + [1]")
    notebook.step("fit", "m = rows + [2]")
    run = notebook.session.require_run().name
    evercell.branch("load", name="other")
    evercell.branch(f"{run}@fit@1", name="third")
    evercell.checkout(run)
    found = lines_of(evercell.history())
    assert list(found) == ["load@1", "fit@1", "fit@2"]
    assert found["load@1"][-1] == "other"
    assert found["fit@1"][-1] == "third"
    assert "here" in found["fit@2"]
    assert "new" in found["fit@2"]
    assert "new" not in found["fit@1"]
    evercell.checkout("@load")
    found = lines_of(evercell.history())
    assert "here" in found["load@1"]
    assert [found[ref][0] for ref in found] == ["●", "·", "·"]
    found = lines_of(evercell.history("third"))
    assert list(found) == ["load@1", "fit@1"]
    assert run in found["load@1"], "which executed it"
    assert "here" in found["fit@1"]


def test_history_of_a_run_without_steps_and_of_a_long_one(notebook: Notebook) -> None:
    with pytest.raises(RunNotFound, match="no run yet"):
        evercell.history()
    notebook.step("fails", "1 / 0")
    assert "No step of it completed yet" in str(evercell.history())
    for number in range(5):
        notebook.step("count", f"n = {number}")
    text = str(evercell.history(limit=2))
    assert list(lines_of(text)) == ["count@4", "count@5"]
    assert "3 earlier ones are left out: --limit 5 shows all" in text


def test_history_stands_behind_a_step_also_after_plain_cells_and_replays(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("fit", "m = rows + [1]")
    notebook.plain("rows.append(2)")
    notebook.step("fails", "1 / 0")
    assert "here" in lines_of(evercell.history())["fit@1"]
    evercell.branch(name="later")
    assert lines_of(evercell.history())["fit@1"][-1] != "later", "it is this run"
    notebook.step("load", "rows = [1]")
    assert "here" in lines_of(evercell.history())["load@1"]


# -- source --------------------------------------------------------------------------------------


def test_source_is_the_code_as_it_is_typed_and_can_be_put_into_a_cell(
    notebook: Notebook, pages: Pages
) -> None:
    notebook.step("fit", "# %%step fit --retries 2\nx = 1")
    notebook.step("fit", "# %%step fit\nget_ipython = None\nx = '<b>'\n")
    assert str(evercell.source("fit@1")) == "%%step fit --retries 2\nx = 1"
    assert pages.put == []
    shown = evercell.source("fit", put=True)
    assert pages.put == ["%%step fit\nget_ipython = None\nx = '<b>'"]
    assert "<b>" not in shown._repr_html_()
    with pytest.raises(RunNotFound, match="no step of this run, no run and no tag 'fti'"):
        evercell.source("fti")


@pytest.mark.parametrize(
    ("executed", "typed"),
    [
        ("# %%step fit\nx = 1\n", "%%step fit\nx = 1"),
        ("x = 1", "%%step fit\nx = 1"),
        ("# a comment\nx = 1", "%%step fit\n# a comment\nx = 1"),
        ("__evercell_leave__('fit \"Go?\"')  # %%approve fit \"Go?\"\nx = 1", '%%approve fit "Go?"\nx = 1'),
        ("get_ipython().run_line_magic('cd', '/tmp')\nif x:\n    get_ipython().system('ls')",
         "%%step fit\n%cd /tmp\nif x:\n    !ls"),
        ("x = '''\n  a\n'''", "%%step fit\nx = '''\n  a\n'''"),
    ],
)  # fmt: skip
def test_an_executed_cell_is_written_as_it_was_typed(executed: str, typed: str) -> None:
    assert cell_as_written(executed, "fit") == typed


# -- diff ----------------------------------------------------------------------------------------


def test_diff_compares_the_cell_now_with_the_last_version_or_two_versions(
    notebook: Notebook, pages: Pages
) -> None:
    notebook.step("fit", "x = 1")
    notebook.step("fit", "x = 2")
    pages.save("%%step fit\nx = 3")
    text = str(evercell.diff("fit"))
    assert text.startswith("fit → the cell now\n--- fit\n+++ the cell now\n")
    assert "-x = 2\n+x = 3" in text
    assert "-x = 1\n+x = 3" in str(evercell.diff("fit@1"))
    assert "-x = 1\n+x = 2" in str(evercell.diff("fit@1", "fit@2"))
    pages.save("%%step fit\nx = 2")
    assert str(evercell.diff("fit")) == "fit and the cell now have the same code."


def test_diff_of_a_cell_that_is_not_there_says_what_to_do(notebook: Notebook, pages: Pages) -> None:
    notebook.step("fit", "x = 1")
    with pytest.raises(StepNotFound, match="not saved yet"):
        evercell.diff("fit")
    pages.save("%%step other\nx = 3")
    with pytest.raises(StepNotFound, match="no cell of step fit") as caught:
        evercell.diff("fit")
    assert "%source fit --put" in caught.value.hint
    with pytest.raises(RunNotFound):
        evercell.diff("nothing")


# -- why -----------------------------------------------------------------------------------------


def test_why_says_that_nothing_changed(notebook: Notebook, pages: Pages) -> None:
    pages.save("%%step load\nrows = [1]", "%%step fit\nm = rows + [1]")
    notebook.step("load", "rows = [1]")
    notebook.step("fit", "m = rows + [1]")
    text = str(evercell.why("fit"))
    assert text == (
        "fit would replay: its code, and the code behind what it reads, are as they were when it executed last"
    )


def test_why_names_the_code_that_changed_and_shows_how(notebook: Notebook, pages: Pages) -> None:
    notebook.step("fit", "m = 1")
    pages.save("%%step fit\nm = 2")
    text = str(evercell.why("fit"))
    assert text.startswith("fit would execute: its own code changed\n--- fit@1\n+++ the cell now")
    assert "-m = 1\n+m = 2" in text


def test_why_names_the_input_that_changed_and_who_made_it(notebook: Notebook, pages: Pages) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("fit", "m = rows + [1]")
    notebook.step("load", "rows = [2]")
    pages.save("%%step load\nrows = [2]", "%%step fit\nm = rows + [1]")
    text = str(evercell.why("fit"))
    assert text.startswith("fit would execute: its input rows was made otherwise in load")
    assert "rows was made or changed by load since, which executed 2 times: %diff load@1 load@2" in text


def test_why_names_a_step_before_it_that_would_execute_first(notebook: Notebook, pages: Pages) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("clean", "good = rows[:]")
    notebook.step("fit", "m = good + [1]")
    pages.save("%%step load\nrows = [2]", "%%step clean\ngood = rows[:]", "%%step fit\nm = good + [1]")
    text = str(evercell.why("fit"))
    assert text.startswith("fit would replay:")
    assert "reads rows of load, which would execute first in a Run All: its own code changed" in text


def test_why_names_no_step_before_it_that_a_run_all_replays(notebook: Notebook, pages: Pages) -> None:
    """What a step below that one changed, the step above it makes again."""
    cells = {
        "load": "rows = [1]",
        "clean": "good = rows[:]",
        "grow": "rows.append(3)",
        "fit": "m = good + [1]",
    }
    for step, source in cells.items():
        notebook.step(step, source)
    pages.save(*(f"%%step {step}\n{source}" for step, source in cells.items()))
    text = str(evercell.why("fit"))
    assert text.startswith("fit would replay:")
    assert "would execute first" not in text


def test_why_of_a_step_that_never_completed_and_of_none(notebook: Notebook, pages: Pages) -> None:
    pages.save("%%step fit\nm = 1", "%%step broken\nm = (")
    notebook.step("load", "rows = [1]")
    assert str(evercell.why("fit")) == "fit would execute: it has not completed in this run yet"
    assert "broken would execute" in str(evercell.why("broken"))
    with pytest.raises(StepNotFound):
        evercell.why("nothing")


def test_why_works_where_the_cell_is_gone_or_the_run_is_not_resumed(
    notebook: Notebook, pages: Pages, workspace: Workspace
) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("fit", "m = rows + [1]")
    text = str(evercell.why("fit"))
    assert text.startswith("fit would replay:")
    assert "Its cell is not in the notebook" in text
    pages.save("%%step load\nrows = [1]", "%%step fit\nm = rows + [2]")
    run = notebook.session.require_run().name
    notebook.session.detach()
    again = Notebook(workspace, run, known=KnownNotebook(NotebookIdentity(path=str(pages.path))))
    commands.set_notebook(commands.Notebook(again.session, lambda *_: None))
    text = str(evercell.why("fit"))
    assert "fit would execute: its own code changed" in text
    assert "%resume, then %why tells of its inputs, too" in text
    assert again.session.holds_lease is False
    with pytest.raises(UsageError, match="no front end"):
        evercell.source("fit", put=True)
    again.session.detach()


def test_why_runs_nothing_and_loads_nothing(notebook: Notebook, pages: Pages) -> None:
    pages.save("%%step load\nrows = [1]", "%%step fit\nm = rows + [1]\nraise ValueError")
    notebook.step("load", "rows = [1]")
    before, head = dict(notebook.variables), notebook.session.position
    evercell.why("fit")
    assert notebook.variables == before
    assert notebook.session.position == head
    outcome, _ = notebook.step("load", "rows = [1]")
    assert outcome.ending == "replayed"
