"""P1 for model calls: every request once, through a real client and a real server that fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

import evercell
from evercell.testing import Durable
from tests.model_server import ModelServer, model_server


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as started:
        yield started


@pytest.fixture
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url, api_key="k", max_retries=0, timeout=60) as made:
        yield made


def ask(client: Any, text: str, **options: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return client.chat.completions.create(model="m", messages=messages, **options)


def test_each_request_is_asked_once_though_the_agent_died(
    durable: Durable, server: ModelServer, client: openai.OpenAI
) -> None:
    recorded = evercell.record(client, prices={"m": (1.0, 2.0)})

    def agent() -> list[str]:
        return [ask(recorded, f"question {n}").choices[0].message.content for n in range(4)]

    with durable.dies_at("after_call_commit", 2):
        durable.step("agent", agent)
    answers = durable.step("agent", agent)
    assert answers[3] == "3 noitseuq" and len(server.requests) == 4
    tries = durable.workspace.store.calls.tries(durable.run.id, "agent")
    last = tries["POST 127.0.0.1/v1/chat/completions#3"][-1]
    assert (last["tokens_in"], last["tokens_out"], last["cost"]) == (10, 5, 2e-05) and last["seconds"] > 0


@pytest.mark.parametrize("fault", [429, "timeout", "drop"])
def test_a_server_that_fails_is_asked_again(
    durable: Durable, server: ModelServer, client: openai.OpenAI, fault: int | str
) -> None:
    if fault == "timeout":
        client = client.with_options(timeout=1)
    recorded = evercell.record(client, retries=3, backoff=0.01)
    server.faults = [fault, fault]
    answer = durable.step("agent", lambda: ask(recorded, "hello").choices[0].message.content)
    assert answer == "olleh" and len(server.requests) == 3
    tries = durable.workspace.store.calls.tries(durable.run.id, "agent")[
        "POST 127.0.0.1/v1/chat/completions#0"
    ]
    assert [bool(t["error"]) for t in tries] == [True, True, False]


def test_a_stream_replays_as_a_stream(durable: Durable, server: ModelServer, client: openai.OpenAI) -> None:
    recorded = evercell.record(client)

    def agent() -> str:
        parts = ask(recorded, "one two three", stream=True)
        text = "".join(part.choices[0].delta.content for part in parts)
        evercell.now()
        return text

    with durable.dies_at("after_call_commit", 2):
        durable.step("agent", agent)
    assert durable.step("agent", agent) == "eerht owt eno " and len(server.requests) == 1


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_stream_that_cannot_begin_is_asked_for_again(
    durable: Durable, server: ModelServer, client: openai.OpenAI, is_async: bool
) -> None:
    options: dict[str, Any] = {"retries": 3, "backoff": 0.01}

    def agent() -> str:
        parts = ask(evercell.record(client, **options), "one two", stream=True)
        return "".join(part.choices[0].delta.content for part in parts)

    async def async_agent() -> str:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as opened:
            parts = await ask(evercell.record(opened, **options), "one two", stream=True)
            return "".join([part.choices[0].delta.content async for part in parts])

    server.faults = [429, 429]
    assert (
        durable.step("agent", async_agent if is_async else agent) == "owt eno " and len(server.requests) == 3
    )


def test_an_asynchronous_client(durable: Durable, server: ModelServer) -> None:
    async def agent() -> list[str]:
        async with openai.AsyncOpenAI(base_url=server.url, api_key="k", max_retries=0) as client:
            recorded = evercell.record(client)
            whole = await evercell.aio.gather(*(ask(recorded, f"q{n}") for n in range(3)))
            stream = await ask(recorded, "x y", stream=True)
            text = "".join([part.choices[0].delta.content async for part in stream])
        evercell.now()
        return [w.choices[0].message.content for w in whole] + [text]

    with durable.dies_at("after_call_commit", 5):
        durable.step("agent", agent)
    assert durable.step("agent", agent) == ["0q", "1q", "2q", "y x "] and len(server.requests) == 4


def test_outside_of_a_step_it_is_the_client(server: ModelServer, client: openai.OpenAI) -> None:
    recorded = evercell.record(client)
    assert ask(recorded, "ab").choices[0].message.content == "ba"
    assert recorded is client
