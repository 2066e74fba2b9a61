"""P1: what changes after a step, and is found while the store is away, makes no later step execute again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from evercell.core.errors import StoreError
from evercell.engine.late_changes import look_at_everything, look_in_slices
from evercell.engine.outcome import Ending
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.outages import Outage
from tests.unit.sessions import Notebook


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    settings = replace(Settings(store_url, tmp_path / "key"), longest_outage=0.5)
    with open_workspace(settings) as opened:
        yield opened


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "as the kernel ends"])
def test_what_changes_while_the_store_is_away_makes_no_step_execute_again(
    workspace: Workspace, store_url: str, idle: bool
) -> None:
    notebook, outage = Notebook(workspace), Outage(store_url)
    one, two = "rows = []", "n = len(rows)"
    notebook.step("one", one)
    outage.begin()
    try:
        notebook["rows"].append("late")  # by a thread, say
        notebook.session.namespace.something_ran()
        with suppress(StoreError):
            if idle:
                for _ in look_in_slices(notebook.session):
                    pass
            else:
                with workspace.store.outages.nobody_waits():
                    look_at_everything(notebook.session)
    finally:
        outage.end()
    notebook.step("two", two)
    assert notebook["n"] == 1
    notebook.session.detach()
    again = Notebook(workspace, run=notebook.session.require_run().id)
    again.resume()
    assert again["rows"] == ["late"]
    assert [again.step(name, source)[0].ending for name, source in (("one", one), ("two", two))] == [
        Ending.REPLAYED,
        Ending.REPLAYED,
    ]
    again.session.detach()
