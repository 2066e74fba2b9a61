"""A version of a step is one execution of it that completed. A replay adds none, wherever it lands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evercell.core.errors import StepNotFound
from evercell.engine import moving
from evercell.engine.branching import create_branch
from evercell.engine.history import History
from evercell.engine.listing import StepRow, list_steps
from evercell.engine.outcome import Ending
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.conftest import Counter
from tests.unit.sessions import Notebook

MAKE, CHANGE = "items = [1]", "items.append(2)\nn = len(items)"


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    yield made
    made.session.detach()


def run_all(notebook: Notebook, make: str = MAKE) -> list[Ending]:
    """Two steps, of which the second changes what the first one made: each replay lands beside the head."""
    return [notebook.step("make", make)[0].ending, notebook.step("change", CHANGE)[0].ending]


def steps_of(notebook: Notebook) -> dict[str, StepRow]:
    session = notebook.session
    return {row.name: row for row in list_steps(session.workspace, session.require_run())}


def test_five_run_alls_are_one_version_each_completed_when_it_was(notebook: Notebook) -> None:
    run_all(notebook)
    first = steps_of(notebook)
    for _ in range(4):
        assert run_all(notebook) == [Ending.REPLAYED] * 2
    assert steps_of(notebook) == first
    assert [(row.attempts, row.versions) for row in first.values()] == [(1, 1), (1, 1)]
    assert notebook["items"] == [1, 2]


def test_a_number_after_a_step_names_an_execution_and_no_replay(notebook: Notebook) -> None:
    run_all(notebook)
    run_all(notebook)
    run_all(notebook, make="items = [7]")  # the second execution of both
    run_all(notebook)  # back to the first one, by replays
    run_all(notebook)
    assert [(row.attempts, row.versions) for row in steps_of(notebook).values()] == [(2, 2), (2, 2)]
    for ref, items in [("@make@1", [1]), ("@make@2", [7]), ("@change@1", [1, 2]), ("@change@2", [7, 2])]:
        moving.checkout(notebook.session, ref, lambda *_: None)
        assert notebook["items"] == items
    with pytest.raises(StepNotFound, match="versions 1 to 2"):
        moving.checkout(notebook.session, "@make@3", lambda *_: None)


def test_a_branch_begins_at_an_execution_and_inherits_its_versions(notebook: Notebook) -> None:
    run_all(notebook)
    run_all(notebook)
    run_all(notebook)
    run = notebook.session.require_run()
    executed = steps_of(notebook)["change"].checkpoint
    for ref in ("change", "change@1"):
        child = create_branch(notebook.session.workspace, run, step=ref)
        assert child.branch_point == executed
        assert [row.versions for row in list_steps(notebook.session.workspace, child)] == [1, 1]
    with pytest.raises(StepNotFound, match="no version 2"):
        create_branch(notebook.session.workspace, run, step="change@2")


def test_a_branch_from_a_replay_that_was_carried_sees_one_version(notebook: Notebook) -> None:
    """``%branch`` alone begins where the kernel stands, which may be at a replay beside the old head."""
    run_all(notebook)
    notebook.step("make", MAKE)
    moving.branch(notebook.session, lambda *_: None, step=None, name=None)
    assert [row.versions for row in steps_of(notebook).values()] == [1, 1]
    assert run_all(notebook) == [Ending.REPLAYED] * 2
    assert [row.versions for row in steps_of(notebook).values()] == [1, 1]


def test_a_rerun_is_a_version_and_replays_between_reruns_are_none(notebook: Notebook) -> None:
    run_all(notebook)
    run_all(notebook)
    assert notebook.step("make", MAKE, rerun=True)[0].ending is Ending.COMPLETED
    run_all(notebook)
    history = History(notebook.session.store, notebook.session.require_run())
    assert {name: history.count(name) for name in history.steps} == {"make": 2, "change": 1}


def test_why_a_step_executes_again_is_judged_by_what_was_last_put_back(notebook: Notebook) -> None:
    """After going back to the first source by a replay, that one is what an edit changes."""
    notebook.plain("k = 1")
    notebook.step("make", "items = [k]")
    notebook.step("make", "items = [k, k]")
    assert notebook.step("make", "items = [k]")[0].ending is Ending.REPLAYED
    notebook.plain("k = 2")
    _, executor = notebook.step("make", "items = [k]")
    assert "its input k" in executor.notes[0]


def test_the_calls_of_an_interrupted_rerun_are_found_again_after_replays(
    notebook: Notebook, tmp_path: Path
) -> None:
    """What they are found by counts executions: a replay in between must not make them others."""
    effects, may_end = Counter(tmp_path / "effects"), tmp_path / "may-end"
    notebook.plain("import evercell, pathlib")
    path = f"pathlib.Path({str(effects.path)!r})"
    count = f"{path}.write_text({path}.read_text() + ' worked')"
    effects.path.touch()
    notebook.plain(f"@evercell.step\ndef work():\n    {count}\n    return 1")
    source = f"items = [work()]\nif not pathlib.Path({str(may_end)!r}).exists():\n    raise KeyboardInterrupt"
    may_end.touch()
    notebook.step("make", source)
    run_all(notebook, make=source)
    may_end.unlink()
    assert notebook.step("make", source, rerun=True)[0].ending is Ending.INTERRUPTED
    assert effects.times("worked") == 2
    assert run_all(notebook, make=source) == [Ending.REPLAYED] * 2
    may_end.touch()
    assert notebook.step("make", source, rerun=True)[0].ending is Ending.COMPLETED
    assert effects.times("worked") == 2, "the interrupted rerun had made this call"
    notebook.step("make", source, rerun=True)
    assert effects.times("worked") == 3, "another rerun begins anew"


def test_what_a_failed_attempt_left_is_no_input_that_a_new_kernel_lacks(notebook: Notebook) -> None:
    cells = [("make", "items = [1]"), ("all", "exec('total = sum(items)')")]
    notebook.step("make", "items = [1]")
    notebook.step("broken", "left = 5\nraise ValueError")
    assert notebook.step(*cells[1])[0].ending is Ending.COMPLETED
    run = notebook.session.require_run().id
    notebook.session.detach()
    other = Notebook(notebook.session.workspace, run)
    assert [other.step(*cell)[0].ending for cell in cells] == [Ending.REPLAYED] * 2
    other.session.detach()
