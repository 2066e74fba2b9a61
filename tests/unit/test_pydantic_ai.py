"""P1 and P7 for agents of pydantic-ai: killed at each commit, each request, tool call and question happens once."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pydantic
import pytest

import evercell
from evercell.core.errors import NonDeterminism, UsageError
from evercell.testing import Durable
from tests.agents import answering, asked, call_keys, durable_on, rule

if TYPE_CHECKING:
    from pydantic_ai import Agent

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

APPROVE = {"choice": "Approve"}


@pytest.fixture
def durable(tmp_path: Path, store_url: str) -> Iterator[Durable]:
    with durable_on(store_url, tmp_path) as opened:
        yield opened


class World:
    """What happened outside: counted in the process, which the tests' deaths do not end."""

    def __init__(self) -> None:
        self.requests = 0
        self.effects: list[str] = []

    def model(self, *turns: Any) -> Any:
        """A model that says one turn after the other: a text, or tool calls as tuples; streamed or not."""
        from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
        from pydantic_ai.models.function import DeltaToolCall, FunctionModel

        def turn_of(messages: list[Any]) -> Any:
            self.requests += 1
            turn = turns[sum(isinstance(message, ModelResponse) for message in messages)]
            return turn(messages) if callable(turn) else turn

        async def say(messages: list[Any], info: Any) -> Any:
            turn = turn_of(messages)
            if isinstance(turn, str):
                return ModelResponse(parts=[TextPart(turn)])
            return ModelResponse(parts=[ToolCallPart(name, given) for name, given in turn])

        async def stream(messages: list[Any], info: Any) -> Any:
            turn = turn_of(messages)
            if isinstance(turn, str):
                for word in turn.split(" "):
                    yield f"{word} "
                return
            import json

            for n, (name, given) in enumerate(turn):
                yield {n: DeltaToolCall(name=name, json_args=json.dumps(given))}

        return FunctionModel(say, stream_function=stream)

    def agent(self, *turns: Any, name: str = "clerk", **options: Any) -> "Agent[Any, Any]":
        from pydantic_ai import Agent

        from evercell.pydantic_ai import Durability

        durability = options.pop("durability", None) or Durability()
        return Agent(self.model(*turns), name=name, capabilities=[durability], **options)

    def forget(self) -> None:
        self.requests = 0
        self.effects.clear()


@pytest.fixture
def world() -> World:
    return World()


# Models and tools that are killed are coroutine functions: what a thread does goes on for a moment where a process only
# seems to die.


def dies_at_each_commit(durable: Durable, world: World, agent: Callable[[], Any]) -> int:
    """The step is run to its end, then again for each of its commits: killed there, and gone on with."""
    expected, asked_before = durable.step("whole", agent), asked(durable)
    requests, effects = world.requests, sorted(world.effects)
    commits = durable.calls.executed if durable.calls else 0
    for number in range(1, commits + 1):
        world.forget()
        before = asked(durable)
        with durable.dies_at("after_call_commit", number):
            durable.step(f"killed {number}", agent)
        assert durable.step(f"killed {number}", agent) == expected
        assert (world.requests, sorted(world.effects)) == (requests, effects), f"killed at {number}"
        assert asked(durable) - before == asked_before
    return commits


def test_each_request_and_tool_call_happens_once_wherever_it_is_killed(
    durable: Durable, world: World
) -> None:
    from pydantic_ai import RunContext

    agent = world.agent(
        [("book", {"day": "Mon"}), ("book", {"day": "Tue"}), ("note", {"text": "día 🎉 <b>"})],
        [("book", {"day": "Mon"})],
        "booked",
    )

    @agent.tool_plain
    async def book(day: str) -> str:
        world.effects.append(day)
        return f"{day} is booked"

    @agent.tool
    async def note(ctx: RunContext, text: str) -> dict[str, Any]:
        moment = evercell.now()
        world.effects.append(text)
        return {"noted": text, "at": moment.isoformat()}

    async def whole() -> Any:
        result = await agent.run("Book two days.")
        return result.output, len(result.all_messages()), result.usage.requests

    assert dies_at_each_commit(durable, world, whole) == 9


def test_a_tool_that_was_interrupted_before_its_commit_is_called_again(
    durable: Durable, world: World
) -> None:
    agent = world.agent([("book", {"day": "Mon"})], "booked")

    @agent.tool_plain
    def book(day: str) -> str:
        world.effects.append(day)
        return "yes"

    with durable.dies_at("before_call_commit", 3):
        durable.step("s", lambda: agent.run_sync("Book.").output)
    assert durable.step("s", lambda: agent.run_sync("Book.").output) == "booked"
    assert (world.requests, world.effects) == (2, ["Mon", "Mon"])


