"""P1 and P7 for agents of frameworks in real kernels: killed, asked, answered and gone on with by other processes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from evercell.engine.settings import resolve_settings
from evercell.engine.workspace import open_workspace
from evercell.headless.demo import shipped_notebook
from tests.agents import answering_all
from tests.commands import run_program
from tests.conftest import Counter
from tests.kernels import Kernel

pytestmark = [pytest.mark.agents, pytest.mark.kernel]

Command = Callable[..., subprocess.CompletedProcess[str]]
EVERCELL = str(Path(sys.executable).with_name("evercell"))

PYDANTIC_AI = """
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from evercell.pydantic_ai import Durability

def say(messages, info):
    COUNT_ASKED
    turns = [[ToolCallPart("look", {})], [ToolCallPart("pay", {"sum": 7})], [TextPart("paid")]]
    return ModelResponse(parts=turns[sum(isinstance(message, ModelResponse) for message in messages)])

agent = Agent(FunctionModel(say), name="clerk", capabilities=[Durability()])

@agent.tool_plain
def look() -> str:
    COUNT_LOOKED
    dies_the_first_time()
    return "7 are due"

@agent.tool_plain(requires_approval=True)
def pay(sum: int) -> str:
    COUNT_PAID
    open("paid.txt", "a").write(f"{sum}\\n")
    return "paid"

async def work():
    return (await agent.run("Pay what is due.")).output
"""

OPENAI_AGENTS = """
from agents import Agent, Model, ModelResponse, function_tool, set_tracing_disabled
from agents.testing import assistant_message, function_call
from agents.usage import Usage
from evercell.openai_agents import run

set_tracing_disabled(True)

class Saying(Model):
    async def get_response(self, system_instructions, input, *args, **kwargs):
        COUNT_ASKED
        turn = sum(item.get("type") == "function_call" for item in input) if isinstance(input, list) else 0
        turns = [function_call("look", {}, call_id="1"), function_call("pay", {"sum": 7}, call_id="2")]
        return ModelResponse([[*turns, assistant_message("paid")][turn]], Usage(), None)

    def stream_response(self, *args, **kwargs):
        raise NotImplementedError

@function_tool
def look() -> str:
    COUNT_LOOKED
    dies_the_first_time()
    return "7 are due"

@function_tool(needs_approval=True)
def pay(sum: int) -> str:
    COUNT_PAID
    open("paid.txt", "a").write(f"{sum}\\n")
    return "paid"

agent = Agent(name="clerk", model=Saying(), tools=[look, pay])

async def work():
    return (await run(agent, "Pay what is due.")).final_output
