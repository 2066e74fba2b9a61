"""When a schedule fires: by the clock on the wall of its zone, also in the nights when clocks are moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evercell.core.errors import UsageError
from evercell.engine.firing_times import (
    FiringTimes,
    explained,
    local_zone,
    read_expression,
    read_times,
    read_zone,
    upcoming,
)

BERLIN, LORD_HOWE = "Europe/Berlin", "Australia/Lord_Howe"


def firings(cron: str, zone: str, after: str, count: int) -> list[str]:
    """The next ones, as the clock there shows them with its offset."""
    times = read_times(cron, zone)
    begin = datetime.fromisoformat(after).replace(tzinfo=times.zone)
    return [f"{at.astimezone(times.zone):%d %H:%M%z}" for at in upcoming(times, begin, count)]


@pytest.mark.parametrize(
    ("cron", "zone", "after", "expected"),
    [
        # clocks go forward: what they leave out comes at once, once
        ("30 2 * * *", BERLIN, "2026-03-28T12:00", ["29 03:00+0200", "30 02:30+0200"]),
        ("0,30 2-3 * * *", BERLIN, "2026-03-29T01:00", ["29 03:00+0200", "29 03:30+0200", "30 02:00+0200"]),
        ("15 2 * * *", LORD_HOWE, "2026-10-03T12:00", ["04 02:30+1100", "05 02:15+1100"]),
        ("*/30 * * * *", BERLIN, "2026-03-29T01:10", ["29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
        ("*/10 3 * * *", LORD_HOWE, "2026-10-03T12:00", ["04 03:00+1100", "04 03:10+1100", "04 03:20+1100"]),
        ("*/10 * * * *", LORD_HOWE, "2026-10-04T01:50", ["04 02:30+1100", "04 02:40+1100"]),
        # clocks go back: certain times once, steps as time passes
        ("30 2 * * *", BERLIN, "2026-10-24T12:00", ["25 02:30+0200", "26 02:30+0100"]),
        ("30 * * * *", BERLIN, "2026-10-25T01:40", ["25 02:30+0200", "25 02:30+0100", "25 03:30+0100"]),
        ("45 1 * * *", LORD_HOWE, "2026-04-04T12:00", ["05 01:45+1100", "06 01:45+1030"]),
        ("*/10 2 * * *", LORD_HOWE, "2026-04-04T12:00", ["05 02:00+1030", "05 02:10+1030", "05 02:20+1030"]),
        (
            "*/20 1 * * *", LORD_HOWE, "2026-04-05T01:10",
            ["05 01:20+1100", "05 01:40+1100", "05 01:40+1030", "06 01:00+1030"],
        ),
        # a whole day that a country left out
        ("0 12 * * *", "Pacific/Apia", "2011-12-28T12:30", ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", ["29 00:00+0000", "29 00:00+0000"]),
        ("@daily", BERLIN, "2026-11-25T23:00", ["26 00:00+0100"]),
        ("0 9 LW * *", BERLIN, "2026-08-01T00:00", ["31 09:00+0200", "30 09:00+0200"]),
    ],
)  # fmt: skip
def test_it_fires_when_clocks_are_moved_as_cron_does(
    cron: str, zone: str, after: str, expected: list[str]
) -> None:
    assert firings(cron, zone, after, len(expected)) == expected


FIELD = st.sampled_from(["*", "*/7", "*/30", "0", "15", "0,30", "59"])
HOUR = st.sampled_from(["*", "*/6", "1", "2", "2,3", "0-5", "23"])
ZONE = st.sampled_from([BERLIN, LORD_HOWE, "UTC", "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu"])
MINUTES = st.integers(0, 3 * 366 * 24 * 60)
EPOCH = datetime(2025, 1, 1, tzinfo=UTC)


@settings(max_examples=40)
@given(FIELD, HOUR, ZONE, MINUTES)
@example("*/7", "2", LORD_HOWE, 661_600)
def test_every_minute_that_matches_is_a_firing_where_clocks_stand_as_they_did(
    minute: str, hour: str, zone: str, start: int
) -> None:
    times = read_times(f"{minute} {hour} * * *", zone)
    begin = EPOCH + timedelta(minutes=start)
    found = [at for at in upcoming(times, begin, 200) if at < begin + timedelta(days=2)]
    assert found == sorted(set(found)) and all(at > begin for at in found)
    a_day = upcoming(read_times(f"{minute} {hour} * * *", "UTC"), EPOCH - timedelta(seconds=1), 24 * 60)
    on_the_wall = {at.time() for at in a_day}
    minutes = (begin + timedelta(minutes=n) for n in range(1, 2 * 24 * 60))
    matching = [at for at in minutes if at.astimezone(times.zone).time() in on_the_wall]
    if "*" in (minute[0], hour[0]):
        assert found == matching[: len(found)] and (len(found) == 200 or len(found) == len(matching))
    elif len({(begin + timedelta(hours=n)).astimezone(times.zone).utcoffset() for n in range(49)}) == 1:
        assert found == matching
    else:
        assert {at for at in found if at.astimezone(times.zone).fold} == set(), (
            "the second time round is none"
        )


@given(FIELD, HOUR, ZONE, MINUTES, st.integers(0, 60 * 24 * 40), st.sampled_from([1, 3, 100]))
def test_the_newest_of_many_are_those_that_came_last(
    minute: str, hour: str, zone: str, start: int, length: int, most: int
) -> None:
    times = read_times(f"{minute} {hour} * * *", zone)
    first = times.next_after(EPOCH + timedelta(minutes=start))
    assert first is not None
    last = first + timedelta(minutes=length)
    every = [first]
    for at in times.after(first):
        if at > last:
            break
        every.append(at)
    found, are_all = times.newest(first, last, most=most)
    assert found == every[-most:] and are_all == (len(every) <= most)


def test_the_newest_of_ten_years_of_minutes_are_found_at_once() -> None:
    times = read_times("* * * * *", BERLIN)
    last = EPOCH + timedelta(days=3650)
    found, are_all = times.newest(EPOCH, last, most=1000)
    assert not are_all and found == [last - timedelta(minutes=n) for n in reversed(range(1000))]


@pytest.mark.parametrize("cron", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * */20 * 1L", "0 0 30,31 FEB *"])
def test_what_never_fires_is_refused_in_words(cron: str) -> None:
    with pytest.raises(UsageError, match="never fire"):
        read_expression(cron)


@pytest.mark.parametrize(
    "cron",
    [
        "", "  ", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *",
        "@reboot", "*/0 * * * *", "5-1 * * * *", "٣ * * * *", "a b c d e", "\x1b[2J * * * *", "1,,2 * * * *",
        "* * * * L", "-1 * * * *",
        "*" * 10_000, "0 0 * * 5#6", "1" * 5000 + " * * * *", "0 0 L/x * *", "0 0 * * #", "0 2 * * *; rm -rf /",
    ],
)  # fmt: skip
def test_what_says_no_times_is_refused_with_what_to_write(cron: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_expression(cron)
    assert "\x1b" not in str(refused.value) and len(str(refused.value)) < 600
    assert "0 2 * * *" in refused.value.hint


def test_an_expression_is_kept_as_it_is_understood() -> None:
    assert read_expression("  0\t2 * *  mon-fri ") == "0 2 * * MON-FRI"
    assert read_expression("@Weekly") == "0 0 * * 0"
    assert explained("0 2 * * *") == "At 02:00 every day"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Berlin", "Europe/Berlin"), ("europe/berlin", "Europe/Berlin"), ("Europe/Berlni", "Europe/Berlin"),
        ("New York", "America/New_York"), ("", "UTC"), ("../../etc/passwd", ""), ("/etc/passwd", ""), ("a\x00b", ""),
        ("Europe", ""), ("localtime", ""), ("\x1b]0;owned\x07", ""), ("Lord Howe", "Australia/Lord_Howe"),
        ("x" * 5000, ""), ("\ud800", ""),
    ],
)  # fmt: skip
def test_an_unknown_time_zone_is_refused_with_the_one_that_was_meant(name: str, meant: str) -> None:
    with pytest.raises(UsageError, match="no time zone") as refused:
        read_zone(name)
    assert meant in refused.value.hint


def test_the_zone_is_that_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", ":Europe/Berlin")
    assert local_zone() == "Europe/Berlin"
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    assert isinstance(FiringTimes("* * * * *", read_zone(local_zone())), FiringTimes), "another one, but one"