def test_outside_of_a_step_it_is_the_agent_that_it_was(world: World) -> None:
    agent = world.agent([("book", {})], "booked")

    @agent.tool_plain
    def book() -> str:
        world.effects.append("booked")
        return "yes"

    assert [agent.run_sync("Book.").output for _ in range(2)] == ["booked"] * 2
    assert (world.requests, world.effects) == (4, ["booked"] * 2)


# -- approvals -----------------------------------------------------------------------------------


def test_a_tool_that_needs_an_approval_asks_once_wherever_it_is_killed(
    durable: Durable, world: World
) -> None:
    agent = world.agent([("pay", {"sum": 7}), ("pay", {"sum": 8}), ("look", {})], "paid")

    @agent.tool_plain(requires_approval=True)
    async def pay(sum: int) -> str:
        world.effects.append(f"paid {sum}")
        return "paid"

    @agent.tool_plain
    async def look() -> str:
        world.effects.append("looked")
        return "seen"

    async def whole() -> str:
        return str((await agent.run("Pay.")).output)

    with answering(durable, lambda approval: APPROVE) as titles:
        commits = dies_at_each_commit(durable, world, whole)
    assert commits == 8
    assert sorted(titles) == sorted(["pay(sum=7)", "pay(sum=8)"] * (commits + 1))


def test_who_approves_may_change_the_arguments_and_who_refuses_is_heard_by_the_model(
    durable: Durable, world: World
) -> None:
    from pydantic_ai import RunContext
    from pydantic_ai.exceptions import ApprovalRequired

    heard: list[str] = []

    def listen(messages: list[Any]) -> str:
        heard.extend(str(part.content) for part in messages[-1].parts)
        return "done"

    agent = world.agent([("pay", {"sum": 7}), ("pay", {"sum": 800}), ("ask", {"why": "<b>"})], listen)

    @agent.tool_plain(requires_approval=True)
    def pay(sum: int) -> str:
        world.effects.append(f"paid {sum}")
        return f"paid {sum}"

    @agent.tool
    def ask(ctx: RunContext, why: str) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"reason": why})
        world.effects.append("asked")
        return "asked"

    def choose(approval: Any) -> dict[str, Any]:
        if "800" in approval.title:
            return {"choice": "Reject", "comment": "Too much."}
        if approval.title.startswith("ask"):
            assert "<b>" in str(approval.question.details)
            return APPROVE
        return {"choice": "Approve", "values": {"sum": 5}}

    with answering(durable, choose):
        durable.step("s", lambda: agent.run_sync("Pay.").output)
    assert sorted(world.effects) == ["asked", "paid 5"]
    assert heard == ["paid 5", "The tool call was denied. Too much.", "asked"]


def test_arguments_that_are_no_arguments_are_never_asked_about(durable: Durable, world: World) -> None:
    agent = world.agent([("pay", {"sum": "much"})], [("pay", {})], "given up")

    @agent.tool_plain(requires_approval=True, retries=3)
    def pay(sum: int) -> str:
        world.effects.append("paid")
        return "paid"

    assert durable.step("s", lambda: agent.run_sync("Pay.").output) == "given up"
    assert (world.effects, asked(durable)) == ([], 0)


def test_deferred_calls_can_be_left_to_the_user(durable: Durable, world: World) -> None:
    from pydantic_ai.tools import DeferredToolRequests

    from evercell.pydantic_ai import Durability

    agent = world.agent(
        [("pay", {})], durability=Durability(approve=False), output_type=[str, DeferredToolRequests]
    )

    @agent.tool_plain(requires_approval=True)
    def pay() -> str:
        return "paid"

    requests = durable.step("s", lambda: agent.run_sync("Pay.").output)
    assert [call.tool_name for call in requests.approvals] == ["pay"]
    assert asked(durable) == 0


def test_what_a_policy_denies_is_told_to_the_model_wherever_it_is_killed(
    durable: Durable, world: World
) -> None:
    rule(durable, deny=["*:pay(sum>100)"])

    def listen(messages: list[Any]) -> str:
        return " | ".join(str(part.content) for part in messages[-1].parts)

    agent = world.agent([("pay", {"sum": 7}), ("pay", {"sum": 800})], listen)

    @agent.tool_plain
    async def pay(sum: int) -> str:
        world.effects.append(f"paid {sum}")
        return f"paid {sum}"

    async def whole() -> str:
        return str((await agent.run("Pay.")).output)

    dies_at_each_commit(durable, world, whole)
    said = durable.step("last", whole)
    assert said.startswith("paid 7 | ") and "denied" in said
    assert "paid 800" not in world.effects


# -- streams -------------------------------------------------------------------------------------


