"""P1 for graphs: after a kill the same call of a graph gives the same state, and each effect happens once."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

import evercell
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.testing import PLACES, Durable, SetClock

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

THREAD_PLACES = [place for place in PLACES if "thread" in place]


@pytest.fixture
def durable(tmp_path: Path, store_url: str) -> Iterator[Durable]:
    """The plugin's fixture, on both databases."""
    clock = SetClock()
    with open_workspace(Settings(store_url, tmp_path / "key"), clock=clock) as workspace:
        yield Durable(workspace, clock)


class State(TypedDict):
    log: Annotated[list[str], operator.add]


class Effects(Counter[str]):
    """What happened outside."""

    @property
    def doubled(self) -> dict[str, int]:
        return {name: count for name, count in self.items() if count > 1}


Graph = Any
Build = Callable[[Effects], Graph]


def _effect(effects: Effects) -> Callable[[str], str]:
    @evercell.step
    def effect(name: str) -> str:
        effects[name] += 1
        return f"did {name}"

    return effect


def three_nodes(effects: Effects) -> Graph:
    """a, b, c, one after the other; b has two effects."""
    from langgraph.graph import START, StateGraph

    effect = _effect(effects)
    graph = StateGraph(State)
    graph.add_node("a", lambda state: {"log": [effect(f"a after {len(state['log'])}")]})
    graph.add_node("b", lambda state: {"log": [effect("b1"), effect("b2")]})
    graph.add_node("c", lambda state: {"log": [effect("c")]})
    for before, after in ((START, "a"), ("a", "b"), ("b", "c")):
        graph.add_edge(before, after)
    return graph


def two_branches(effects: Effects) -> Graph:
    """a, then b and c beside each other, with calls of one name; then d."""
    from langgraph.graph import START, StateGraph

    effect = _effect(effects)
    graph = StateGraph(State)
    graph.add_node("a", lambda state: {"log": [effect("a")]})
    graph.add_node("b", lambda state: {"log": [effect("b1"), effect("b2")]})
    graph.add_node("c", lambda state: {"log": [effect("c1"), effect("c2")]})
    graph.add_node("d", lambda state: {"log": [effect("d")]})
    for before, after in ((START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")):
        graph.add_edge(before, after)
    return graph


def _thread(name: str) -> dict[str, Any]:
    return {"configurable": {"thread_id": name}}


def _run(build: Build, effects: Effects, thread: str, *, is_async: bool = False) -> Callable[[], Any]:
    """Two turns on one thread."""
    from evercell.langgraph import Saver

    graph = build(effects).compile(checkpointer=Saver())

    def turns() -> list[str]:
        graph.invoke({"log": ["one"]}, _thread(thread))
        return list(graph.invoke({"log": ["two"]}, _thread(thread))["log"])

    async def turns_async() -> list[str]:
        await graph.ainvoke({"log": ["one"]}, _thread(thread))
        return list((await graph.ainvoke({"log": ["two"]}, _thread(thread)))["log"])

    return turns_async if is_async else turns


def _undisturbed(build: Build) -> tuple[list[str], int]:
    from langgraph.checkpoint.memory import InMemorySaver

    effects = Effects()
    graph = build(effects).compile(checkpointer=InMemorySaver())
    graph.invoke({"log": ["one"]}, _thread("t"))
    return graph.invoke({"log": ["two"]}, _thread("t"))["log"], effects.total()


@pytest.mark.parametrize("is_async", [False, True], ids=["invoke", "ainvoke"])
@pytest.mark.parametrize("build", [three_nodes, two_branches])
def test_a_graph_killed_after_any_call_goes_on_with_each_effect_once(
    durable: Durable, build: Build, is_async: bool
) -> None:
    expected, calls = _undisturbed(build)
    for number in range(1, calls + 1):
        effects, name = Effects(), f"agent {number}"
        with durable.dies_at("after_call_commit", number):
            durable.step(name, _run(build, effects, name, is_async=is_async))
        assert durable.step(name, _run(build, effects, name, is_async=is_async)) == expected
        assert effects.total() == calls
        assert durable.calls is not None and durable.calls.replayed >= number


@pytest.mark.parametrize("place", THREAD_PLACES)
def test_a_graph_killed_beside_any_commit_of_its_thread_goes_on_with_each_effect_once(
    durable: Durable, place: str
) -> None:
    expected, calls = _undisturbed(two_branches)
    for number in range(1, 6):
        effects, name = Effects(), f"agent {number}"
        with durable.dies_at(place, number):
            durable.step(name, _run(two_branches, effects, name))
        assert durable.step(name, _run(two_branches, effects, name)) == expected
        assert effects.total() == calls


def test_calls_of_nodes_beside_each_other_are_known_by_their_nodes(durable: Durable) -> None:
    durable.step("agent", _run(two_branches, Effects(), "t"))
    keys = {call.key for call in durable.workspace.store.calls.listed(durable.run.id)}
    assert {"a@1/effect#0", "b@2/effect#0", "b@2/effect#1", "c@2/effect#0", "d@3/effect#0"} <= keys


def test_a_step_that_completed_leaves_its_thread_to_those_after_it(durable: Durable) -> None:
    effects = Effects()
    first = durable.step("first", _run(three_nodes, effects, "t"))
    with durable.dies_at("after_call_commit", 2):
        durable.step("second", _run(three_nodes, effects, "t"))
    assert durable.step("second", _run(three_nodes, effects, "t"))[: len(first)] == first


def test_a_replayed_call_has_left_its_thread_behind(durable: Durable) -> None:
    """What a function under ``@step`` did with a thread is there, though a later attempt does not execute it."""
    from evercell.langgraph import Saver

    effects = Effects()
    graph = three_nodes(effects).compile(checkpointer=Saver())

    @evercell.step
    def turn(said: str) -> int:
        return len(graph.invoke({"log": [said]}, _thread("t"))["log"])

    def turns() -> list[int]:
        return [turn("one"), turn("two"), turn("three")]

    for number in (6, 3):  # in the second turn; the next attempt in the third
        with durable.dies_at("after_call_commit", number):
            durable.step("agent", turns)
    assert durable.step("agent", turns) == [5, 10, 15]
    assert effects.total() == 12


def test_outside_of_steps_it_is_a_saver_as_any_other(tmp_path: Any) -> None:
    from evercell.langgraph import Saver

    with Saver(str(tmp_path / "store.db")) as saver:
        graph = three_nodes(Effects()).compile(checkpointer=saver)
        graph.invoke({"log": ["one"]}, _thread('ä "<b>'))
    with Saver(str(tmp_path / "store.db")) as saver:
        graph = three_nodes(Effects()).compile(checkpointer=saver)
        assert len(graph.invoke({"log": ["two"]}, _thread('ä "<b>'))["log"]) == 10
        history = list(graph.get_state_history(_thread('ä "<b>')))
        assert len(history) == 10 and graph.get_state(history[-1].config).values == {"log": []}
