"""The plugin that users test their own durability with."""

from __future__ import annotations

import asyncio

import pytest

import evercell
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


async def async_agent() -> list[int]:
    return await evercell.gather(*(aact(n) for n in range(5)))


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
