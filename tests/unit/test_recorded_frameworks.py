"""P1 for agents: what asks through a framework asks once, and on replay not at all."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pydantic
import pytest

import evercell
from evercell.testing import Durable
from tests.model_server import ModelServer, model_server

pytestmark = pytest.mark.filterwarnings("default")

KEY = "sk-very-secret-key-0123456789"


class Reply(pydantic.BaseModel):
    said: str


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as started:
        yield started


def _chat(server: ModelServer) -> Any:
    from langchain_openai import ChatOpenAI

    return evercell.record(ChatOpenAI(model="m", base_url=server.url, api_key=KEY, max_retries=0))


def _claude(server: ModelServer) -> Any:
    from langchain_anthropic import ChatAnthropic

    address = server.url.removesuffix("/v1")
    return evercell.record(ChatAnthropic(model="m", base_url=address, api_key=KEY, max_retries=0))


def _agent(server: ModelServer) -> Any:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider = OpenAIProvider(base_url=server.url, api_key=KEY)
    return evercell.record(Agent(OpenAIChatModel("m", provider=provider)))


def _litellm(server: ModelServer, *, asynchronous: bool = False) -> Any:
    import litellm

    if asynchronous:
        litellm.aclient_session = httpx.AsyncClient(transport=evercell.transport())
        ask = litellm.acompletion
    else:
        litellm.client_session = httpx.Client(transport=evercell.transport())
        ask = litellm.completion
    messages = [{"role": "user", "content": "abc"}]
    return ask(model="openai/m", api_base=server.url, api_key=KEY, messages=messages, num_retries=0)


def _smol(server: ModelServer) -> Any:
    from smolagents import OpenAIServerModel

    return evercell.record(OpenAIServerModel(model_id="m", api_base=server.url, api_key=KEY))


def _smol_agent(server: ModelServer) -> str:
    from smolagents import ToolCallingAgent

    return str(ToolCallingAgent(tools=[], model=_smol(server), max_steps=1, verbosity_level=0).run("abc"))


def _dspy(server: ModelServer, *, asynchronous: bool = False) -> Any:
    import dspy
    import litellm

    if asynchronous:
        litellm.aclient_session = httpx.AsyncClient(transport=evercell.transport())
    else:
        litellm.client_session = httpx.Client(transport=evercell.transport())
    model = dspy.LM(
        "openai/m", api_base=server.url, api_key=KEY, cache=False, num_retries=0, engine="litellm"
    )
    return model.acall("abc") if asynchronous else model("abc")


async def _dspy_async(server: ModelServer) -> Any:
    return await _dspy(server, asynchronous=True)


def _instructor(server: ModelServer) -> str:
    import instructor
    from openai import OpenAI

    recorded = evercell.record(OpenAI(base_url=server.url, api_key=KEY, max_retries=0))
    client = instructor.from_openai(recorded, mode=instructor.Mode.JSON)
    asked: Any = [{"role": "user", "content": "abc"}]
    return str(client.chat.completions.create(model="m", response_model=Reply, messages=asked).said)


SMOL_MESSAGE: list[Any] = [{"role": "user", "content": [{"type": "text", "text": "abc def"}]}]


async def _langchain_async(server: ModelServer) -> str:
    chat = _chat(server)
    whole = (await chat.ainvoke("abc")).content
    return str(whole) + "".join([part.content async for part in chat.astream("abc def")])


async def _agent_async(server: ModelServer) -> str:
    return str((await _agent(server).run("abc")).output)


async def _agent_stream(server: ModelServer) -> list[str]:
    async with _agent(server).run_stream("abc def") as answer:
        return [text async for text in answer.stream_text(delta=True, debounce_by=None)]


async def _litellm_async(server: ModelServer) -> str:
    return str((await _litellm(server, asynchronous=True)).choices[0].message.content)


ENTRIES: dict[str, Callable[[ModelServer], Any]] = {
    "langchain-openai, invoke": lambda s: _chat(s).invoke("abc").content,
    "langchain-openai, structured": lambda s: (
        _chat(s).with_structured_output(Reply, method="json_schema").invoke("abc").said
    ),
    "langchain-openai, stream": lambda s: "".join(part.content for part in _chat(s).stream("abc def")),
    "langchain-openai, async": _langchain_async,
    "langchain-anthropic, invoke": lambda s: _claude(s).invoke("abc").content,
    "pydantic-ai, run_sync": lambda s: _agent(s).run_sync("abc").output,
    "pydantic-ai, run": _agent_async,
    "pydantic-ai, run_stream": _agent_stream,
    "litellm, completion": lambda s: _litellm(s).choices[0].message.content,
    "litellm, acompletion": _litellm_async,
}

MORE: dict[str, Callable[[ModelServer], Any]] = {
    "smolagents, generate": lambda s: _smol(s).generate(SMOL_MESSAGE).content,
    "smolagents, generate_stream": lambda s: "".join(
        part.content or "" for part in _smol(s).generate_stream(SMOL_MESSAGE)
    ),
    "smolagents, ToolCallingAgent": _smol_agent,
    "dspy, LM": _dspy,
    "dspy, acall": _dspy_async,
    "instructor, create": _instructor,
}


@pytest.mark.parametrize(
    "entry",
    [
        *(pytest.param(entry, marks=pytest.mark.agents) for entry in ENTRIES),
        *(pytest.param(entry, marks=pytest.mark.more_agents) for entry in MORE),
    ],
)
def test_a_framework_asks_once_and_replays_without_a_request(
    durable: Durable, server: ModelServer, entry: str
) -> None:
    ask = {**ENTRIES, **MORE}[entry]

    def agent() -> Any:
        said = ask(server)
        evercell.now()
        return said

    async def async_agent() -> Any:
        said = await ask(server)
        evercell.now()
        return said

    is_async = inspect.iscoroutinefunction(ask)
    whole: Any = async_agent if is_async else agent
    plain = asyncio.run(ask(server)) if is_async else ask(server)
    count = len(server.requests)
    with durable.dies_at("after_call_commit", count + 1):
        durable.step("agent", whole)
    assert count and len(server.requests) == 2 * count
    assert durable.step("agent", whole) == plain
    assert len(server.requests) == 2 * count
