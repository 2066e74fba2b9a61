"""Names, tags, archived and deleted runs, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from evercell.cli.app import app
from evercell.core.errors import (
    EvercellError,
    LeaseHeld,
    LeaseLost,
    RunNameTaken,
    RunNotFound,
    TagNotFound,
    UsageError,
)
from evercell.core.ids import new_id
from evercell.core.names import DELETED
from evercell.core.records import NewRun, Run
from evercell.engine import moving
from evercell.engine.branching import create_branch
from evercell.engine.holder import this_holder
from evercell.engine.listing import list_approvals, list_runs
from evercell.engine.naming import archive_run, delete_run, foresee_deletion, rename_run, tag_place
from evercell.engine.outcome import Ending
from evercell.engine.settings import Settings
from evercell.engine.verification import verify_store
from evercell.engine.workspace import Workspace, open_workspace
from tests.contract.test_store import ELSEWHERE, TTL, take
from tests.contract.test_stored_forms import asked
from tests.database import open_database
from tests.unit.sessions import Notebook


@pytest.fixture
def workspace(store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    monkeypatch.setenv("EVERCELL_KEY", "the key of all these tests")
    with open_workspace(Settings(store_url, tmp_path / "key")) as made:
        yield made


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """Three versions of a step, and one of another; nobody is on it."""
    notebook = Notebook(workspace)
    for number in (1, 2, 3):
        notebook.step("fit", f"x = [{number}]")
    notebook.step("report", "y = len(x)")
    notebook.session.detach()
    return workspace.store.runs.find(notebook.session.require_run().id)


def restored(workspace: Workspace, ref: str, name: str = "x") -> object:
    """A variable as of a place, in a kernel of its own that branches there."""
    notebook = Notebook(workspace)
    moving.branch(notebook.session, lambda *_: None, step=ref, name=None)
    notebook.session.detach()
    return notebook[name]


def require_whole(workspace: Workspace) -> None:
    report = verify_store(workspace)
    problems = [*report.problems, *(problem for run in report.runs for problem in run.problems)]
    assert problems == []


# -- names ---------------------------------------------------------------------------------------


def test_a_run_is_found_by_its_new_name_and_no_more_by_its_old_one(workspace: Workspace, run: Run) -> None:
    before, after = rename_run(workspace, run.name, "the one with <b>dropout</b>".replace("/", ""))
    assert (before.name, after.id) == (run.name, run.id)
    assert workspace.store.runs.find(after.name).id == run.id
    with pytest.raises(RunNotFound):
        workspace.store.runs.find(run.name)
    assert workspace.store.runs.create(NewRun(None, name=run.name)).name == run.name, "it is free again"
    require_whole(workspace)


def test_a_name_that_a_run_or_a_tag_has_is_not_given_twice(workspace: Workspace, run: Run) -> None:
    other = workspace.store.runs.create(NewRun(None, name="other"))
    tag_place(workspace, f"{run.name}@fit", "best")
    for name in ("other", "best"):
        with pytest.raises(RunNameTaken, match=name):
            rename_run(workspace, run.name, name)
    with pytest.raises(RunNameTaken, match="other"):
        tag_place(workspace, run.name, other.name)
    with pytest.raises(RunNameTaken, match="best"):
        workspace.store.runs.create(NewRun(None, name="best"))
    assert rename_run(workspace, run.name, run.name)[1].name == run.name


def test_two_runs_swap_their_names_by_way_of_a_third(workspace: Workspace, run: Run) -> None:
    other = workspace.store.runs.create(NewRun(None, name="other"))
    for ref, name in ((run.name, "aside"), ("other", run.name), ("aside", "other")):
        rename_run(workspace, ref, name)
    assert workspace.store.runs.find("other").id == run.id
    assert workspace.store.runs.find(run.name).id == other.id
    require_whole(workspace)


def test_a_run_gets_no_name_that_a_tag_has_when_it_is_named_by_itself(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, run.name, "kernel-7")
    assert workspace.store.runs.create(NewRun(None)).name == "kernel-8"


@pytest.mark.parametrize(
    "name",
    ["", "  ", " a", "-a", "a@b", "a~1", "a/b", "a\\b", "a\nb", "a\x1b[2Jb", "a\u202eb", "x" * 201,
     f"{DELETED}x", "0123456789ab"],
)  # fmt: skip
def test_what_could_not_be_typed_again_is_no_name(workspace: Workspace, run: Run, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name of a run"):
        rename_run(workspace, run.name, name)
    with pytest.raises(UsageError, match="cannot be the name of a tag"):
        tag_place(workspace, run.name, name)


def test_a_kernel_on_a_run_goes_on_while_it_is_renamed(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    notebook.step("one", "a = 1")
    rename_run(workspace, notebook.session.require_run().name, "renamed")
    notebook.step("two", "b = a")
    assert [s.name for s in workspace.store.steps.of_run(workspace.store.runs.find("renamed").id)] == [
        "one",
        "two",
    ]
    notebook.session.detach()
    require_whole(workspace)


# -- tags ----------------------------------------------------------------------------------------


def test_a_tag_is_a_place_wherever_one_is_typed(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, f"{run.name}@fit@2", "second")
    assert restored(workspace, "second") == [2]
    notebook = Notebook(workspace)
    arrival = moving.checkout(notebook.session, "second", lambda *_: None)
    assert (arrival.run.id, notebook["x"]) == (run.id, [2])
    assert (
        moving.locate(notebook.session, "second")[1].id == workspace.store.references.tags()[0].checkpoint_id
    )
    notebook.session.detach()
    tag_place(workspace, "second", "also")
    assert restored(workspace, "also") == [2]
    require_whole(workspace)


def test_a_tag_of_a_run_names_where_it_stands_now_and_stays_there(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, run.name, "now")
    notebook = Notebook(workspace, run=run.name)
    notebook.resume()
    notebook.step("fit", "x = [4]")
    notebook.session.detach()
    assert restored(workspace, "now") == [3]
    assert restored(workspace, f"{run.name}@fit") == [4]


def test_a_step_of_the_notebook_goes_before_a_tag_of_the_same_name(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, f"{run.name}@fit@1", "fit")
    notebook = Notebook(workspace, run=run.name)
    assert moving.locate(notebook.session, "fit")[1].step == "fit"
    assert moving.locate(notebook.session, "fit")[1].id != workspace.store.references.tags()[0].checkpoint_id


def test_a_tag_is_moved_only_when_so_asked(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, f"{run.name}@fit@1", "best")
    tag_place(workspace, f"{run.name}@fit@1", "best")
    child = create_branch(workspace, run, step="fit", name="child")
    with pytest.raises(RunNameTaken, match="--move"):
        tag_place(workspace, "child@fit@3", "best")
    tag_place(workspace, "child@fit@3", "best", move=True)
    assert restored(workspace, "best") == [3]
    (tag,) = workspace.store.references.tags()
    assert tag.run_id == child.id
    require_whole(workspace)


def test_a_tag_that_is_removed_takes_nothing_along(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, f"{run.name}@fit@1", "best")
    workspace.store.references.remove_tag("best")
    with pytest.raises(TagNotFound, match="no tag 'best'"):
        workspace.store.references.remove_tag("best")
    assert restored(workspace, f"{run.name}@fit@1") == [1]
    require_whole(workspace)


def test_an_unknown_tag_is_answered_with_the_nearest(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, run.name, "release-1")
    with pytest.raises(TagNotFound, match="Did you mean 'release-1'"):
        workspace.store.references.remove_tag("relase-1")


def test_a_tag_where_a_run_is_needed_says_that_it_is_one(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, run.name, "best")
    with pytest.raises(RunNotFound, match="'best' is a tag"):
        workspace.store.runs.find("best")


def test_a_run_without_a_completed_step_has_nothing_to_tag(workspace: Workspace) -> None:
    workspace.store.runs.create(NewRun(None, name="empty"))
    with pytest.raises(EvercellError, match="nothing to name"):
        tag_place(workspace, "empty", "x")


def test_a_tag_that_was_changed_in_the_database_is_named_by_verify(
    workspace: Workspace, run: Run, store_url: str
) -> None:
    tag_place(workspace, f"{run.name}@fit@1", "best")
    with open_database(store_url) as connection:
        connection.execute(sa.text("UPDATE tags SET checkpoint_id = :head"), {"head": run.head})
    (report,) = verify_store(workspace).runs
    assert [problem.where for problem in report.problems] == ["tag best"]


# -- archived ------------------------------------------------------------------------------------


def test_an_archived_run_is_in_no_list_and_works_as_before(workspace: Workspace, run: Run) -> None:
    archive_run(workspace, run.name)
    archive_run(workspace, run.name)
    assert list_runs(workspace) == []
    (row,) = list_runs(workspace, archived=True)
    assert row.run.archived_at is not None
    assert restored(workspace, f"{run.name}@fit@1") == [1]
    archive_run(workspace, run.name, undo=True)
    assert run.id in {row.run.id for row in list_runs(workspace)}
    require_whole(workspace)


def test_a_notebook_goes_on_with_its_run_that_is_not_archived(workspace: Workspace) -> None:
    old = workspace.store.runs.create(NewRun("/w/a.ipynb"))
    new = workspace.store.runs.create(NewRun("/w/a.ipynb"))
    known = workspace.store.runs.known_by
    assert [found.id for found in known(path="/w/a.ipynb")] == [new.id, old.id]
    archive_run(workspace, new.name)
    assert [found.id for found in known(path="/w/a.ipynb")] == [old.id, new.id]


# -- deleted -------------------------------------------------------------------------------------


def test_a_deleted_run_is_found_by_nobody_and_its_name_is_free(workspace: Workspace, run: Run) -> None:
    delete_run(workspace, run)
    for ref in (run.name, run.id, run.id[:6]):
        with pytest.raises(RunNotFound):
            workspace.store.runs.find(ref)
    with pytest.raises(RunNotFound, match="was deleted"):
        workspace.store.runs.find(run.id)
    assert list_runs(workspace, archived=True) == []
    assert workspace.store.runs.create(NewRun(None, name=run.name)).id != run.id
    require_whole(workspace)


def test_branches_of_a_deleted_run_keep_all_that_they_see(workspace: Workspace, run: Run) -> None:
    child = create_branch(workspace, run, step="fit@2", name="child")
    grandchild = create_branch(workspace, child, step="fit@1", name="grandchild")
    assert foresee_deletion(workspace, run.name).branches == ("child",)
    delete_run(workspace, run)
    delete_run(workspace, child)
    assert restored(workspace, "grandchild@fit@1") == [1]
    notebook = Notebook(workspace, run=grandchild.name)
    notebook.resume()
    outcome, _ = notebook.step("fit", "x = [1]")
    assert outcome.ending is Ending.REPLAYED, "paid for once"
    notebook.session.detach()
    require_whole(workspace)


def test_a_run_that_a_living_kernel_holds_is_not_deleted(workspace: Workspace) -> None:
    notebook = Notebook(workspace)
    notebook.step("one", "a = 1")
    run = notebook.session.require_run()
    with pytest.raises(LeaseHeld, match=run.name):
        delete_run(workspace, run)
    with pytest.raises(LeaseHeld):
        workspace.store.references.delete(run.id, by="me")
    notebook.session.detach()
    delete_run(workspace, run)


def test_a_kernel_whose_lease_had_ended_cannot_write_to_a_deleted_run(workspace: Workspace, run: Run) -> None:
    lease = take(workspace.store, run, ELSEWHERE)
    workspace.store.leases.renew(lease, ttl=-TTL)
    delete_run(workspace, run)
    with pytest.raises(LeaseLost):
        workspace.store.steps.begin(lease, step="late", cell_id=None, key=b"k")
    with pytest.raises(LeaseLost):
        workspace.store.leases.renew(lease, ttl=TTL)
    with pytest.raises(RunNotFound):
        workspace.store.leases.acquire(run.id, session_id=new_id(), holder=this_holder(), ttl=TTL)
    require_whole(workspace)


def test_a_run_with_tags_is_deleted_only_with_them(workspace: Workspace, run: Run) -> None:
    tag_place(workspace, f"{run.name}@fit", "best")
    with pytest.raises(RunNameTaken, match="best"):
        delete_run(workspace, run)
    assert workspace.store.runs.find(run.name).id == run.id
    delete_run(workspace, run, with_tags=True)
    assert workspace.store.references.tags() == []
    require_whole(workspace)


def test_nobody_is_asked_for_what_a_deleted_run_waited_for(workspace: Workspace, run: Run) -> None:
    lease = take(workspace.store, run)
    workspace.store.approvals.ask(lease, asked(workspace.store, lease))
    workspace.store.leases.release(lease)
    assert len(list_approvals(workspace)) == 1
    delete_run(workspace, run)
    assert list_approvals(workspace, decided=True) == []


# -- typed ---------------------------------------------------------------------------------------


def typed(workspace: Workspace, *words: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["--store", workspace.settings.store_url, *words], input=answer)


def test_names_and_tags_in_a_terminal(workspace: Workspace, run: Run) -> None:
    said = typed(workspace, "rename", run.name, "first")
    assert said.output == f"run {run.name} ({run.id}) is now called first\n"
    assert "no tags yet" in typed(workspace, "tag").output.lower()
    said = typed(workspace, "tag", "first@fit@1", "best")
    assert said.output == "tag best names step fit of run first\n"
    assert "best" in typed(workspace, "tag").output
    assert typed(workspace, "inspect", "best").exit_code == 0
    assert typed(workspace, "show", "best", "--json").exit_code == 0
    assert typed(workspace, "tag", "first").exit_code == 2
    assert "is removed" in typed(workspace, "tag", "--delete", "best").output
    typed(workspace, "archive", "first")
    assert "No runs yet" in typed(workspace, "runs").output
    assert "archived" in typed(workspace, "runs", "--all").output
    assert "in lists again" in typed(workspace, "archive", "first", "--undo").output


def test_a_run_is_deleted_only_after_a_yes(workspace: Workspace, run: Run) -> None:
    create_branch(workspace, run, step="fit", name="child")
    said = typed(workspace, "delete", run.name, answer="n\n")
    assert "4 completed steps of its own; its branches (child) keep all that they see" in said.output
    assert "nothing was deleted" in said.output
    assert workspace.store.runs.find(run.name).id == run.id
    assert typed(workspace, "delete", run.name, "--yes").exit_code == 0
    assert typed(workspace, "delete", run.name, "--yes").exit_code == 1
    assert typed(workspace, "delete", "child", answer="y\n").exit_code == 0
    assert list_runs(workspace, archived=True) == []
