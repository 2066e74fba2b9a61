"""A LangGraph graph in a notebook whose kernel is killed: P1, and a branch that sees the thread as of its step."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from evercell.engine.approvals.deciding import answer, waiting_for
from evercell.engine.settings import Settings
from evercell.engine.workspace import open_workspace
from evercell.headless.demo import shipped_notebook
from tests.conftest import Counter
from tests.kernels import Kernel, KernelGone
from tests.waiting import wait_until

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


NOTEBOOK = "langgraph_agent.ipynb"


def test_the_notebook_shows_what_its_stored_outputs_say(tmp_path: Path) -> None:
    shutil.copy(shipped_notebook(NOTEBOOK), tmp_path)
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path / NOTEBOOK)],
        capture_output=True, text=True, cwd=tmp_path, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_notebooks_agent_is_killed_approved_with_another_amount_and_resumed(
    new_kernel: NewKernel, store_url: str, home: Path
) -> None:
    """Killed after the model's first answer, and once more while the question waits."""
    cells = [
        c for c in nbformat.read(shipped_notebook(NOTEBOOK), as_version=4).cells if c.cell_type == "code"
    ]
    *before, step = [cell for cell in cells if cell.id in ("load", "parameters", "model", "agent", "step")]

    def start(**environ: str) -> Kernel:
        kernel = new_kernel(load=False, **environ)
        for cell in before:
            source = "patience = None" if cell.id == "parameters" else cell.source
            assert kernel.run(source, cell_id=cell.id).status == "ok"
        return kernel

    with pytest.raises(KernelGone):
        start(EVERCELL_FAULT="after_call_commit:1").run(step.source, cell_id=step.id)
    kernel = start()
    kernel.send(step.source, cell_id=step.id)
    with open_workspace(Settings(store_url, home / "jupyter_data_dir" / "evercell" / "key")) as workspace:
        wait_until(lambda: bool(waiting_for(workspace)), "the question is asked")
        (waiting,) = waiting_for(workspace)
        kernel.kill()
        answer(workspace, waiting.id, "Approve", by="ann", via="web page", values={"amount": 40})
        kernel = start()
        assert kernel.run(step.source, cell_id=step.id).status == "ok"
        assert len(waiting_for(workspace)) == 0 and len(workspace.store.approvals.all()) == 1
        run = workspace.store.runs.all()[0]
        tries = workspace.store.calls.tries(run.id, "settle")
    assert str(kernel.value("answer")).endswith("paid 40 to Ann")
    assert all(len(found) == 1 for found in tries.values()) and len(tries) == 4