def test_a_stream_is_asked_for_once_and_its_events_are_heard_once(durable: Durable, world: World) -> None:
    from evercell.pydantic_ai import Durability

    async def hear(ctx: Any, events: Any) -> None:
        async for event in events:
            if event.event_kind in ("function_tool_call", "function_tool_result", "final_result"):
                world.effects.append(event.event_kind)

    agent = world.agent([("book", {})], "it is booked", durability=Durability(event_stream_handler=hear))

    @agent.tool_plain
    def book() -> str:
        world.effects.append("booked")
        return "yes"

    async def whole() -> str:
        return str((await agent.run("Book.")).output)

    dies_at_each_commit(durable, world, whole)


def test_a_stream_that_is_read_replays_as_a_stream(durable: Durable, world: World) -> None:
    agent = world.agent("a b c d")

    async def whole() -> str:
        async with agent.run_stream("Say.") as answer:
            parts = [part async for part in answer.stream_text(delta=True, debounce_by=None)]
        evercell.now()
        return "".join(parts)

    assert dies_at_each_commit(durable, world, whole) == 3


# -- agents beside and inside of agents ----------------------------------------------------------


def test_an_agent_that_is_a_tool_goes_on_inside_of_it(durable: Durable, world: World) -> None:
    from pydantic_ai import RunContext

    inner = world.agent([("count", {"n": 1}), ("count", {"n": 2})], "counted", name="inner")

    @inner.tool_plain
    async def count(n: int) -> int:
        world.effects.append(f"counted {n}")
        return n

    outer = world.agent([("delegate", {"to": "a"}), ("delegate", {"to": "b"})], "done", name="outer")

    @outer.tool
    async def delegate(ctx: RunContext, to: str) -> str:
        return str((await inner.run(f"Count for {to}.", usage=ctx.usage)).output)

    async def whole() -> str:
        return str((await outer.run("Delegate.")).output)

    assert dies_at_each_commit(durable, world, whole) == 15


def test_runs_of_one_agent_beside_each_other_are_told_apart(durable: Durable, world: World) -> None:
    def repeat(messages: list[Any]) -> str:
        return str(messages[0].parts[0].content)

    agent = world.agent([("wait", {})], repeat)
    turn = iter(range(1000))

    @agent.tool_plain
    async def wait() -> str:
        if next(turn) % 2:  # the order in which they go on is another one each time
            await asyncio.sleep(0.02)
        return "waited"

    async def whole() -> list[str]:
        results = await asyncio.gather(*(agent.run(word) for word in "abcde"))
        return [str(result.output) for result in results]

    with durable.dies_at("after_call_commit", 13):
        durable.step("s", whole)
    assert durable.step("s", whole) == list("abcde")
    requests = world.requests
    assert requests < 15, "but for those that were under way when it died"
    assert durable.step("s", whole) == list("abcde")
    assert world.requests == requests


# -- what goes wrong -----------------------------------------------------------------------------


def test_what_a_tool_asks_the_model_to_do_again_is_replayed(durable: Durable, world: World) -> None:
    from pydantic_ai.exceptions import ModelRetry

    agent = world.agent([("book", {"day": "?"})], [("book", {"day": "Mon"})], "booked")

    @agent.tool_plain
    def book(day: str) -> str:
        world.effects.append(day)
        if day == "?":
            raise ModelRetry("Which day?")
        return "yes"

    async def whole() -> str:
        return str((await agent.run("Book.")).output)

    dies_at_each_commit(durable, world, whole)


def test_an_answer_of_the_wrong_form_is_asked_for_again_and_replayed(durable: Durable, world: World) -> None:
    class Booking(pydantic.BaseModel):
        day: str

    agent = world.agent(
        "no form", [("final_result", {"night": 1})], [("final_result", {"day": "Mon"})], output_type=Booking
    )

    async def whole() -> str:
        return str((await agent.run("Book.")).output.day)

    assert dies_at_each_commit(durable, world, whole) == 4


def test_tools_are_tried_as_their_metadata_says(durable: Durable, world: World) -> None:
    agent = world.agent([("book", {}), ("plain", {})], "booked")

    @agent.tool_plain(metadata={"evercell": {"retries": 2, "backoff": 0}})
    def book() -> str:
        world.effects.append("tried")
        if len(world.effects) < 3:
            raise OSError("no line")
        return "yes"

    @agent.tool_plain(metadata={"evercell": False})
    def plain() -> str:
        return "not recorded"

    assert durable.step("s", lambda: agent.run_sync("Book.").output) == "booked"
    assert world.effects == ["tried"] * 3
    assert [key.partition("[")[0] for key in call_keys(durable)] == [
        "clerk__function_toolset__<agent>.call_tool:book", *["clerk__model.request"] * 2, "uuid#0",
    ]  # fmt: skip


