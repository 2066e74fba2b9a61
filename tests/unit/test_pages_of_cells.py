"""What a page says of its cells, what stands below them, and what is put into them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evercell.core.records import Attempt, ErrorRecord, Output, Step
from evercell.core.statuses import AttemptStatus
from evercell.engine.listing import INHERITED, StepRow
from evercell.engine.missed_outputs import missed_steps
from evercell.engine.notebook_outputs import LARGEST_DISPLAY, notebook_outputs
from evercell.engine.page_cells import PageCell, PageView, read_view, steps_of_cells
from evercell.engine.watching import Snapshot, StepState
from evercell.views.cell_marks import live_mark, stale_mark, stored_mark

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
EVIL = "<img src=x>\x1b[31m\u202e"


def snapshot(state: StepState, **values: Any) -> Snapshot:
    return Snapshot("fit", "c1", state, time.time(), **values)


def row(status: str, **values: Any) -> StepRow:
    given = {"attempts": 1, "versions": 1, "seconds": 3.2, "completed_at": NOW, "checkpoint": "x", **values}
    return StepRow("fit", status, **given)


@pytest.mark.parametrize(
    "sent", [None, 3, "text", [], {"cells": 3}, {"cells": [None, {"id": 1}, {"id": "a"}]}]
)
def test_a_page_that_says_nonsense_has_no_cells(sent: object) -> None:
    assert read_view(sent) == PageView()


def test_what_a_page_leaves_out_is_as_before_and_of_two_cells_with_one_id_the_first_counts() -> None:
    cells = [
        {"id": "a", "source": "x", "tags": ["t", 3]},
        {"id": "a", "source": "y"},
        {"id": "b", "source": ""},
    ]
    first = read_view(
        {"client": "me", "path": "nb.ipynb", "id": "n1", "saved_at": "2026-01-02T03:04:00Z", "cells": cells}
    )
    assert first.cells == (PageCell("a", "x", ("t",)), PageCell("b", ""))
    assert first.saved_at == NOW
    later = read_view({"cells": [], "saved_at": "yesterday"}, first)
    assert (later.client, later.path, later.notebook_id, later.saved_at, later.cells) == (
        "me",
        "nb.ipynb",
        "n1",
        None,
        (),
    )


def test_a_cell_is_the_step_that_it_names_and_without_a_name_the_one_that_it_ran_as() -> None:
    cells = [
        PageCell("a", "%%step load\nx = 1"),
        PageCell("b", "%%setup tools\nimport os"),
        PageCell("c", "y = 2"),
        PageCell("d", "# step: plan\nz = 3"),
        PageCell("e", "plain"),
        PageCell("f", "%%step\nno name"),
    ]
    ran = [Step("r", "cell-c", 1, "c", 1), Step("r", "plan", 2, "other", 1), Step("r", "tools", 3, "b", 1)]
    assert steps_of_cells(cells, ran) == {"a": "load", "c": "cell-c", "d": "plan"}


def test_a_mark_says_how_far_a_step_is() -> None:
    running = snapshot(
        StepState.RUNNING, executed=20, replayed=1, expected=30, calls=("plan", "ask"), attempt=2
    )
    assert live_mark(running).text == "running · attempt 2 · 21/30 calls · now ask"
    assert live_mark(snapshot(StepState.RUNNING, replayed=3, recorded=21)).text == "running · 3/21 calls"
    assert live_mark(snapshot(StepState.RUNNING)).text == "running"
    assert live_mark(snapshot(StepState.WAITING, waits_for=f"ann {EVIL}")).text.startswith(
        "waits for ann <img src=x>\\x1b"
    )
    assert (
        live_mark(snapshot(StepState.REPLAYED, saved_seconds=12.0)).text
        == "replayed · saved {at} · took 12.0 s"
    )
    assert live_mark(snapshot(StepState.COMPLETED, executed=1)).text.endswith("· 1 call")
    assert live_mark(snapshot(StepState.INTERRUPTED, executed=21)).text == (
        "interrupted after 21 of its calls · run the cell to go on at call 22"
    )
    spent = live_mark(
        snapshot(StepState.COMPLETED, executed=1, failed=1, tokens=4210, cost=0.5, why="its own code changed")
    )
    assert (
        spent.details == "executes again: its own code changed · 1 calls failed · 4,210 tokens · 0.5000 USD"
    )


def test_a_mark_says_what_the_store_has_of_a_step() -> None:
    assert stored_mark(row("completed"), None).text == "saved {at} · took 3.2 s"
    assert (
        stored_mark(row(INHERITED, attempts=0), None).text == "saved {at} · took 3.2 s · before this branch"
    )
    error = ErrorRecord("ValueError", "x" * 1000 + EVIL, ())
    failed = Attempt("a", "r", "fit", 2, AttemptStatus.FAILED, b"", 1, NOW, NOW, error)
    said = stored_mark(row("failed", attempts=2, seconds=None, completed_at=None), failed)
    assert said.text.startswith("failed {at} · attempt 2 · ValueError: xxx") and len(said.text) < 300
    assert said.at == NOW and "\x1b" not in said.details
    interrupted = stored_mark(row("interrupted", completed_at=None), failed, calls=3)
    assert interrupted.text.endswith("run the cell to go on at call 4")
    stale = stale_mark(stored_mark(row("completed"), None), "its own code changed")
    assert (stale.state, stale.details) == ("stale", "saved {at} · took 3.2 s")


def test_missed_is_what_completed_after_the_file_was_saved() -> None:
    rows = [row("completed", completed_at=NOW + timedelta(seconds=n)) for n in (-1, 0, 1)]
    assert missed_steps(PageView(saved_at=NOW), rows) == [rows[2]]
    assert missed_steps(PageView(), rows) == []


def display(data: dict[str, Any], display_id: str | None = None, kind: str = "display_data") -> Output:
    return Output(
        kind, {"data": data, "metadata": {}, "transient": {"display_id": display_id} if display_id else {}}
    )


def stream(text: str) -> Output:
    return Output("stream", {"name": "stdout", "text": text})


def test_a_cell_gets_what_was_below_it_in_the_end() -> None:
    shown = [
        stream("gone"), Output("clear_output", {"wait": False}), stream("a"), stream("b"),
        display({"text/plain": "1"}, "d"), display({"text/plain": "2"}, "d", "update_display_data"),
        Output("clear_output", {"wait": True}),
    ]  # fmt: skip
    found = notebook_outputs(shown, how_to_see="evercell show r@s")
    assert [(o["output_type"], o.get("text"), o.get("data")) for o in found] == [
        ("stream", "ab", None),
        ("display_data", None, {"text/plain": "2"}),
    ]
    assert notebook_outputs([*shown, stream("new")], how_to_see="")[0]["text"] == "new"


def test_a_large_output_and_a_dead_widget_are_told_of() -> None:
    view = "application/vnd.jupyter.widget-view+json"
    widget = display({view: {"model_id": "m"}, "text/plain": "a slider"})
    assert view in notebook_outputs([widget], how_to_see="", live_widgets={"m"})[0]["data"]
    assert notebook_outputs([widget], how_to_see="")[0]["data"] == {"text/plain": "a slider"}
    large = display({"text/html": "x" * (LARGEST_DISPLAY + 1)})
    assert (
        "evercell show r@s"
        in notebook_outputs([large], how_to_see="evercell show r@s")[0]["data"]["text/plain"]
    )
    long = notebook_outputs([stream("y" * 50_000_000)], how_to_see="evercell show r@s")
    assert len(str(long)) < 200_000 and "evercell show r@s" in str(long)
