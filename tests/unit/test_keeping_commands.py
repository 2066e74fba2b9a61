"""The commands of a notebook that name, keep and remove runs, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import evercell
from evercell.core.errors import (
    CannotCollect,
    EvercellError,
    LeaseHeld,
    RunNameTaken,
    RunNotFound,
    StepNotFound,
    TagNotFound,
    UsageError,
)
from evercell.engine.branching import create_branch
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.places import find_place
from evercell.magics import commands
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    workspace = workspace_in(tmp_path)
    found = Notebook(workspace, known=KnownNotebook(NotebookIdentity("/w/nb.ipynb")))
    commands.set_notebook(commands.Notebook(found.session, lambda *_: None))
    found.step("load", "rows = [1]")
    found.step("grow", "rows.append(2)")
    yield found
    commands.set_notebook(None)
    found.session.detach()
    workspace.close()


def test_a_run_is_tagged_renamed_archived_and_deleted_from_a_notebook(notebook: Notebook) -> None:
    store, workspace = notebook.session.store, notebook.session.workspace
    assert "tag first names step load of run nb-1" in str(evercell.tag("load", "first"))
    assert "first" in str(evercell.tag())
    with pytest.raises(RunNameTaken, match="names another checkpoint already"):
        evercell.tag("grow", "first")
    evercell.tag("grow", "first", move=True)
    evercell.checkout("first")
    assert notebook["rows"] == [1, 2]
    assert "is now called weather" in str(evercell.rename("nb-1", "weather"))
    assert notebook.session.require_run().name == "weather"
    what_if = create_branch(workspace, notebook.session.require_run(), step="load", name="what-if")
    assert "archived" in str(evercell.archive("what-if"))
    assert "what-if" not in str(evercell.runs())
    assert "in lists again" in str(evercell.archive("what-if", undo=True))
    with pytest.raises(LeaseHeld):
        evercell.delete("weather", yes=True)
    told = str(evercell.delete("what-if"))
    assert "0 completed steps of its own" in told
    assert "%delete what-if --yes" in told
    assert store.runs.find(what_if.id).name == "what-if"
    assert "run what-if is deleted" in str(evercell.delete("what-if", yes=True))
    with pytest.raises(RunNotFound, match="was deleted"):
        evercell.checkout("what-if")
    assert "would be freed: 1 deleted run" in str(evercell.gc(dry_run=True))
    assert "freed: 1 deleted run" in str(evercell.gc())
    shown = evercell.stats()
    assert "Slowest steps" in str(shown)
    assert "<table>" in shown._repr_html_()
    evercell.tag(delete="first")
    with pytest.raises(TagNotFound):
        evercell.tag(delete="first")


def test_a_notebook_goes_on_from_before_a_step_also_of_another_run(notebook: Notebook) -> None:
    evercell.reset("grow", name="again")
    assert notebook["rows"] == [1]
    assert notebook.session.require_run().name == "again"
    notebook.step("grow", "rows.append(3)")
    evercell.tag("nb-1@grow", "there")
    for ref in ("nb-1@grow", "there"):
        evercell.reset(ref)
        assert notebook["rows"] == [1]
        begun = notebook.session.require_run()
        assert begun.branch_point == find_place(notebook.session.workspace, "nb-1@load").checkpoint
    evercell.reset("grow", run="again")
    assert notebook["rows"] == [1]


NAMES = ["a/b", "a\\b", "a@b", "a~1", "", " ", "-x", "x" * 300, "a\nb", "a\x00b", "a\u202eb", "nb-1", "first"]

GIVEN: dict[str, Callable[[str], object]] = {
    "branch": lambda name: evercell.branch("load", name=name),
    "branch here": lambda name: evercell.branch(name=name),
    "reset": lambda name: evercell.reset("grow", name=name),
    "reset to the first": lambda name: evercell.reset("load", name=name),
    "rename": lambda name: evercell.rename("other", name),
    "tag": lambda name: evercell.tag("load", name),
}


@pytest.mark.parametrize("given", GIVEN)
def test_a_name_that_is_none_or_taken_is_refused_wherever_one_is_given(
    notebook: Notebook, given: str
) -> None:
    workspace = notebook.session.workspace
    run = notebook.session.require_run()
    create_branch(workspace, run, step="load", name="other")
    evercell.tag("grow", "first")
    before = [found.id for found in workspace.store.runs.all()]
    for name in NAMES:
        with pytest.raises((UsageError, RunNameTaken)) as raised:
            GIVEN[given](name)
        assert raised.value.hint, name
        assert len(str(raised.value)) < 400
    assert [found.id for found in workspace.store.runs.all()] == before
    assert notebook.session.require_run().id == run.id
    assert notebook["rows"] == [1, 2]


REFUSED: dict[str, tuple[Callable[[], object], type[EvercellError], str]] = {
    "a step that never completed": (lambda: evercell.branch("fails"), StepNotFound, "did not complete"),
    "an unknown step": (lambda: evercell.branch("laod"), RunNotFound, "Did you mean 'load'"),
    "an unknown run": (lambda: evercell.checkout("nb-2@load"), RunNotFound, "Did you mean 'nb-1@load'"),
    "an unknown version": (lambda: evercell.branch("load@7"), StepNotFound, "versions 1 to 1"),
    "a name without a place": (lambda: evercell.tag("load"), UsageError, "%tag RUN@STEP NAME"),
    "no version kept": (lambda: evercell.gc(keep_last=0), UsageError, "newest version"),
    "an unknown tag": (lambda: evercell.tag(delete="frist"), TagNotFound, "Did you mean 'first'"),
    "a step of another run": (lambda: evercell.reset("nope"), StepNotFound, "nope"),
}


def test_what_cannot_be_done_is_refused_with_what_to_do_and_changes_nothing(notebook: Notebook) -> None:
    notebook.step("fails", "1 / 0")
    evercell.tag("grow", "first")
    runs = [run.id for run in notebook.session.store.runs.all()]
    for what, (action, kind, told) in REFUSED.items():
        with pytest.raises(kind) as raised:
            action()
        assert told in str(raised.value), what
        assert "→" in str(raised.value), what
    assert [run.id for run in notebook.session.store.runs.all()] == runs
    assert notebook["rows"] == [1, 2]
    evercell.reset("fails")
    assert notebook["rows"] == [1, 2]


def test_nothing_moves_the_kernel_from_inside_of_a_step(notebook: Notebook) -> None:
    _, ran = notebook.step("inside", "import evercell; evercell.gc()")
    assert "not possible inside of a step" in ran.error
    assert not issubclass(CannotCollect, UsageError)