def test_a_tool_that_failed_is_called_again_when_the_step_is(durable: Durable, world: World) -> None:
    agent = world.agent([("book", {})], "booked")

    @agent.tool_plain
    def book() -> str:
        world.effects.append("tried")
        if len(world.effects) == 1:
            raise OSError("no line")
        return "yes"

    with pytest.raises(OSError, match="no line"):
        durable.step("s", lambda: agent.run_sync("Book.").output)
    assert durable.step("s", lambda: agent.run_sync("Book.").output) == "booked"
    assert (world.requests, world.effects) == (2, ["tried"] * 2)


def test_metadata_that_evercell_does_not_know_is_refused_by_name(durable: Durable, world: World) -> None:
    agent = world.agent([("book", {})], "booked")

    @agent.tool_plain(metadata={"evercell": {"retry": 2}})
    def book() -> str:
        return "yes"

    with pytest.raises(UsageError, match=r"book has metadata .*retry"):
        durable.step("s", lambda: agent.run_sync("Book.").output)


@pytest.mark.parametrize("result", [object(), {"a": [open]}])
def test_a_result_that_is_not_plain_is_refused_by_name(durable: Durable, world: World, result: Any) -> None:
    agent = world.agent([("book", {})], "booked")

    @agent.tool_plain
    def book() -> Any:
        return result

    with pytest.raises(UsageError, match="cannot be written as JSON"):
        durable.step("s", lambda: agent.run_sync("Book.").output)


def test_tools_that_come_with_a_run_are_refused_since_they_would_not_be_recorded(
    durable: Durable, world: World
) -> None:
    from pydantic_ai import FunctionToolset
    from pydantic_ai.exceptions import UserError

    agent = world.agent("done")
    toolset = FunctionToolset(id="late")
    with pytest.raises(UserError, match="evercell"):
        durable.step("s", lambda: agent.run_sync("Go.", toolsets=[toolset]).output)


def test_another_question_in_the_place_of_a_recorded_one_is_told(durable: Durable, world: World) -> None:
    agent = world.agent("done")
    question = iter(["one", "two"])

    def whole() -> str:
        return str(agent.run_sync(next(question), run_id="r").output)

    with durable.dies_at("after_call_commit", 1):
        durable.step("s", whole)
    with pytest.raises(NonDeterminism, match=r"model\.request"):
        durable.step("s", whole)


# -- what is stored ------------------------------------------------------------------------------


def test_names_of_calls_stay(durable: Durable, world: World) -> None:
    """They are what a run that began under an older version is found by."""
    from pydantic_ai import FunctionToolset

    toolset = FunctionToolset(id="days")

    @toolset.tool_plain
    def book() -> str:
        return "yes"

    agent = world.agent([("book", {})], "booked", toolsets=[toolset])
    durable.step("s", lambda: agent.run_sync("Book.", run_id="r1").output)
    keys = call_keys(durable)
    assert keys[0].startswith("clerk__function_toolset__days.call_tool:book[pyd_ai_")
    assert keys[1:] == ["clerk__model.request[r1.1]#0".removesuffix("#0"), "clerk__model.request[r1.2]"]


def test_a_name_and_an_id_that_are_too_long_or_have_signs_in_them_are_kept(
    durable: Durable, world: World
) -> None:
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    from evercell.pydantic_ai import Durability

    ids = ["a/b#1[x]", "i" * 300, "ü\0", ""]

    async def say(messages: list[Any], info: Any) -> Any:
        world.requests += 1
        if len(messages) > 1:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("book", {"n": n}, i) for n, i in enumerate(ids)])

    from pydantic_ai import Agent

    agent: Any = Agent(FunctionModel(say), name="a/ü <b>" * 60, capabilities=[Durability()])

    @agent.tool_plain
    async def book(n: int) -> int:
        world.effects.append(str(n))
        return n

    dies_at_each_commit(durable, world, lambda: agent.run_sync("Book.").output)


def test_tokens_and_cost_are_kept_with_each_request(durable: Durable, world: World) -> None:
    from evercell.pydantic_ai import Durability

    model = world.model("done")
    durability = Durability(prices={model.model_name: (1e6, 2e6)})
    agent = world.agent("done", durability=durability)
    durable.step("s", lambda: agent.run_sync("Go.").output)
    assert durable.calls is not None
    step = durable.calls.step
    found = durable.workspace.store.calls.of_step(durable.run.id, step.name, step.key)
    told = next(call.tries[-1] for call in found if "model" in call.name)
    assert told["tokens_in"] > 0 and told["tokens_out"] > 0
    assert told["cost"] == told["tokens_in"] + 2 * told["tokens_out"]