"""

DYING = """
import os, pathlib, signal
def dies_the_first_time():
    if not pathlib.Path("died.txt").exists():
        pathlib.Path("died.txt").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def command(tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``evercell WORDS`` on the test's store."""
    monkeypatch.setenv("EVERCELL_STORE", store_url)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return run_program(
            [EVERCELL, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return run


def write(path: Path, agent: str, counter: Counter, header: str) -> None:
    """A notebook with an agent whose kernel dies in its first tool, and whose second one asks."""
    for word in ("asked", "looked", "paid"):
        agent = agent.replace(f"COUNT_{word.upper()}", counter.cell(word))
    cells = [f"{header}{DYING}{agent}", "%%step pay\nsaid = await work()\nprint(said)"]
    nodes = [nbformat.v4.new_code_cell(source, id=f"c{n}") for n, source in enumerate(cells)]
    nbformat.write(nbformat.v4.new_notebook(cells=nodes), path)


@pytest.mark.parametrize(
    ("framework", "edits", "paid"), [("PYDANTIC_AI", ["--set", "sum=5"], 5), ("OPENAI_AGENTS", [], 7)]
)
@pytest.mark.parametrize(
    ("store_url", "header"),
    [("sqlite", "%%setup"), pytest.param("postgres", "", marks=pytest.mark.postgres)],
    indirect=["store_url"],
)
def test_an_agent_is_killed_asks_without_a_kernel_and_goes_on_in_a_new_one(
    tmp_path: Path,
    command: Command,
    counter: Counter,
    framework: str,
    edits: list[str],
    paid: int,
    header: str,
) -> None:
    write(tmp_path / "agent.ipynb", globals()[framework], counter, header)
    done = command("run", "agent.ipynb", "--wait-grace", "0")
    assert done.returncode == 75, done.stderr
    assert "pay(sum=7)" in done.stderr
    assert counter.words() == ["asked", "looked", "looked", "asked"], "but for the tool that it died in"
    shown = nbformat.read(tmp_path / "agent.out.ipynb", as_version=4)
    assert not any(
        output.output_type == "error" for cell in shown.cells for output in cell.get("outputs", ())
    )

    assert len(json.loads(command("inbox", "--json").stdout)) == 1, "it is asked once"
    assert command("approve", "agent-1", *edits).returncode == 0
    done = command("resume", "agent-1")
    assert done.returncode == 0, done.stderr
    assert counter.words() == ["asked", "looked", "looked", "asked", "paid", "asked"]
    assert (tmp_path / "paid.txt").read_text() == f"{paid}\n"
    assert "paid" in (tmp_path / "agent.out.ipynb").read_text()


SAYING = {
    "pydantic-ai": (
        """
from pydantic_ai import Agent
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from evercell.pydantic_ai import Durability

def say(messages, info):
    return ModelResponse(parts=[TextPart("done")])

agent = Agent(FunctionModel(say), name="clerk", capabilities=[Durability()])
""",
        "result = await agent.run('Hi')",
        "(result.output, len(result.all_messages()))",
    ),
    "OpenAI Agents": (
        """
from agents import Agent, Model, ModelResponse, set_tracing_disabled
from agents.testing import assistant_message
from agents.usage import Usage
from evercell.openai_agents import Session, run
set_tracing_disabled(True)

class Saying(Model):
    async def get_response(self, *args, **kwargs):
        return ModelResponse([assistant_message("done")], Usage(), None)

    def stream_response(self, *args, **kwargs):
        raise NotImplementedError

agent, talk = Agent(name="clerk", model=Saying()), Session("talk")
""",
        "result = await run(agent, 'Hi', session=talk)",
        "(result.final_output, len(result.to_input_list()))",
    ),
}


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("framework", SAYING)
def test_an_agent_its_result_and_its_session_come_back_in_a_new_kernel(
    new_kernel: Callable[..., Kernel], framework: str
) -> None:
    """Agents that were made in a plain cell, too."""
    cell, work, shown = SAYING[framework]
    kernel = new_kernel()
    assert kernel.run(cell).status == "ok"
    worked = kernel.run(f"%%step one\n{work}")
    assert worked.status == "ok" and "not kept" not in worked.notes, worked.error or worked.notes
    kernel.kill()
    kernel = new_kernel()
    resumed = kernel.run("%resume")
    assert "resumed" in resumed.text and "not kept" not in resumed.text
    assert kernel.value(shown) == ("done", 2)
    if framework == "OpenAI Agents":
        assert kernel.value("len(await talk.get_items())") == 2
    again = kernel.run(f"%%step two\n{work}\nprint({shown})")
    assert again.status == "ok" and "('done', " in again.text, again.error


# -- the notebook ---------------------------------------------------------------------------------


def test_the_notebook_shows_what_its_stored_outputs_say(
    tmp_path: Path, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(shipped_notebook("pydantic_ai_agent.ipynb"), tmp_path)
    monkeypatch.setenv("EVERCELL_STORE", store_url)
    nbval = [sys.executable, "-m", "pytest", "--nbval", "-q", "-p", "no:cacheprovider", "-W", "ignore"]
    with open_workspace(resolve_settings()) as workspace, answering_all(workspace) as titles:
        done = run_program(
            [*nbval, "--rootdir", str(tmp_path), "-c", "/dev/null", str(tmp_path / "pydantic_ai_agent.ipynb")],
            capture_output=True, text=True, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout and titles == ["refund(order=7, amount=25.0)"]


def test_the_notebook_pays_once_though_its_kernel_is_killed_and_its_amount_changed(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(shipped_notebook("pydantic_ai_agent.ipynb"), tmp_path)
    monkeypatch.setenv("EVERCELL_FAULT", "after_call_commit:4")  # in each of its kernels
    done = command("run", "pydantic_ai_agent.ipynb", "--wait-grace", "0")
    assert done.returncode == 75 and "the kernel died" in done.stderr, done.stderr
    assert not (tmp_path / "refunds.txt").exists()
    assert command("approve", "pydantic_ai_agent-1", "--set", "amount=20").returncode == 0
    monkeypatch.delenv("EVERCELL_FAULT")
    done = command("resume", "pydantic_ai_agent-1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "refunds.txt").read_text() == "7 20.00\n"
