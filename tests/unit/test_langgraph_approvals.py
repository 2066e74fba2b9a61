"""P7 for graphs: what a graph asks with ``interrupt`` is asked once and answered once, and no effect happens twice."""

from __future__ import annotations

import asyncio
import dataclasses
import operator
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pydantic
import pytest

import evercell
from evercell.core import faults
from evercell.core.approvals import Approval
from evercell.core.errors import Rejected
from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.calls.suspension import Suspended
from evercell.testing import Died, Durable

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

Effects = Counter[str]
Decide = Callable[[Approval], tuple[str, dict[str, Any] | None]]


class State(TypedDict):
    log: Annotated[list[Any], operator.add]


def _answering(durable: Durable, decide: Decide) -> list[Approval]:
    """Answers what waits; returns it."""
    found = list(waiting_for(durable.workspace, run_id=durable.run.id))
    for approval in found:
        choice, values = decide(approval)
        answer(
            durable.workspace,
            approval.id,
            choice,
            by="ann",
            via="web page",
            values=values,
            comment="as I say",
        )
    return found


def _until_done(
    durable: Durable, make: Callable[[], Callable[[], Any]], decide: Decide, *, name: str = "agent"
) -> tuple[Any, list[str]]:
    """Runs a step in a new "kernel" after each question; returns its result and the titles that were asked."""
    durable.workspace.settings = dataclasses.replace(durable.workspace.settings, wait_grace=0.0)
    asked: list[str] = []
    for _ in range(20):
        try:
            return durable.step(name, make()), asked
        except Suspended:
            asked += [approval.title for approval in _answering(durable, decide)]
    raise AssertionError("it never came to its end")


def _approve(approval: Approval) -> tuple[str, None]:
    return approval.question.choices[0], None


def _asking_graph(effects: Effects) -> Any:
    """A node with an effect before and after what it asks, beside another one that asks, too."""
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    @evercell.step
    def effect(name: str) -> str:
        effects[name] += 1
        return name

    def pay(state: State) -> dict[str, Any]:
        price = effect("quote")
        said = interrupt({"question": "Pay 100 €?", "price": price})
        return {"log": [said, effect("pay")]}

    def mail(state: State) -> dict[str, Any]:
        return {"log": [interrupt("Send <b>mail</b>?"), effect("mail")]}

    graph = StateGraph(State)
    graph.add_node("pay", pay)
    graph.add_node("mail", mail)
    graph.add_node("end", lambda state: {"log": [effect("end")]})
    for before, after in ((START, "pay"), (START, "mail"), ("pay", "end"), ("mail", "end")):
        graph.add_edge(before, after)
    return graph


def _asking(effects: Effects, way: str) -> Callable[[], Any]:
    from evercell.langgraph import durable as durable_graph

    graph = durable_graph(_asking_graph(effects).compile())
    start: Any = {"log": ["go"]}

    def invoke() -> Any:
        return graph.invoke(start)["log"]

    def stream() -> Any:
        return list(graph.stream(start, stream_mode="values"))[-1]["log"]

    async def ainvoke() -> Any:
        return (await graph.ainvoke(start))["log"]

    async def astream() -> Any:
        return [part async for part in graph.astream(start, stream_mode="values")][-1]["log"]

    return {"invoke": invoke, "stream": stream, "ainvoke": ainvoke, "astream": astream}[way]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_each_interrupt_is_asked_once_and_each_effect_happens_once(durable: Durable, way: str) -> None:
    effects = Effects()
    log, asked = _until_done(durable, lambda: _asking(effects, way), _approve)
    assert log == ["go", True, "mail", True, "pay", "end"]
    assert sorted(asked) == ["Pay 100 €?", "Send <b>mail</b>?"]
    assert effects == {"quote": 1, "pay": 1, "mail": 1, "end": 1}


@pytest.mark.parametrize("place", ["after_call_commit", "after_thread_commit", "after_thread_writes_commit"])
def test_a_graph_killed_at_any_commit_around_its_questions_asks_nothing_twice(
    durable: Durable, place: str
) -> None:
    durable.workspace.settings = dataclasses.replace(durable.workspace.settings, wait_grace=0.0)
    for number in range(1, 7):
        effects, asked, log = Effects(), [], None
        reached = 0

        def die(name: str, number: int = number) -> None:
            nonlocal reached
            reached += name == place
            if name == place and reached == number:
                raise Died(place)

        with faults.watched(die):
            for _ in range(20):
                try:
                    log = durable.step(f"agent {number}", _asking(effects, "invoke"))
                    break
                except (Suspended, Died):
                    asked += [approval.title for approval in _answering(durable, _approve)]
        assert reached >= number
        assert sorted(asked) == ["Pay 100 €?", "Send <b>mail</b>?"]
        assert effects == {"quote": 1, "pay": 1, "mail": 1, "end": 1}
        assert log == ["go", True, "mail", True, "pay", "end"]


