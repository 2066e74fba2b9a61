"""P1 and P7 for the OpenAI Agents SDK: killed at each commit, each request, tool call and question happens once."""

import pickle
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import evercell
from evercell.testing import Durable
from tests.agents import answering, asked, call_keys, durable_on, rule
from tests.model_server import model_server

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

APPROVE = {"choice": "Approve"}


@pytest.fixture
def durable(tmp_path: Path, store_url: str) -> Iterator[Durable]:
    with durable_on(store_url, tmp_path) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _no_tracing() -> None:
    """Nothing is sent to anybody."""
    agents = import_module("agents")  # who asks for these tests has it
    agents.set_tracing_disabled(True)


class World:
    """Models that say what they are told to, and what happened outside."""

    def __init__(self) -> None:
        self.scripts: list[Any] = []
        self.effects: list[str] = []

    def model(self, *steps: Any) -> Any:
        """A scripted model: texts, or tool calls as tuples of name, arguments and id."""
        from agents.testing import ScriptedModel, assistant_message, function_call

        def step_of(step: Any) -> list[Any]:
            if isinstance(step, str):
                return [assistant_message(step)]
            return [function_call(name, given, call_id=call_id) for name, given, call_id in step]

        made = ScriptedModel([step_of(step) for step in steps])
        self.scripts.append(made)
        return made

    @property
    def requests(self) -> int:
        return sum(len(script.calls) for script in self.scripts)

    def tool(self, name: str, **options: Any) -> Any:
        """A tool that notes what it was called with."""
        from agents import function_tool

        async def note(what: str) -> str:
            self.effects.append(f"{name} {what}")
            return f"{name} is done"

        return function_tool(note, name_override=name, description_override=name, **options)


@pytest.fixture
def world() -> World:
    return World()


Make = Callable[[], Callable[[], Any]]
"""Makes an agent with a model that was asked nothing yet, as a new kernel does; what it gives runs the agent."""


def dies_at_each_commit(durable: Durable, world: World, make: Make) -> int:
    """The step is run to its end, then again for each of its commits: killed there, and gone on with."""
    expected, asked_before = durable.step("whole", make()), asked(durable)
    requests, effects = world.requests, sorted(world.effects)
    commits = durable.calls.executed if durable.calls else 0
    for number in range(1, commits + 1):
        world.scripts.clear()
        world.effects.clear()
        before, agent = asked(durable), make()
        with durable.dies_at("after_call_commit", number):
            durable.step(f"killed {number}", agent)
        assert durable.step(f"killed {number}", agent) == expected
        assert (world.requests, sorted(world.effects)) == (requests, effects), f"killed at {number}"
        for script in world.scripts:
            script.assert_complete()
        assert asked(durable) - before == asked_before
    return commits


def test_each_request_and_tool_call_happens_once_wherever_it_is_killed(
    durable: Durable, world: World
) -> None:
    from agents import Agent

    from evercell.openai_agents import run

    def make() -> Callable[[], Any]:
        model = world.model(
            [("book", {"what": "día 🎉"}, "c1"), ("book", {"what": "Tue"}, "a/b#1")],
            [("book", {"what": "Wed"}, "c3")],
            "booked",
        )
        agent: Any = Agent(name="clerk", model=model, tools=[world.tool("book")])

        async def whole() -> Any:
            result = await run(agent, "Book three days.")
            return result.final_output, len(result.to_input_list())

        return whole

    assert dies_at_each_commit(durable, world, make) == 6


def test_outside_of_a_step_it_is_the_agent_that_it_was(world: World) -> None:
    import asyncio

    from agents import Agent

    from evercell.openai_agents import run

    agent: Any = Agent(
        name="clerk",
        model=world.model([("book", {"what": "Mon"}, "c1")], "booked"),
        tools=[world.tool("book")],
    )
    assert asyncio.run(run(agent, "Book.")).final_output == "booked"
    assert (world.requests, world.effects) == (2, ["book Mon"])


