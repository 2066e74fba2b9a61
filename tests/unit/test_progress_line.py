"""One line says how far a step is, whatever its names hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evercell.core.chunks import Chunk, Codec, StoredChunk, Supply
from evercell.core.clock import clock_text
from evercell.engine.transfers import Reading, Readings, counted
from evercell.engine.watching import Snapshot, StepProgress, StepState, Watchers
from evercell.views.progress_line import progress_html, progress_text, reading_html, reading_text

RUNNING, SAVING = StepState.RUNNING, StepState.SAVING


def snapshot(state: StepState = RUNNING, **counts: Any) -> Snapshot:
    return Snapshot("research", "c1", state, 100.0, **counts)


LINES = [
    (snapshot(calls=("ask",)), "running ask · 12 s"),
    (snapshot(executed=21), "21 calls · 12 s"),
    (
        snapshot(executed=12, replayed=9, expected=30, calls=("ask",), tokens=4210, cost=0.03125),
        "21 of 30 calls · running ask · 9 replayed · 12 s · 4,210 tokens · cost 0.03125",
    ),
    (snapshot(executed=31, expected=30), "31 calls · 12 s"),
    (snapshot(attempt=2, executed=1, failed=1), "attempt 2 · 1 call · 1 failed · 12 s"),
    (snapshot(calls=("a", "b", "c", "d")), "running d, c and 2 more · 12 s"),
    (
        snapshot(StepState.WAITING, waits_for="ann to answer 'Send?'"),
        "waiting for ann to answer 'Send?' · 12 s",
    ),
    (snapshot(SAVING), "saving"),
    (snapshot(SAVING, written=10**6, to_write=4 * 10**6), "saving 1 MB of 4 MB"),
    (snapshot(StepState.COMPLETED, executed=30), "saved · 30 calls · 12 s"),
    (snapshot(StepState.FAILED, executed=3, failed=1), "failed · 3 calls · 1 failed · 12 s"),
    (snapshot(StepState.INTERRUPTED, executed=3), "interrupted · 3 calls · 12 s"),
    (snapshot(StepState.REPLAYED, saved_seconds=12.0), "replayed · saved 12.0 s"),
    (snapshot(StepState.REPLAYED, saved_seconds=0.01), "replayed"),
]


@pytest.mark.parametrize(("seen", "text"), LINES)
def test_a_line_says_how_far_it_is(seen: Snapshot, text: str) -> None:
    assert progress_text(seen, now=112.4) == text


def test_the_names_of_calls_command_nothing() -> None:
    seen = snapshot(calls=("<img src=x onerror=alert(1)>\x1b[2J\n" * 9,), expected=3)
    assert "\x1b" not in progress_text(seen) and "\n" not in progress_text(seen)
    html = progress_html(seen)
    assert "<img" not in html and len(html) < 1000


@pytest.mark.parametrize("count", [0, 1, 10**9])
def test_a_bar_stays_within_its_frame(count: int) -> None:
    html = progress_html(snapshot(executed=count, failed=count, expected=max(1, count)))
    widths = [float(part.partition("%")[0]) for part in html.split("width:")[2:]]
    assert sum(widths) <= 100.0


def test_what_is_written_is_counted_each_time_anew() -> None:
    progress = StepProgress("big")
    supply = counted(Supply.of([Chunk(bytes(32), 5, Codec.RAW, b"12345")] * 3), progress)
    assert supply.size == 15
    for _ in range(2):
        assert len(list(supply)) == 3
        assert (progress.snapshot().written, progress.snapshot().to_write) == (15, 15)


class Reader:
    """Two chunks of ten bytes."""

    def find(self, digests: Any) -> dict[bytes, StoredChunk]:
        return {d: StoredChunk(d, 10, Codec.RAW, 10, lambda buffer: None) for d in digests}

    def absent(self, digests: Any) -> set[bytes]:
        return set(digests)


def test_reading_is_told_while_somebody_waits_for_it() -> None:
    seen: list[Reading] = []
    readings = Readings(Watchers())
    reader = readings.counting(Reader())
    readings.show = seen.append
    found = reader.find([b"a", b"b"])
    found[b"a"].read()
    readings.beat()
    assert seen == []
    with readings.waited_for(), readings.waited_for():
        found[b"b"].read()
        readings.beat()
        assert (seen[-1].read, seen[-1].to_read, seen[-1].is_over) == (20, 20, False)
    assert seen[-1].is_over and sum(one.is_over for one in seen) == 1
    assert reading_text(seen[-1], now=seen[-1].began_at + 3.2) == "put back 20 B of state · 3 s"
    under_way = Reading(100.0, 10**9, 2 * 10**9)
    assert reading_text(under_way, now=112.0) == "putting back state · 1 GB of 2 GB · 12 s"
    assert "width:50.0%" in reading_html(under_way)


def test_the_time_that_is_waited_for_is_that_of_the_clock_on_the_wall() -> None:
    now = datetime.now().astimezone()
    assert clock_text(now.astimezone(UTC)) == f"{now:%H:%M:%S}"
    assert clock_text(now + timedelta(days=2)).startswith(f"{now + timedelta(days=2):%Y-%m-%d} ")
    assert "9999-12-31" in clock_text(datetime.max.replace(tzinfo=UTC))
