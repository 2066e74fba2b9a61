"""Evaluators of pydantic-evals judge a recorded run, offline, as they judge what they watch live."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import evercell
from evercell.engine.evals.evaluating import evaluate, judged
from evercell.engine.evals.evaluator_files import read_evaluators
from evercell.testing import Durable, SetClock
from tests.model_server import model_server
from tests.unit.sessions import workspace_in
from tests.unit.test_trace import asked_for

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

EVALS = """
from dataclasses import dataclass
from pydantic_evals.evaluators import (
    ArgumentCorrectness, Evaluator, HasMatchingSpan, MaxModelRequests, MaxToolCalls, ToolCorrectness, TrajectoryMatch,
)

@dataclass
class OwnKind(Evaluator):
    async def evaluate(self, ctx):
        return {"its own": len(list(ctx.span_tree)) > 3}

def named(name, evaluator):
    evaluator.evaluation_name = name
    return evaluator

ALL = [
    named("tools", ToolCorrectness(["look", "refund", "refund"])),
    named("tools, but for one", ToolCorrectness(["look"])),
    named("tools, and more", ToolCorrectness(["look"], allow_extra=True)),
    named("tools that failed, too", ToolCorrectness(["look", "refund", "refund", "refund"], include_failed=True)),
    named("way", TrajectoryMatch(["look", "refund", "refund"], order="exact")),
    named("other way", TrajectoryMatch(["refund", "look"])),
    named("any way", TrajectoryMatch(["refund", "look", "refund"], order="any_order")),
    named("arguments", ArgumentCorrectness("refund", {"order": 7, "amount": 4.5}, match_mode="exact")),
    named("last arguments", ArgumentCorrectness("refund", {"order": 8}, occurrence="last")),
    named("wrong arguments", ArgumentCorrectness("refund", {"amount": 5.0})),
    named("no such tool", ArgumentCorrectness("mail", {})),
    named("few tools", MaxToolCalls(4)),
    named("too many tools", MaxToolCalls(2)),
    named("few requests", MaxModelRequests(3)),
    named("too many requests", MaxModelRequests(2)),
    HasMatchingSpan(query={"name_equals": "execute_tool look"}, evaluation_name="looks"),
]
"""

VERDICTS = {
    "tools": True, "tools, but for one": False, "tools, and more": True, "tools that failed, too": True,
    "way": 1.0, "other way": 0.4, "any way": 1.0, "arguments": True, "last arguments": True,
    "wrong arguments": False, "no such tool": False, "few tools": True, "too many tools": False,
    "few requests": True, "too many requests": False, "looks": True,
}  # fmt: skip


@pytest.fixture
def durable(tmp_path: Path) -> Iterator[Durable]:
    with workspace_in(tmp_path) as workspace:  # whose clock goes on
        yield Durable(workspace, SetClock())


def agent_of(capabilities: list[Any]) -> Any:
    from pydantic_ai import Agent, ModelRetry
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    turns: list[Any] = [
        [("look", {"order": 7})],
        [("refund", {"order": 7, "amount": 4.5}), ("refund", {"order": 9, "amount": 1.0})],
        [("refund", {"order": 8, "amount": 1.0})],
        "done",
    ]

    def say(messages: list[Any], info: Any) -> Any:
        turn = turns[sum(isinstance(message, ModelResponse) for message in messages)]
        if isinstance(turn, str):
            return ModelResponse(parts=[TextPart(turn)])
        return ModelResponse(parts=[ToolCallPart(name, given) for name, given in turn])

    agent = Agent(FunctionModel(say), name="clerk", capabilities=capabilities, retries=2)

    @agent.tool_plain
    async def look(order: int) -> str:
        return "it came broken " * 20

    @agent.tool_plain(sequential=True)
    async def refund(order: int, amount: float) -> str:
        if order == 9:
            raise ModelRetry("there is no such order")
        return "done"

    return agent


def verdicts(said: Any) -> dict[str, Any]:
    """What evercell keeps, as pydantic-evals says it."""
    return {one.name: one.error or (one.passes if one.passes is not None else one.value) for one in said}


def watched_live(path: Path) -> dict[str, Any]:
    """The same agent, watched by pydantic-ai's own instrumentation."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from pydantic_ai.capabilities.instrumentation import Instrumentation
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_evals.evaluators import EvaluatorContext
    from pydantic_evals.otel.span_tree import SpanNode, SpanTree

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    asyncio.run(
        agent_of([Instrumentation(InstrumentationSettings(tracer_provider=provider))]).run("Order 7.")
    )
    tree = SpanTree()
    tree.add_spans([SpanNode.from_readable_span(span) for span in exporter.get_finished_spans()])
    context: Any = EvaluatorContext(
        name="live", inputs="Order 7.", metadata=None, expected_output=None, output="done", duration=1.0,
        _span_tree=tree, attributes={}, metrics={},
    )  # fmt: skip
    scope: dict[str, Any] = {}
    exec(path.read_text(), scope)
    found = {one.get_default_evaluation_name(): one.evaluate_sync(context) for one in scope["ALL"]}
    return {name: getattr(value, "value", value) for name, value in found.items()}


def test_the_verdicts_on_a_recorded_run_are_those_on_the_live_one(durable: Durable, tmp_path: Path) -> None:
    from evercell.pydantic_ai import Durability

    (tmp_path / "evals.py").write_text(EVALS.replace("MaxModelRequests(3)", "MaxModelRequests(4)"))
    agent = agent_of([Durability()])

    async def answer() -> str:
        return str((await agent.run("Order 7.")).output)

    assert durable.step("agent", answer) == "done"
    said = verdicts(evaluate(judged(durable.workspace, durable.run), read_evaluators(tmp_path / "evals.py")))
    assert said.pop("its own") is True
    assert said == watched_live(tmp_path / "evals.py")
    assert said == VERDICTS


def test_a_loop_of_ones_own_is_judged_as_well(durable: Durable, tmp_path: Path) -> None:
    """A recorded client, and tools under ``@evercell.step``."""

    @evercell.step
    def look(order: int) -> str:
        return "broken"

    @evercell.step
    def refund(order: int, amount: float) -> str:
        if order == 9:
            raise ValueError("there is no such order")
        return "done"

    tools = {"look": look, "refund": refund}
    (tmp_path / "evals.py").write_text(EVALS)
    with model_server() as server, httpx.Client(base_url=server.url) as inner:
        client = evercell.record(inner)
        given = [
            ("look", {"order": 7}),
            ("refund", {"order": 7, "amount": 4.5}),
            ("refund", {"order": 9, "amount": 1.0}),
        ]
        question = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        server.scripted += [asked_for(name, arguments) for name, arguments in given]

        def loop() -> None:
            for _ in range(3):
                answer = client.post("/chat/completions", json=question)
                (call,) = answer.json()["choices"][0]["message"]["tool_calls"]
                arguments = json.loads(call["function"]["arguments"])
                try:
                    tools[call["function"]["name"]](**arguments)
                except ValueError:
                    refund(order=8, amount=1.0)

        durable.step("agent", loop)
    said = verdicts(evaluate(judged(durable.workspace, durable.run), read_evaluators(tmp_path / "evals.py")))
    assert said == {**VERDICTS, "its own": True}