def test_a_tool_that_needs_an_approval_asks_once_wherever_it_is_killed(
    durable: Durable, world: World
) -> None:
    from agents import Agent

    from evercell.openai_agents import Session, run

    def make() -> Callable[[], Any]:
        model = world.model(
            [
                ("pay", {"what": "7"}, "c1"),
                ("pay", {"what": "<b>800</b>"}, "c2"),
                ("look", {"what": "x"}, "c3"),
            ],
            "done",
        )
        tools = [world.tool("pay", needs_approval=True), world.tool("look")]
        agent: Any = Agent(name="clerk", model=model, tools=tools)

        async def whole() -> Any:
            result = await run(agent, "Pay.", approvers=["ann"], session=Session("talk"))
            outputs = [item["output"] for item in result.to_input_list() if "output" in item]
            return result.final_output, outputs

        return whole

    def choose(approval: Any) -> dict[str, Any]:
        return {"choice": "Reject", "comment": "Too much."} if "800" in approval.title else APPROVE

    with answering(durable, choose) as titles:
        assert dies_at_each_commit(durable, world, make) == 7
        _, outputs = durable.step("last", make())
    assert sorted(set(titles)) == ["pay(what='7')", "pay(what='<b>800</b>')"]
    assert sorted(outputs) == ["The tool call was denied. Too much.", "look is done", "pay is done"]


def test_a_run_that_was_interrupted_elsewhere_is_gone_on_with(durable: Durable, world: World) -> None:
    import asyncio

    from agents import Agent, RunState

    from evercell.openai_agents import run

    model = world.model([("pay", {"what": "7"}, "c1")], "paid")
    agent: Any = Agent(name="clerk", model=model, tools=[world.tool("pay", needs_approval=True)])
    before = asyncio.run(run(agent, "Pay."))
    assert before.interruptions and world.effects == [], "nobody is asked outside of a step"
    text = before.to_state().to_string()

    async def whole() -> Any:
        return (await run(agent, await RunState.from_string(agent, text))).final_output

    with answering(durable, lambda approval: APPROVE) as titles:
        assert durable.step("s", whole) == "paid"
    assert (titles, world.effects) == (["pay(what='7')"], ["pay 7"])


def test_what_a_policy_denies_is_told_to_the_model_wherever_it_is_killed(
    durable: Durable, world: World
) -> None:
    from agents import Agent

    from evercell.openai_agents import run

    rule(durable, deny=["*:pay(what=8*)"])

    def make() -> Callable[[], Any]:
        model = world.model([("pay", {"what": "7"}, "c1"), ("pay", {"what": "800"}, "c2")], "done")
        agent: Any = Agent(name="clerk", model=model, tools=[world.tool("pay")])

        async def whole() -> Any:
            result = await run(agent, "Pay.")
            return [item["output"] for item in result.to_input_list() if "output" in item]

        return whole

    dies_at_each_commit(durable, world, make)
    paid, denied = durable.step("last", make())
    assert paid == "pay is done" and "denied" in denied and "pay 800" not in world.effects


def test_an_agent_that_is_a_tool_asks_through_its_caller_and_goes_on_inside(
    durable: Durable, world: World
) -> None:
    from agents import Agent

    from evercell.openai_agents import DurableModel, run

    def make() -> Callable[[], Any]:
        inner: Any = Agent(
            name="inner",
            model=DurableModel(world.model([("pay", {"what": "7"}, "i1")], "paid")),
            tools=[world.tool("pay", needs_approval=True)],
        )
        outer: Any = Agent(
            name="outer",
            model=world.model([("delegate", {"input": "Pay."}, "o1")], "done"),
            tools=[inner.as_tool(tool_name="delegate", tool_description="Pays.")],
        )

        async def whole() -> Any:
            return (await run(outer, "Delegate.")).final_output

        return whole

    with answering(durable, lambda approval: APPROVE):
        dies_at_each_commit(durable, world, make)


