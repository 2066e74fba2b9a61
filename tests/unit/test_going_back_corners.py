"""P3: going back to where a run begins, and to what was collected: what generated histories had found wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evercell.core.errors import VersionCollected
from evercell.engine import moving
from evercell.engine.collecting import collect
from evercell.engine.identity import KnownNotebook, NotebookIdentity
from evercell.engine.outcome import Ending
from evercell.engine.reachability import KeepRules
from evercell.engine.resetting import begin_reset, plan_reset
from tests.unit.histories import stored
from tests.unit.sessions import Notebook, workspace_in


@pytest.fixture
def notebook(tmp_path: Path) -> Iterator[Notebook]:
    workspace = workspace_in(tmp_path)
    found = Notebook(workspace, known=KnownNotebook(NotebookIdentity("/w/nb.ipynb")))
    yield found
    found.session.detach()
    workspace.close()


def reset(notebook: Notebook, ref: str) -> str:
    """The name of the branch that goes on from before a step."""
    workspace = notebook.session.workspace
    plan = plan_reset(workspace, notebook.session.require_run(), ref)
    return begin_reset(workspace, plan, "its digest", output="/w/out.ipynb").name


def no_setup(name: str, source: str) -> None:
    raise AssertionError("there are no setup cells")


def test_first_step_of_a_run_that_nothing_was_done_in_follows_no_checkpoint_of_another_run(
    notebook: Notebook,
) -> None:
    notebook.step("load", "rows = [1]")
    moving.checkout(notebook.session, reset(notebook, "load"), no_setup)
    notebook.step("load", "rows = [1, 2]")
    store = notebook.session.store
    run = store.runs.find(notebook.session.require_run().id)
    of_run = {made.id for made in store.checkpoints.visible(store.runs.lineage(run.id))}
    assert set(store.checkpoints.ancestors(str(run.head))) <= of_run
    assert reset(notebook, "load")  # (raised: a checkpoint of another run is no part of its history)


def test_what_a_run_began_with_in_memory_is_there_after_a_reset_to_before_its_first_step(
    notebook: Notebook,
) -> None:
    notebook.step("load", "rows = [1]")
    notebook.session.start_afresh()
    notebook.step("sum", "total = sum(rows)")
    workspace = notebook.session.workspace
    plan = plan_reset(workspace, notebook.session.require_run(), "sum")
    assert stored(workspace, plan.point)["rows"] == [1]


def test_what_plain_cells_did_in_a_run_without_steps_is_kept_before_a_checkout(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1]")
    empty = reset(notebook, "load")
    moving.checkout(notebook.session, empty, no_setup)
    notebook.plain("precious = 42")
    arrival = moving.checkout(notebook.session, "nb-1@load", no_setup)
    assert "precious" not in notebook.variables
    assert arrival.kept is not None
    moving.checkout(notebook.session, f"{empty}@{arrival.kept}", no_setup)
    assert notebook["precious"] == 42


def collected(notebook: Notebook) -> str:
    """Three versions of two steps, of which gc leaves the newest; the id of the first."""
    for number in range(3):
        notebook.step("a", f"x = {number}")
        notebook.step("b", f"y = x + {number}")
    store = notebook.session.store
    run = notebook.session.require_run()
    first = next(iter(store.checkpoints.visible(store.runs.lineage(run.id)))).id
    notebook.session.detach()
    collect(notebook.session.workspace, KeepRules(last=1), grace=0)
    return first


def test_reset_to_before_what_was_collected_says_so(notebook: Notebook) -> None:
    collected(notebook)
    with pytest.raises(VersionCollected, match=r"cannot go on from before step a.*removed by `evercell gc`"):
        reset(notebook, "a")
    assert reset(notebook, "b")


def test_checkpoint_that_was_collected_is_no_place_by_its_id_either(notebook: Notebook) -> None:
    first = collected(notebook)
    with pytest.raises(VersionCollected, match="removed by `evercell gc`"):
        moving.checkout(notebook.session, f"nb-1@{first}", no_setup)


def test_checkpoint_that_a_branch_does_not_see_is_no_place_in_it(notebook: Notebook) -> None:
    notebook.step("load", "rows = [1]")
    notebook.step("grow", "rows.append(2)")
    head = notebook.session.position
    moving.branch(notebook.session, no_setup, step="load", name="what-if")
    with pytest.raises(LookupError, match=str(head)):
        moving.checkout(notebook.session, f"what-if@{head}", no_setup)


def test_what_was_executed_anew_is_tied_to_nothing_by_the_replay_of_what_read_it(tmp_path: Path) -> None:
    """``pair`` has the former list. A step that read the list when they were tied puts back only what it made."""
    workspace = workspace_in(tmp_path)
    notebook = Notebook(workspace)
    for name, source in [
        ("load", "rows = [1]"), ("tie", "pair = (rows, {'same': rows})"), ("sum", "total = sum(rows)"),
        ("grow", "rows = rows + [0]"), ("drop", "gone = rows; del gone"),
    ]:  # fmt: skip
        notebook.step(name, source)
    notebook.step("load", "rows = [1]", rerun=True)
    former = notebook["pair"]
    assert notebook.step("sum", "total = sum(rows)")[0].ending is Ending.REPLAYED
    assert notebook["pair"] is former and former[0] is not notebook["rows"] and notebook["rows"] == [1]
    notebook.session.detach()
    workspace.close()


@pytest.mark.parametrize("early", ["gone = rows; del gone", "total = sum(rows)"], ids=["named", "read"])
def test_what_a_later_cell_tied_stays_tied_when_an_earlier_step_replays(tmp_path: Path, early: str) -> None:
    workspace = workspace_in(tmp_path)
    cells = [("load", "rows = [1]"), ("early", early), ("tie", "pair = (rows, [rows])")]
    first = Notebook(workspace)
    for name, source in cells:
        first.step(name, source)
    run = first.session.require_run().id
    first.session.detach()
    second = Notebook(workspace, run)
    second.resume()
    for name, source in [*cells[1:2], *cells]:
        assert second.step(name, source)[0].ending is Ending.REPLAYED
        memory = second.variables
        assert memory["pair"][0] is memory["rows"] and memory["pair"][1][0] is memory["rows"], name
    second.session.detach()
    workspace.close()


LARGE = "import numpy as np\nrows = np.arange(5_000_000)"


@pytest.mark.parametrize("kernel", ["living", "loaded", "waiting"])
@pytest.mark.parametrize(
    "load", [LARGE, "rows = [list(range(9)) for _ in range(1000)]"], ids=["large", "small"]
)
def test_replays_leave_large_values_tied_as_they_leave_small_ones(
    tmp_path: Path, load: str, kernel: str
) -> None:
    workspace = workspace_in(tmp_path)
    cells = [("load", load), ("read", "total = len(rows)"), ("tie", "job = {'rows': rows}")]
    notebook = Notebook(workspace)
    for name, source in cells:
        notebook.step(name, source)
    if kernel != "living":
        run = notebook.session.require_run().id
        notebook.session.detach()
        notebook = Notebook(workspace, run)
        notebook.resume()
    if kernel == "loaded":
        notebook.session.namespace.load_everything()
    for name, source in cells:
        assert notebook.step(name, source)[0].ending is Ending.REPLAYED
        notebook.session.namespace.load_everything()
        assert notebook["rows"] is notebook["job"]["rows"], name
    notebook.session.detach()
    workspace.close()
