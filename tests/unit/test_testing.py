"""The plugin that users test their own durability with."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator

import pytest

import evercell
from evercell.core import faults
from evercell.core.errors import StepTimeout
from evercell.testing import PLACES, Durable

effects: list[int] = []


@evercell.step
def act(n: int) -> int:
    effects.append(n)
    return n * n


@evercell.step
async def aact(n: int) -> int:
    await asyncio.sleep(0)
    effects.append(n)
    return n * n


def agent() -> int:
    return sum(act(n) for n in range(5))


async def in_turn() -> int:
    return sum([await aact(n) for n in range(5)])


async def async_agent() -> list[int]:
    return await evercell.aio.gather(*(aact(n) for n in range(5)))


@pytest.mark.parametrize(("place", "expected"), [("before_call_commit", 6), ("after_call_commit", 5)])
def test_an_agent_goes_on_where_it_died(durable: Durable, place: str, expected: int) -> None:
    effects.clear()
    with durable.dies_at(place, 3):
        durable.step("agent", agent)
    assert durable.step("agent", agent) == 30
    assert len(effects) == expected and durable.calls is not None and durable.calls.replayed in (2, 3)


def test_coroutines_too(durable: Durable) -> None:
    effects.clear()
    assert durable.step("agent", async_agent) == [0, 1, 4, 9, 16]
    assert durable.step("agent", async_agent) == [0, 1, 4, 9, 16] and len(effects) == 5


@pytest.mark.parametrize("place", ["before_call_commit", "after_call_commit"])
def test_it_dies_in_a_task_of_a_group_too(durable: Durable, place: str) -> None:
    effects.clear()
    with durable.dies_at(place, 3):
        durable.step("agent", async_agent)
    assert durable.step("agent", async_agent) == [0, 1, 4, 9, 16]

    async def nested() -> None:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(async_agent())

    with durable.dies_at(place, 3):
        durable.step("nested", nested)


def test_not_to_die_fails_the_test_and_another_error_is_raised_as_it_is(durable: Durable) -> None:
    with pytest.raises(pytest.fail.Exception, match="without dying"), durable.dies_at(PLACES[0], 99):
        durable.step("agent", agent)
    with pytest.raises(KeyError), durable.dies_at(PLACES[0], 99):
        raise KeyError


def test_three_days_pass_in_an_instant_and_signals_come(durable: Durable) -> None:
    def nap() -> object:
        began = evercell.now()
        evercell.sleep(3 * 24 * 3600)
        return (evercell.now() - began).days, evercell.wait_for("go")

    durable.send("go", [1])
    assert durable.step("nap", nap) == (3, [1])


def test_a_place_that_does_not_exist_is_refused(durable: Durable) -> None:
    with pytest.raises(ValueError, match=PLACES[0]), durable.dies_at("nowhere"):
        pass


progress: list[int] = []


@evercell.step(retries=1, backoff=0)
def upload() -> list[int]:
    done = evercell.last_heartbeat() or {"sent": 0}
    for part in range(done["sent"], 4):
        progress.append(part)
        evercell.heartbeat({"sent": part + 1})
        if part == 1 and progress.count(1) == 1:
            raise ConnectionError("cut off")
    return progress


def test_a_further_try_goes_on_from_what_the_last_one_told(durable: Durable) -> None:
    progress.clear()
    assert durable.step("upload", upload) == [0, 1, 2, 3]


def test_so_does_a_try_in_another_kernel(durable: Durable) -> None:
    progress.clear()
    with durable.dies_at("before_call_commit", 1):
        durable.step("upload", upload)
    progress.clear()
    durable.step("upload", upload)
    assert progress == [1, 2, 3], "the store hears of a beat once a second: of the first one at once"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_call_that_gives_no_sign_of_life_is_tried_again(durable: Durable, is_async: bool) -> None:
    tries: list[str] = []

    # the call's work: longer than the time limit in all, and never without a sign of life
    @evercell.step(retries=1, backoff=0, heartbeat_timeout=1.0)
    def hangs_once() -> int:
        tries.append("sync")
        for _ in range(12 if len(tries) > 1 else 1):
            time.sleep(0.1)
            evercell.heartbeat()
        if len(tries) == 1:
            time.sleep(30)
        return len(tries)

    @evercell.step(retries=1, backoff=0, heartbeat_timeout=1.0)
    async def ahangs_once() -> int:
        tries.append("async")
        for _ in range(12 if len(tries) > 1 else 1):
            await asyncio.sleep(0.1)
            evercell.heartbeat()
        if len(tries) == 1:
            await asyncio.sleep(30)
        return len(tries)

    assert durable.step("hang", ahangs_once if is_async else hangs_once) == 2


def test_a_call_that_hangs_for_good_says_so(durable: Durable) -> None:
    @evercell.step(heartbeat_timeout=0.05)
    def hangs() -> None:
        time.sleep(30)

    with pytest.raises(StepTimeout, match=r"no sign of life for 0\.05 s"):
        durable.step("hang", hangs)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """A process that is started in the background ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_interrupt_while_a_result_is_recorded_comes_when_it_is(durable: Durable, is_async: bool) -> None:
    effects.clear()
    left = [3]

    def interrupt(place: str) -> None:
        left[0] -= place == "before_call_commit"
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)

    with faults.watched(interrupt), pytest.raises(KeyboardInterrupt):
        durable.step("agent", in_turn if is_async else agent)
    assert len(durable.workspace.store.calls.tries(durable.run.id, "agent")) == 3
    left[0] = 0
    durable.step("agent", in_turn if is_async else agent)
    assert len(effects) == 5, "none is repeated"


def test_outside_of_a_durable_call_a_heartbeat_is_nothing() -> None:
    evercell.heartbeat({"sent": 1})
    assert evercell.last_heartbeat() is None
