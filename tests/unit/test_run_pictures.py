"""Pictures of runs: safe whoever named what, small however long the run, telling states apart without colours."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evercell.core.records import Run
from evercell.engine.inspection import VariableRow
from evercell.engine.listing import list_runs
from evercell.engine.run_graph import run_graph
from evercell.engine.timeline import read_timeline
from evercell.engine.workspace import Workspace
from evercell.views.call_lists import calls_view
from evercell.views.palette import look_of
from evercell.views.state_picture import state_picture
from evercell.views.time_scale import TimeScale, blocks, lanes
from evercell.views.timeline_picture import timeline_picture
from evercell.views.tree_picture import tree_picture
from tests.long_runs import EVIL, lively_run, long_run, many_branches

LARGEST = 400_000
"""Characters of a picture in a saved notebook."""

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Page(HTMLParser):
    """What is in a page; fails at tags that a sanitizer takes away, or that do not close."""

    ALLOWED = frozenset(
        {
            "div",
            "span",
            "strong",
            "small",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "details",
            "summary",
            "code",
        }
        | {"ul", "li"}
    )

    STYLES = frozenset(
        {
            "position",
            "left",
            "top",
            "bottom",
            "width",
            "height",
            "min-width",
            "max-width",
            "margin",
            "margin-left",
        }
        | {"padding", "padding-left", "border", "border-left", "border-right", "border-top", "border-bottom"}
        | {
            "border-radius",
            "border-collapse",
            "box-sizing",
            "background-color",
            "color",
            "opacity",
            "overflow",
        }
        | {
            "overflow-x",
            "overflow-wrap",
            "text-overflow",
            "text-align",
            "vertical-align",
            "white-space",
            "font-family",
        }
        | {"font-size", "font-weight", "line-height", "table-layout", "list-style-type"}
    )
    """Of what JupyterLab leaves of the style of a notebook that nobody trusts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in self.ALLOWED, tag
        assert {name for name, _ in attrs} <= {"style", "title", "colspan"}, attrs
        style = dict(attrs).get("style") or ""
        used = {part.partition(":")[0] for part in style.split(";") if part}
        assert used <= self.STYLES, used - self.STYLES
        assert "url(" not in style and "var(" not in style
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def lively(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Run]]:
    workspace, run = lively_run(tmp_path_factory.mktemp("lively"))
    yield workspace, run
    workspace.close()


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Workspace, Run]]:
    workspace, run = long_run(tmp_path_factory.mktemp("long"))
    yield workspace, run
    workspace.close()


def test_a_timeline_shows_steps_calls_tries_errors_and_replays_and_lets_nothing_run(
    lively: tuple[Workspace, Run],
) -> None:
    found = read_timeline(*lively)
    picture = timeline_picture(found)
    page = Page(picture.page)
    for part in (
        "4 of 5 steps completed",
        "41 calls",
        "1 tried again",
        "✗",
        "failed",
        "ask('topic 3')",
        "2 tries",
    ):
        assert part in page.text, part
    assert EVIL in page.text, "what a program said is shown"
    assert "replayed 1 time" in picture.page
    text = str(picture)
    assert "✗ failed" in text and "█" in text and "↻" in text and "overloaded" in text
    widths = {len(line) for line in text.splitlines()[1:-1]}
    assert max(widths) < 80


def test_calls_are_listed_with_arguments_results_tries_and_errors(lively: tuple[Workspace, Run]) -> None:
    text = str(calls_view(read_timeline(*lively)))
    assert re.search(
        r"fetch\('https://example.org/0'\) +✓ +\S+ ms +2 +'<html>.*after OSError: connection reset", text
    )
    assert re.search(r"ask\('broken', model='large'\) +✗ .*ConnectionError: the model is overloaded", text)


def test_states_are_told_apart_without_colours() -> None:
    states = ["completed", "replayed", "failed", "interrupted", "waiting", "running"]
    assert len({look_of(state).sign for state in states}) == len(states)
    assert len({look_of(state).bar for state in states}) == len(states) - 1, (
        "running goes on as completed does"
    )


@pytest.mark.parametrize("state", ["completed", "failed", "interrupted", "waiting", "running", "inherited"])
def test_colours_can_be_seen_on_white_and_on_black(state: str) -> None:
    colour = look_of(state).colour
    for ground in ("#ffffff", "#111111", "#1e1e1e"):
        assert contrast(colour, ground) >= 3, (state, ground)


