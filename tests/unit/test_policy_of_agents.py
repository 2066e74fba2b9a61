"""Whatever framework makes a call, the policy decides on it first: tools, requests and streams."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from evercell.core.policy import Policy
from evercell.engine.calls.log import ruling_of
from evercell.testing import Durable
from tests.agents import durable_on
from tests.unit.test_openai_agents import World

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

made: list[str] = []
"""What the outside saw."""


def clerk(world: World, *, is_streamed: bool = False, given: str = '{"what": "Mon"}') -> Callable[[], Any]:
    """An agent of the OpenAI Agents SDK that books something."""
    agents = import_module("agents")
    from evercell.openai_agents import Provider, run

    agents.set_tracing_disabled(True)
    model = world.model([("book", given, "c1")], "it is booked")
    agent = agents.Agent(name="clerk", model=model, tools=[world.tool("book")])

    class Scripted(agents.ModelProvider):  # type: ignore[misc, name-defined]
        def get_model(self, model_name: str | None) -> Any:
            return model

    async def whole() -> Any:
        return (await run(agent, "Book.")).final_output

    async def streamed() -> Any:
        agent.model = "any"
        config = agents.RunConfig(model_provider=Provider(Scripted()))
        result = agents.Runner.run_streamed(agent, "Book.", run_config=config)
        async for _ in result.stream_events():
            pass
        return result.final_output

    return streamed if is_streamed else whole


@pytest.mark.parametrize(
    ("pattern", "is_streamed", "requests"),
    [
        ("tool:book(what=M*)", False, 2),  # the model hears that it was denied
        ("tool:book(what=M*)", True, 2),
        ("model.request", False, 0),
        ("model.stream(input=*)", True, 0),
        ("nothing", False, 2),
        ("nothing", True, 2),
    ],
)
def test_the_openai_agents_sdk_does_nothing_that_is_denied(
    tmp_path: Path, pattern: str, is_streamed: bool, requests: int
) -> None:
    world = World()
    agent = clerk(world, is_streamed=is_streamed)
    with durable_on(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as durable:
        govern(durable, pattern)
        if requests:
            assert durable.step("agent", agent) == "it is booked"
            assert ("is not allowed: deny" in heard(world)) is (pattern != "nothing")
        else:
            with pytest.raises(Exception) as raised:  # noqa: PT011  the SDK has errors of its own around it
                durable.step("agent", agent)
            assert "is not allowed: deny" in told(raised.value)
        assert world.requests == requests
        assert world.effects == (["book Mon"] if pattern == "nothing" else [])
        assert bool(refused(durable)) is (pattern != "nothing")


@pytest.mark.parametrize("given", ['{"what": ', "[1]", '{"what": "Mon", "what": "evil"}'])
def test_a_tool_call_with_malformed_arguments_may_be_any(tmp_path: Path, given: str) -> None:
    world = World()
    with durable_on(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as durable:
        govern(durable, "tool:book(what=nothing of the sort)")
        durable.step("agent", clerk(world, given=given))
        assert "is not allowed: deny" in heard(world)
        assert world.effects == [] and refused(durable) == 1


def test_pydantic_ai_does_nothing_that_is_denied(tmp_path: Path) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel

    from evercell.pydantic_ai import Durability

    made.clear()
    agent: Any = Agent(TestModel(), name="clerk", capabilities=[Durability()])

    @agent.tool_plain  # type: ignore[untyped-decorator]
    def refund(amount: int) -> str:
        made.append(f"refund {amount}")
        return "done"

    async def cell() -> Any:
        return (await agent.run("x")).output

    with durable_on(f"sqlite:///{tmp_path / 'store.db'}", tmp_path) as durable:
        govern(durable, "*call_tool:refund(amount>=0)")
        assert "is not allowed: deny" in durable.step("agent", cell)
        assert made == [] and refused(durable) == 1
        govern(durable, "nothing")
        Durable(durable.workspace, durable.clock).step("agent", cell)
        assert made == ["refund 0"]


def govern(durable: Durable, pattern: str) -> None:
    durable.workspace.settings = replace(durable.workspace.settings, policies=(Policy(deny=(pattern,)),))


def refused(durable: Durable) -> int:
    """How many calls were denied."""
    calls = [
        call
        for call in durable.workspace.store.audit.calls(durable.run.id)
        if not isinstance(call, Exception)
    ]
    return sum((ruling_of(call) or {}).get("effect") == "deny" for call in calls)


def heard(world: World) -> str:
    """What the model was told at its last request."""
    return repr(world.scripts[0].calls[-1])


def told(error: BaseException | None) -> str:
    """What an error and those behind it say."""
    return "" if error is None else f"{error} {told(error.__cause__ or error.__context__)}"
