"""P1 for agents with tools of an MCP server, a process of its own: killed at each commit, each call happens once."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from evercell.testing import Durable
from tests.agents import call_keys

pytestmark = [pytest.mark.agents, pytest.mark.filterwarnings("default")]

SERVER = """
import sys
from mcp.server import MCPServer
server = MCPServer("shop")

@server.tool()
def book(day: str) -> str:
    open(sys.argv[1], "a").write(day + "\\n")
    return f"{day} is booked"

server.run(transport="stdio")
"""


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    """What Python starts the server with; the last one is the file in which it notes its calls."""
    (tmp_path / "server.py").write_text(SERVER)
    return [str(tmp_path / "server.py"), str(tmp_path / "effects.txt")]


def books_once(durable: Durable, make: Callable[[], Callable[[], Any]], effects: Path) -> Iterator[str]:
    """The step is run, and killed at each of its commits in turn; the keys of its calls."""
    assert durable.step("whole", make()) == "booked"
    yield from call_keys(durable)
    assert durable.calls is not None
    for number in range(1, durable.calls.executed + 1):
        effects.unlink(missing_ok=True)
        agent = make()
        with durable.dies_at("after_call_commit", number):
            durable.step(f"killed {number}", agent)
        assert durable.step(f"killed {number}", agent) == "booked"
        assert effects.read_text() == "Mon\n", f"killed at {number}"


def test_pydantic_ai(durable: Durable, arguments: list[str]) -> None:
    from fastmcp.client.transports import StdioTransport
    from pydantic_ai import Agent
    from pydantic_ai.mcp import MCPToolset
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    from evercell.pydantic_ai import Durability

    def say(messages: list[Any], info: Any) -> Any:
        part = TextPart("booked") if len(messages) > 1 else ToolCallPart("book", {"day": "Mon"}, "c1")
        return ModelResponse(parts=[part])

    toolset: Any = MCPToolset(StdioTransport(sys.executable, arguments, keep_alive=False), id="shop")
    agent: Any = Agent(FunctionModel(say), name="clerk", toolsets=[toolset], capabilities=[Durability()])

    async def whole() -> str:
        return str((await agent.run("Book.")).output)

    keys = list(books_once(durable, lambda: whole, Path(arguments[-1])))
    assert keys[:2] == ["clerk__mcp_server__shop.call_tool:book[c1]", "clerk__mcp_server__shop.get_tools#0"]


def test_openai_agents(durable: Durable, arguments: list[str]) -> None:
    from agents import Agent, set_tracing_disabled
    from agents.mcp import MCPServerStdio
    from agents.testing import ScriptedModel, assistant_message, function_call

    from evercell.openai_agents import run

    set_tracing_disabled(True)

    def make() -> Callable[[], Any]:
        call = function_call("book", {"day": "Mon"}, call_id="c1")
        model = ScriptedModel([[call], [assistant_message("booked")]])

        async def whole() -> Any:
            async with MCPServerStdio(params={"command": sys.executable, "args": arguments}) as server:
                agent: Any = Agent(name="clerk", model=model, mcp_servers=[server])
                return (await run(agent, "Book.")).final_output

        return whole

    assert "tool:book[c1]" in list(books_once(durable, make, Path(arguments[-1])))
