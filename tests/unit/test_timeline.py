"""A run's timeline tells what was tried, what it called, and for whom it waits; a damaged row costs only itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from evercell.core.records import NewRun
from evercell.engine.branching import create_branch
from evercell.engine.calls.suspension import Suspended
from evercell.engine.listing import list_approvals, list_runs
from evercell.engine.overview import summarise_runs
from evercell.engine.run_graph import family, run_graph
from evercell.engine.settings import Settings
from evercell.engine.timeline import TimedStep, Timeline, read_timeline
from evercell.engine.workspace import Workspace, open_workspace
from evercell.views.timeline_picture import facts_of
from tests.database import open_database
from tests.unit.sessions import Notebook

CALLS = (
    "import evercell\n"
    "@evercell.step\ndef ask(n, api_key=''):\n"
    "    if n == broken: raise ConnectionError('gone')\n"
    "    return n * n\n"
    "broken = 2"
)


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key", wait_grace=0.0)) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    yield made
    made.session.detach()


def timeline(notebook: Notebook) -> Timeline:
    return read_timeline(notebook.session.workspace, notebook.session.require_run())


def steps(notebook: Notebook) -> dict[str, TimedStep]:
    return {step.name: step for step in timeline(notebook).steps}


def test_a_run_without_steps_has_an_empty_timeline(workspace: Workspace) -> None:
    run = workspace.store.runs.create(NewRun(notebook=None))
    found = read_timeline(workspace, run)
    assert (list(found.steps), found.call_count, found.completed) == ([], 0, 0)


def test_attempts_have_the_calls_that_they_executed_and_say_what_they_were_handed(notebook: Notebook) -> None:
    notebook.step("load", "x = 1")
    notebook.plain(CALLS)
    notebook.step("loop", "squares = [ask(n, api_key='sk-1') for n in range(4)]")
    failed = steps(notebook)["loop"]
    assert (failed.state, failed.error) == ("failed", "ConnectionError: gone")
    assert [(c.name, c.ok, c.result, c.error) for c in failed.calls] == [
        ("ask", True, "0", ""),
        ("ask", True, "1", ""),
        ("ask", False, "", "ConnectionError: gone"),
    ]
    assert failed.calls[1].arguments == "1, api_key=…"
    notebook.variables["broken"] = None
    notebook.step("loop", "squares = [ask(n, api_key='sk-1') for n in range(4)]")
    done = steps(notebook)["loop"]
    assert [(a.state, len(a.calls), a.replayed) for a in done.attempts] == [
        ("failed", 2, 0),
        ("completed", 2, 2),
    ]
    notebook.step("load", "x = 1")
    assert (len(steps(notebook)["load"].replayed_at), steps(notebook)["load"].state) == (1, "completed")
    found = timeline(notebook)
    assert [step.name for step in found.steps] == ["load", "loop"] and found.completed == 2
    assert all(c.began_at <= c.ended_at and c.as_json()["tries"] == 1 for c in done.calls)


def test_one_call_is_said_to_be_one(notebook: Notebook) -> None:
    notebook.plain(CALLS)
    notebook.step("one", "ask(1)")
    assert " · 1 call · " in facts_of(timeline(notebook))
    notebook.step("two", "ask(3)")
    assert " · 2 calls · " in facts_of(timeline(notebook))


def test_a_step_that_waits_says_for_whom(notebook: Notebook) -> None:
    notebook.plain("import evercell")
    with pytest.raises(Suspended):
        notebook.step("ask", "evercell.approve('Send 3 mails?', approvers=['ann', 'bob'])")
    waiting = steps(notebook)["ask"]
    assert (waiting.state, waiting.waits_for) == ("waiting", "ann or bob: Send 3 mails?")


def test_a_branch_has_what_it_inherits_first_and_calls_of_its_own_only(
    notebook: Notebook, workspace: Workspace
) -> None:
    notebook.plain(CALLS.replace("broken = 2", "broken = None"))
    notebook.step("loop", "squares = [ask(n) for n in range(3)]")
    run = notebook.session.require_run()
    child = create_branch(workspace, run, step="loop", name="child")
    inherited = read_timeline(workspace, child)
    assert [(s.name, s.state, s.attempts) for s in inherited.steps] == [("loop", "inherited", ())]
    assert inherited.completed == 1


@pytest.mark.parametrize(
    "harm", ["tries = 'no json'", "tries = '[1]'", "ended_at = 9223372036854775807", "name = ''"]
)
def test_a_call_whose_row_is_damaged_is_named_or_harmless_and_takes_no_other_along(
    notebook: Notebook, harm: str
) -> None:
    notebook.plain(CALLS.replace("broken = 2", "broken = None"))
    notebook.step("loop", "squares = [ask(n) for n in range(3)]")
    with open_database(notebook.session.workspace.settings.store_url) as connection:
        connection.exec_driver_sql(f"UPDATE calls SET {harm} WHERE key = 'ask#1'")
    found = timeline(notebook)
    assert len(found.steps[0].calls) + len(found.steps.damaged) == 3
    assert len(found.steps.damaged) == (harm != "name = ''")
    assert all("table calls is damaged" in str(error) for error in found.steps.damaged)


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("value", ["4611686018427387904", "1.5", "'text'", "NULL"])
def test_a_column_may_hold_anything_in_sqlite(notebook: Notebook, value: str) -> None:
    notebook.plain(CALLS.replace("broken = 2", "broken = None"))
    notebook.step("loop", "squares = [ask(n) for n in range(3)]")
    for column in ("step_key", "position", "name", "ok", "blob", "tries", "ended_at", "value"):
        with open_database(notebook.session.workspace.settings.store_url) as connection:
            connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
            connection.exec_driver_sql(f"UPDATE OR IGNORE calls SET {column} = {value} WHERE key = 'ask#1'")
        found = timeline(notebook)
        assert len(found.steps[0].calls) >= 2


def test_runs_are_summarised_with_what_is_done_and_who_is_asked(
    notebook: Notebook, workspace: Workspace
) -> None:
    empty = workspace.store.runs.create(NewRun(notebook=None, name="empty"))
    notebook.step("load", "x = 1")
    notebook.step("load", "x = 2")
    notebook.plain("import evercell")
    with pytest.raises(Suspended):
        notebook.step("ask", "evercell.approve('Send?')")
    found = {s.row.run.name: s for s in summarise_runs(workspace, list_approvals(workspace))}
    mine = found[notebook.session.require_run().name]
    assert (mine.completed, mine.attempted, mine.step, mine.is_step_done) == (1, 2, "ask", False)
    assert [row.approval.title for row in mine.asked] == ["Send?"]
    assert (found[empty.name].completed, found[empty.name].attempted, found[empty.name].step) == (0, 0, "")


def test_a_family_is_all_that_shares_a_history(notebook: Notebook, workspace: Workspace) -> None:
    notebook.step("load", "x = 1")
    run = notebook.session.require_run()
    child = create_branch(workspace, run, step="load", name="child")
    create_branch(workspace, child, step="load", name="grandchild")
    workspace.store.runs.create(NewRun(notebook=None, name="other"))
    rows = list_runs(workspace)
    names = {row.run.name for row in family(rows, child)}
    assert names == {run.name, "child", "grandchild"}
    graph = {track.row.run.name: track for track in run_graph(workspace, rows)}
    assert graph["grandchild"].branch_step == "load" and graph["grandchild"].begin == 1


def test_an_attempt_whose_kernel_died_lived_until_its_last_call(
    notebook: Notebook, workspace: Workspace
) -> None:
    notebook.plain(CALLS.replace("broken = 2", "broken = None") + "\nimport os")
    session = notebook.session
    with pytest.raises(SystemExit):
        notebook.step("loop", "ask(1)\nraise SystemExit")
    run = session.require_run()
    last = read_timeline(workspace, run).steps[0].calls[-1].ended_at
    session.detach()
    with open_database(workspace.settings.store_url) as connection:  # who takes it on comes a day later
        connection.exec_driver_sql(
            "UPDATE attempts SET status = 'interrupted', ended_at = started_at + 86400000000 WHERE step = 'loop'"
        )
    (step,) = read_timeline(workspace, run).steps
    assert (step.state, step.attempts[-1].ended_at) == ("interrupted", last)
