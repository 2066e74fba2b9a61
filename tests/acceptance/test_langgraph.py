"""A LangGraph graph in a notebook whose kernel is killed: P1, and a branch that sees the thread as of its step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone

pytestmark = [pytest.mark.agents, pytest.mark.kernel, pytest.mark.filterwarnings("default")]

NewKernel = Callable[..., Kernel]

SETUP = """%%setup tools
import operator
from typing import Annotated, TypedDict
import evercell
from evercell.langgraph import Saver
from langgraph.graph import START, StateGraph

class State(TypedDict):
    log: Annotated[list, operator.add]

@evercell.step
def effect(name):
    with open({path!r}, "a") as file:
        file.write(name + "\\n")
    return "did " + name

graph = StateGraph(State)
graph.add_node("a", lambda state: {{"log": [effect("a" + str(len(state["log"])))]}})
graph.add_node("b", lambda state: {{"log": [effect("b")]}})
graph.add_node("c", lambda state: {{"log": [effect("c")]}})
graph.add_node("d", lambda state: {{"log": [effect("d")]}})
for before, after in [(START, "a"), ("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]:
    graph.add_edge(before, after)
agent = graph.compile(checkpointer=Saver())
THREAD = {{"configurable": {{"thread_id": "the agent's"}}}}
"""

ONE = "%%step one\nlog = agent.invoke({'log': ['one']}, THREAD)['log']"
TWO = "%%step two\nlog = agent.invoke({'log': ['two']}, THREAD)['log']"


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_a_graphs_kernel_killed_at_every_commit_comes_to_the_same_state_with_each_effect_once(
    new_kernel: NewKernel, counter: Counter
) -> None:
    setup = SETUP.format(path=str(counter.path))
    for fault in (
        "after_call_commit:1",
        "after_call_commit:2",
        "after_thread_commit:4",
        "after_thread_writes_commit:4",
    ):
        kernel = new_kernel(EVERCELL_FAULT=fault)
        assert kernel.run(setup).status == "ok"
        with pytest.raises(KernelGone):
            kernel.run(ONE)
    kernel = new_kernel()
    kernel.run(setup)
    assert kernel.run(ONE).status == "ok"
    assert kernel.value("log") == ["one", "did a1", "did b", "did c", "did d"]
    assert sorted(counter.path.read_text().split()) == ["a1", "b", "c", "d"]
    kernel.run(TWO)
    assert kernel.value("(len(log), len(agent.get_state(THREAD).values['log']))") == (10, 10)

    kernel.run("%branch --from one --name what-if")
    assert kernel.value("len(agent.get_state(THREAD).values['log'])") == 5
    shown = kernel.run("%%step three\nlog = agent.invoke({'log': ['three']}, THREAD)['log']")
    assert shown.status == "ok", shown.error
    assert kernel.value("(len(log), log[5])") == (10, "three")
