"""P1 for gates around agents of frameworks: one that runs in circles is stopped, whatever the framework catches."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

import evercell
from evercell.core.errors import Drifted
from evercell.engine.evals.trajectory import Trajectory, read_trajectory
from evercell.testing import Died, Durable
from tests.agents import durable_on

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

effects: list[str] = []


@pytest.fixture
def durable(tmp_path: Path, store_url: str) -> Iterator[Durable]:
    effects.clear()
    with durable_on(store_url, tmp_path) as opened:
        yield opened


def search(query: str) -> str:
    """Search.

    Args:
        query: What for.
    """
    effects.append(query)
    return f"found {query}"


def _of_pydantic_ai(query: Callable[[int], str], turns: int) -> Callable[[], Any]:
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    from evercell.pydantic_ai import Durability

    def say(messages: list[Any], info: Any) -> Any:
        turn = sum(isinstance(message, ModelResponse) for message in messages)
        if turn >= turns:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("search", {"query": query(turn)})])

    agent = Agent(FunctionModel(say), name="clerk", capabilities=[Durability()])
    agent.tool_plain(search)

    async def run() -> str:
        return str((await agent.run("find papers about cats")).output)

    return run


def _of_openai_agents(query: Callable[[int], str], turns: int) -> Callable[[], Any]:
    import agents
    from agents.testing import ScriptedModel, assistant_message, function_call

    from evercell import openai_agents

    agents.set_tracing_disabled(True)
    tool = agents.function_tool(search)

    async def run() -> str:
        said = [[function_call("search", {"query": query(n)}, call_id=f"c{n}")] for n in range(turns)]
        model = ScriptedModel([*said, [assistant_message("done")]])
        agent = agents.Agent(name="clerk", model=model, tools=[tool])
        result = await openai_agents.run(agent, "find papers about cats", max_turns=turns + 2)
        return str(result.final_output)

    return run


def _of_langgraph(query: Callable[[int], str], turns: int) -> Callable[[], Any]:
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        log: Annotated[list[str], operator.add]

    found = evercell.step(search)

    def node(state: State) -> dict[str, list[str]]:
        return {"log": [found(query(len(state["log"])))]}

    built = StateGraph(State).add_node("work", node).add_edge(START, "work")
    built.add_conditional_edges("work", lambda state: END if len(state["log"]) >= turns else "work")
    graph = built.compile()

    async def run() -> str:
        await asyncio.to_thread(graph.invoke, {"log": []}, {"recursion_limit": turns + 5})
        return "done"

    return run


AGENTS = [
    pytest.param(_of_pydantic_ai, id="pydantic-ai"),
    pytest.param(_of_openai_agents, id="openai-agents"),
    pytest.param(_of_langgraph, id="langgraph"),
]

Build = Callable[[Callable[[int], str], int], Callable[[], Any]]


def gated(agent: Callable[[], Any], **options: Any) -> Callable[[], Any]:
    async def cell() -> Any:
        with evercell.gate("advancement", every=6, below=0.4, then="stop"):
            return await agent()

    return cell


@pytest.mark.parametrize("build", AGENTS)
def test_an_agent_that_runs_in_circles_is_stopped_wherever_it_was_killed(
    durable: Durable, build: Build
) -> None:
    cell = gated(build(lambda n: "cats", 40))
    with durable.dies_at("after_call_commit", 4):
        durable.step("a", cell)
    for _ in range(3):  # in later attempts, too
        assert _is_stopped(durable, cell) and 3 <= len(effects) <= 7


def _is_stopped(durable: Durable, cell: Callable[[], Any]) -> bool:
    try:
        durable.step("a", cell)
    except Exception as error:
        return _drifted(error)
    return False


def _drifted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, Drifted):
        error = error.__cause__ or error.__context__
    return error is not None


@pytest.mark.parametrize("build", AGENTS)
def test_an_agent_that_does_well_is_not(durable: Durable, build: Build) -> None:
    cell = gated(build(lambda n: f"cats {n}", 12))
    assert durable.step("a", cell) == "done" and len(effects) == 12
    assert durable.step("a", cell) == "done" and len(effects) == 12


@pytest.mark.parametrize("build", AGENTS[:2])
def test_a_record_tells_what_models_said_and_were_asked(durable: Durable, build: Build) -> None:
    durable.step("a", build(lambda n: f"cats {n}", 2))
    found: Trajectory = read_trajectory(durable.workspace, durable.run)
    asked = [call for call in found.actions if call.asks_model]
    assert [[(tool.name, tool.arguments) for tool in call.tools] for call in asked] == [
        [("search", {"query": "cats 0"})], [("search", {"query": "cats 1"})], [],
    ]  # fmt: skip
    assert asked[-1].answer is not None and asked[-1].answer.text == "done"
    assert {call.prompt for call in asked} == {"find papers about cats"}


def test_deaths_are_none_of_the_frameworks(durable: Durable) -> None:
    assert not _drifted(Died("here"))