def contrast(one: str, other: str) -> float:
    """As the Web Content Accessibility Guidelines have it."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_a_run_of_two_thousand_steps_and_ten_thousand_calls_is_a_small_picture(
    long: tuple[Workspace, Run], figure: Callable[[str], None]
) -> None:
    began = time.perf_counter()
    found = read_timeline(*long)
    read = time.perf_counter() - began
    picture = timeline_picture(found)
    took = time.perf_counter() - began
    assert (len(found.steps), found.call_count) == (2000, 10_000)
    page = Page(picture.page)
    assert len(picture.page) < LARGEST and len(str(picture).splitlines()) < 90
    assert "2000 of 2000 steps" in page.text and "step-1000" in page.text, "the longest has a row of its own"
    figure(f"timeline of 2,000 steps and 10,000 calls: read {read:.2f} s, drawn {took - read:.2f} s")
    assert took < 60


def test_a_tree_of_two_hundred_branches_shows_where_each_leaves_its_parent(
    lively: tuple[Workspace, Run],
) -> None:
    workspace, run = lively
    many_branches(workspace, run)
    tracks = run_graph(workspace, list_runs(workspace))
    picture = tree_picture(tracks, here=run.id)
    page = Page(picture.page)
    assert "201 runs" in page.text and "what-if-199" in page.text and "★" in page.text
    assert len(picture.page) < LARGEST
    by_name = {track.row.run.name: track for track in tracks}
    assert by_name["kernel-1"].own == 4 and by_name["kernel-1"].above is None
    child = by_name["what-if-1"]
    assert (child.branch_step, child.begin, child.own) == ("research", 2, 0)
    assert child.above is not None and tracks[child.above].row.run.id == run.id
    assert "what-if-199" in str(picture)


def test_no_run_at_all_is_said(tmp_path: Path) -> None:
    from tests.unit.sessions import workspace_in

    with workspace_in(tmp_path) as workspace:
        picture = tree_picture(run_graph(workspace, list_runs(workspace)))
    assert "No runs yet" in str(picture) and "No runs yet" in picture.page


def variable(name: str, size: int, kept: str = "saved", shares: tuple[str, ...] = ()) -> VariableRow:
    return VariableRow(name, "numpy.ndarray", "3 x 4", size, size // 2, shares, "load", kept)


def test_the_inspector_shows_the_largest_first_and_what_was_not_kept_before_all() -> None:
    lost = "not saved, wholly or in part: it is suspended code; keep a list"
    rows = [
        variable("small", 10), variable("big", 10**6, shares=("row",)), variable("row", 0, shares=("big",)),
        variable(f"gen{EVIL}", 0, lost), *(variable(f"v{n}", 5) for n in range(300)),
    ]  # fmt: skip
    picture = state_picture(f"Run {EVIL}", rows)
    page = Page(picture.page)
    order = [page.text.index(name) for name in ("gen<script", "big", "small", "v0")]
    assert order == sorted(order)
    assert (
        "1 not kept" in page.text and "suspended code" in page.text and "244 smaller variables" in page.text
    )
    assert len(picture.page) < LARGEST
    assert "No variables" in str(state_picture("Run a", []))


# -- the scale -----------------------------------------------------------------------------------


def test_time_in_which_nothing_ran_is_folded() -> None:
    def at(seconds: float) -> datetime:
        return NOW + timedelta(seconds=seconds)

    scale = TimeScale([(at(0), at(5)), (at(3 * 86400), at(3 * 86400 + 5))])
    assert [round(fold.seconds) for fold in scale.folds] == [3 * 86400 - 5]
    assert scale.place(at(0)) == 0 and scale.place(at(3 * 86400 + 5)) == pytest.approx(1)
    assert scale.place(at(2.5)) == pytest.approx(0.245)
    assert scale.seconds == 10
    empty = TimeScale([])
    assert (empty.place(NOW), empty.seconds, empty.folds) == (0, 0, [])


MOMENTS = st.integers(0, 10**7).map(lambda seconds: NOW + timedelta(seconds=seconds))


@given(st.lists(st.tuples(MOMENTS, MOMENTS), max_size=40), st.lists(MOMENTS, max_size=20))
def test_what_was_later_stands_farther_right_and_all_is_on_the_line(
    spans: list[tuple[datetime, datetime]], moments: list[datetime]
) -> None:
    scale = TimeScale(spans)
    places = [scale.place(moment) for moment in sorted([*moments, *(m for span in spans for m in span)])]
    assert all(0 <= place <= 1 for place in places)
    assert all(a <= b + 1e-9 for a, b in pairwise(places))


SPANS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda p: (min(p), max(p))), max_size=300)


@given(SPANS)
def test_a_line_has_no_more_blocks_than_can_be_seen_and_none_is_lost(
    spans: list[tuple[float, float]],
) -> None:
    made = blocks(spans, finest=0.01)
    assert sorted(n for block in made for n in block.numbers) == list(range(len(spans)))
    assert len(made) <= 101
    sorted_to = lanes(spans, most=3)
    assert sorted(n for lane in sorted_to for n in lane) == list(range(len(spans))) and len(sorted_to) <= 3
