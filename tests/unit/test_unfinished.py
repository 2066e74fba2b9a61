"""Where a run was stopped is known from the store, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from evercell.engine.calls.suspension import Suspended
from evercell.engine.settings import Settings
from evercell.engine.unfinished import stopped_steps
from evercell.engine.workspace import Workspace, open_workspace
from tests.unit.sessions import Notebook

LOOP = "for n in range(6):\n    if n == stop: raise error\n    ask(n)"


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    made.plain(
        "import evercell\n@evercell.step\ndef ask(n):\n    return n\nstop, error = 3, KeyboardInterrupt()"
    )
    yield made
    made.session.detach()


def said(notebook: Notebook) -> list[str]:
    return [str(step) for step in stopped_steps(notebook.session.workspace, notebook.session.require_run())]


def test_a_step_that_was_interrupted_says_at_which_call_it_goes_on(notebook: Notebook) -> None:
    notebook.step("research", LOOP)
    assert said(notebook) == [
        "step research was interrupted after 3 of its calls; run its cell to go on at call 4"
    ]
    notebook.plain("error = ValueError()")
    notebook.step("other", "raise error")
    assert said(notebook)[1] == "step other failed; run its cell again"
    notebook.plain("stop = 9")
    notebook.step("research", LOOP, rerun=True)
    assert said(notebook) == [], "what came before the last completed step is over"


def test_calls_of_an_execution_that_came_to_its_end_are_none_of_the_next_one(notebook: Notebook) -> None:
    notebook.plain("stop = 9")
    notebook.step("research", LOOP)
    notebook.plain("stop = 0")
    notebook.step("research", LOOP, rerun=True)
    assert said(notebook) == ["step research was interrupted; run its cell again"]


def test_a_call_that_failed_and_ended_the_attempt_is_not_kept(notebook: Notebook) -> None:
    notebook.plain("@evercell.step\ndef fails():\n    raise ValueError")
    notebook.step("research", "ask(1)\nask(2)\nfails()")
    assert said(notebook) == ["step research failed after 2 of its calls; run its cell to go on at call 3"]


def test_an_open_question_is_told_with_the_step_that_asked_it(notebook: Notebook) -> None:
    notebook.session.workspace.settings = replace(notebook.session.workspace.settings, wait_grace=0.001)
    with pytest.raises(Suspended):
        notebook.step("ask", "evercell.approve('Send?')")
    assert said(notebook) == [
        "step ask was interrupted while it waits for an answer to 'Send?'; run its cell to go on with that"
    ]