def test_a_handoff_is_followed(durable: Durable, world: World) -> None:
    from agents import Agent

    from evercell.openai_agents import run

    def make() -> Callable[[], Any]:
        second: Any = Agent(
            name="second",
            model=world.model([("book", {"what": "Mon"}, "s1")], "booked"),
            tools=[world.tool("book")],
        )
        first: Any = Agent(
            name="first", model=world.model([("transfer_to_second", {}, "f1")]), handoffs=[second]
        )

        async def whole() -> Any:
            result = await run(first, "Book.")
            return result.final_output, result.last_agent.name

        return whole

    assert dies_at_each_commit(durable, world, make) == 4


def test_a_stream_is_asked_for_once_and_replays_as_a_stream(durable: Durable, world: World) -> None:
    from agents import Agent, ModelProvider, RunConfig, Runner

    from evercell.openai_agents import Provider

    class Scripted(ModelProvider):
        def __init__(self, model: Any) -> None:
            self.model = model

        def get_model(self, model_name: str | None) -> Any:
            return self.model

    def make() -> Callable[[], Any]:
        model = world.model([("book", {"what": "Mon"}, "c1")], "it is booked")
        agent: Any = Agent(name="clerk", model="any", tools=[world.tool("book")])
        config = RunConfig(model_provider=Provider(Scripted(model)))

        async def whole() -> Any:
            result = Runner.run_streamed(agent, "Book.", run_config=config)
            kinds = [event.type async for event in result.stream_events()]
            evercell.now()
            return result.final_output, kinds

        return whole

    assert dies_at_each_commit(durable, world, make) == 4


# -- sessions ------------------------------------------------------------------------------------


def test_a_session_goes_on_with_what_was_said_in_earlier_steps(durable: Durable, world: World) -> None:
    from agents import Agent
    from agents.memory import Session as Protocol

    from evercell.openai_agents import Session, run

    session = Session("talk")
    assert isinstance(session, Protocol)

    def turn(said: str, answer: str) -> Callable[[], Any]:
        agent: Any = Agent(name="clerk", model=world.model(answer))

        async def whole() -> Any:
            result = await run(agent, said, session=session)
            return len(result.to_input_list()), len(await session.get_items())

        return whole

    assert durable.step("one", turn("Hi.", "Hello.")) == (2, 2)
    two = turn("Bye.", "Good bye.")
    with durable.dies_at("after_call_commit", 2):
        durable.step("two", two)
    assert durable.step("two", two) == (4, 4), "what the attempt that died had added is not there twice"
    assert world.requests == 2
    again = pickle.loads(pickle.dumps(session))
    assert again.session_id == "talk" and vars(again)["_items"] == vars(session)["_items"]


def test_a_session_does_what_the_sdk_asks_of_one(durable: Durable) -> None:
    from agents.memory import SessionSettings

    from evercell.openai_agents import Session

    async def whole() -> None:
        session = Session()
        assert session.session_id == f"{durable.run.id}/s"
        items = [{"role": "user", "content": text} for text in ("a", "b", "ü <b>")]
        await session.add_items(items)
        items[0]["content"] = "changed by the caller"
        assert [item["content"] for item in await session.get_items()] == ["a", "b", "ü <b>"]
        assert [item["content"] for item in await session.get_items(2)] == ["b", "ü <b>"]
        assert await session.get_items(0) == []
        session.session_settings = SessionSettings(limit=1)
        assert [item["content"] for item in await session.get_items()] == ["ü <b>"]
        assert (await session.pop_item())["content"] == "ü <b>"
        await session.clear_session()
        assert await session.pop_item() is None and await session.get_items() == []

    durable.step("s", whole)


# -- what goes wrong, and what is stored ---------------------------------------------------------


def test_arguments_that_are_none_are_recorded_as_they_came(durable: Durable, world: World) -> None:
    from agents import Agent

    from evercell.openai_agents import run

    def make() -> Callable[[], Any]:
        model = world.model([("book", "no {json", "c1")], "given up")
        agent: Any = Agent(name="clerk", model=model, tools=[world.tool("book")])

        async def whole() -> Any:
            return (await run(agent, "Book.")).final_output

        return whole

    assert dies_at_each_commit(durable, world, make) == 3
    assert world.effects == []