def test_what_was_written_into_the_answer_is_what_the_graph_goes_on_with(durable: Durable) -> None:
    log, _ = _until_done(
        durable, lambda: _asking(Effects(), "invoke"), lambda _: ("Approve", {"answer": "only 50"})
    )
    assert log.count("only 50") == 2


# -- with a schema -------------------------------------------------------------------------------


class Trip(pydantic.BaseModel):
    city: str
    days: int = 3


def _with_schema(schema: Any) -> Callable[[], Any]:
    from langgraph.graph import START, StateGraph
    from langgraph.types import interrupt

    from evercell.langgraph import durable as durable_graph

    def ask(state: State) -> dict[str, Any]:
        said = interrupt("Where to?", response_schema=schema)
        return {"log": [said.model_dump() if isinstance(said, pydantic.BaseModel) else said]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    made = durable_graph(graph.compile())
    return lambda: made.invoke({"log": []})["log"]


@pytest.mark.parametrize(
    ("schema", "values", "said"),
    [(Trip, {"city": "Rome"}, {"city": "Rome", "days": 3}), (int, {"answer": "4"}, 4)],
)
def test_a_schema_is_the_form_of_the_question(durable: Durable, schema: Any, values: Any, said: Any) -> None:
    log, _ = _until_done(durable, lambda: _with_schema(schema), lambda _: ("Answer", values))
    assert log == [said]


def test_a_question_with_a_schema_that_is_refused_ends_the_step_with_what_to_do(durable: Durable) -> None:
    with pytest.raises(Rejected, match="did not answer 'Where to\\?'"):
        _until_done(durable, lambda: _with_schema(Trip), lambda _: ("Reject", {"city": ""}))


# -- LangChain's middleware ----------------------------------------------------------------------


def _agent(effects: Effects, mode: str) -> Callable[[], Any]:
    from langchain.agents import create_agent
    from langchain.agents.middleware import HumanInTheLoopMiddleware
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool

    from evercell.langgraph import durable as durable_graph

    class Scripted(GenericFakeChatModel):
        def bind_tools(self, tools: Any, **options: Any) -> Any:
            return self

    @tool
    def transfer(to: str, amount: int) -> str:
        """Transfer money."""

        @evercell.step
        def pay(to: str, amount: int) -> str:
            effects[f"{to} {amount}"] += 1
            return f"paid {amount} to {to}"

        return pay(to, amount)

    calls = [{"name": "transfer", "args": {"to": "Bob", "amount": 100}, "id": "call-1", "type": "tool_call"}]
    model = Scripted(messages=iter([AIMessage("", tool_calls=calls, id="m1"), AIMessage("done", id="m2")]))
    review = HumanInTheLoopMiddleware(
        interrupt_on={"transfer": {"allowed_decisions": ["approve", "edit", "reject", "respond"]}},
        **({"interrupt_mode": mode} if mode != "batched" else {}),
    )
    agent = durable_graph(create_agent(model, tools=[transfer], middleware=[review]))

    def run() -> list[str]:
        messages = agent.invoke({"messages": [("user", "pay Bob")]})["messages"]
        return [str(message.content) for message in messages if message.type == "tool"]

    return run


@pytest.mark.parametrize("mode", ["batched", "per_call"])
@pytest.mark.parametrize(
    ("choice", "values", "said", "paid"),
    [
        ("Approve", None, "paid 100 to Bob", {"Bob 100": 1}),
        ("Approve", {"amount": "5"}, "paid 5 to Bob", {"Bob 5": 1}),
        ("Edit", {"to": "Eve"}, "paid 100 to Eve", {"Eve 100": 1}),
        ("Respond", {"message": "he has it already"}, "he has it already", {}),
        ("Reject", None, "as I say", {}),
    ],
)
def test_a_tool_call_that_is_held_back_is_decided_by_a_person(
    durable: Durable, mode: str, choice: str, values: Any, said: str, paid: dict[str, int]
) -> None:
    effects = Effects()
    tools, asked = _until_done(durable, lambda: _agent(effects, mode), lambda _: (choice, values))
    assert asked == ["Call transfer(to='Bob', amount=100)?"]
    assert said in tools[0]
    assert effects == paid


def test_outside_of_a_step_it_is_the_graph_itself(tmp_path: Any) -> None:
    from evercell.langgraph import Saver
    from evercell.langgraph import durable as durable_graph

    thread = {"configurable": {"thread_id": "t"}}
    with Saver(str(tmp_path / "store.db")) as saver:
        graph = durable_graph(_asking_graph(Effects()).compile(checkpointer=saver))
        assert "__interrupt__" in graph.invoke({"log": []}, thread)
        assert len(graph.get_state(thread).interrupts) == 2
        assert "__interrupt__" in asyncio.run(graph.ainvoke({"log": []}, thread))