def test_a_failed_request_is_tried_as_the_policy_says(durable: Durable, world: World) -> None:
    from agents import Agent
    from agents.testing import ScriptedModel, assistant_message

    from evercell.openai_agents import run

    model = ScriptedModel([OSError("no line"), [assistant_message("done")]])
    agent: Any = Agent(name="clerk", model=model)

    async def whole() -> Any:
        return (
            await run(agent, "Go.", requests=evercell.CallPolicy(retries=1, backoff=0), prices={})
        ).final_output

    assert durable.step("s", whole) == "done"


def test_names_of_calls_stay(durable: Durable, world: World) -> None:
    """They are what a run that began under an older version is found by."""
    from agents import Agent

    from evercell.openai_agents import Session, run

    model = world.model([("book", {"what": "Mon"}, "c1")], "booked")
    agent: Any = Agent(name="clerk", model=model, tools=[world.tool("book")])

    async def whole() -> None:
        await run(agent, "Book.", session=Session("talk"))

    durable.step("s", whole)
    keys = sorted(call_keys(durable))
    assert [key.partition("[")[0] for key in keys] == [*["model.request"] * 2, "session", "tool:book"]
    assert keys[2:] == ["session[talk]", "tool:book[c1]"]


def _answer(number: int, *output: dict[str, Any]) -> dict[str, Any]:
    """A response as a server may give it: fields are missing that the client's types have, and others are there."""
    return {
        "id": f"r{number}", "object": "response", "created_at": 1, "status": "completed", "model": "m",
        "output": list(output), "parallel_tool_calls": False, "tool_choice": "auto", "tools": [], "new_field": {"a": 1},
        "usage": {
            "input_tokens": 10, "output_tokens": 5, "total_tokens": 15, "input_tokens_details": {"cached_tokens": 0},
        },
    }  # fmt: skip


@pytest.mark.parametrize("way", ["run", "run_streamed"])
def test_an_answer_that_lacks_fields_is_replayed_as_it_was_read(
    durable: Durable, world: World, way: str
) -> None:
    """The client makes an object of whatever a server answers, and so does a replay."""
    import openai
    from agents import Agent, OpenAIProvider, RunConfig, Runner

    from evercell.openai_agents import Provider, run

    call = {
        "type": "function_call",
        "id": "f1",
        "call_id": "c1",
        "name": "book",
        "arguments": '{"what": "Mon"}',
    }
    search = {"type": "web_search_call", "id": "w1", "status": "completed"}
    said = {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "booked"}],
    }
    bodies = [_answer(1, search, call), _answer(2, said)]
    with model_server() as server:

        def agent() -> Callable[[], Any]:
            client = openai.AsyncOpenAI(base_url=server.url, api_key="k")
            clerk: Any = Agent(name="clerk", model="m", tools=[world.tool("book")])
            config = RunConfig(model_provider=Provider(OpenAIProvider(openai_client=client)))

            async def ask() -> Any:
                if way == "run":
                    result: Any = await run(clerk, "book", run_config=config)
                    return result.final_output, [item.type for item in result.new_items]
                result = Runner.run_streamed(clerk, "book", run_config=config)
                seen = [event.type async for event in result.stream_events()]
                return result.final_output, [item.type for item in result.new_items], seen

            return ask

        server.scripted = list(bodies)
        expected = durable.step("whole", agent())
        commits = durable.calls.executed if durable.calls else 0
        assert expected[0] == "booked" and commits == 3
        for number in range(1, commits + 1):
            server.scripted, before = list(bodies), len(server.requests)
            with durable.dies_at("after_call_commit", number):
                durable.step(f"killed {number}", agent())
            assert durable.step(f"killed {number}", agent()) == expected
            assert len(server.requests) - before == 2
