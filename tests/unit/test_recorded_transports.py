"""P1 for whatever asks over HTTP: at first n requests, on replay none, whichever of a client's methods is called."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pydantic
import pytest
import requests

import evercell
from evercell.core.errors import NonDeterminism, UsageError
from evercell.core.queueing import Limit
from evercell.core.records import Blob
from evercell.testing import Died, Durable
from tests.model_server import ModelServer, model_server

KEY = "sk-very-secret-key-0123456789"


class Reply(pydantic.BaseModel):
    said: str


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with model_server() as started:
        yield started


ASKED: list[dict[str, Any]] = [{"role": "user", "content": "abc def"}]
CHAT: dict[str, Any] = {"model": "m", "messages": ASKED}
MESSAGES: dict[str, Any] = {**CHAT, "max_tokens": 9}


def _weather(client: Any) -> str:
    @anthropic.beta_tool
    def weather(city: str) -> str:
        """The weather of a city.

        Args:
            city: Its name.
        """
        return f"rain in {city}"

    runner = client.beta.messages.tool_runner(**MESSAGES, tools=[weather])
    return str(runner.until_done().content[0].text)


def _streamed(client: Any) -> str:
    with client.chat.completions.stream(**CHAT) as stream:
        return "".join(event.delta for event in stream if event.type == "content.delta")


def _raw_stream(client: Any) -> str:
    with client.chat.completions.with_streaming_response.create(**CHAT) as response:
        return str(json.loads(response.read())["choices"][0]["message"]["content"])


def _response_stream(client: Any) -> str:
    with client.responses.stream(model="m", input="abc def") as stream:
        return str(stream.get_final_response().output_text)


def _message_stream(client: Any) -> str:
    with client.messages.stream(**MESSAGES) as stream:
        return "".join(stream.text_stream)


OPENAI: dict[str, Callable[[Any], Any]] = {
    "chat.completions.create": lambda c: c.chat.completions.create(**CHAT).choices[0].message.content,
    "chat.completions.create, stream": lambda c: "".join(
        part.choices[0].delta.content for part in c.chat.completions.create(**CHAT, stream=True)
    ),
    "chat.completions.parse": lambda c: (
        c.chat.completions.parse(**CHAT, response_format=Reply).choices[0].message.parsed.said
    ),
    "chat.completions.stream": _streamed,
    "chat.completions.with_raw_response": lambda c: (
        c.chat.completions.with_raw_response.create(**CHAT).parse().choices[0].message.content
    ),
    "chat.completions.with_streaming_response": _raw_stream,
    "with_options": lambda c: (
        c.with_options(timeout=9).chat.completions.create(**CHAT).choices[0].message.content
    ),
    "responses.create": lambda c: c.responses.create(model="m", input="abc def").output_text,
    "responses.parse": lambda c: (
        c.responses.parse(model="m", input="abc def", text_format=Reply).output_parsed.said
    ),
    "responses.stream": _response_stream,
    "embeddings.create": lambda c: c.embeddings.create(model="m", input="x").data[0].embedding,
    "audio.transcriptions.create": lambda c: c.audio.transcriptions.create(model="m", file=b"x" * 99).text,
}
ANTHROPIC: dict[str, Callable[[Any], Any]] = {
    "messages.create": lambda c: c.messages.create(**MESSAGES).content[0].text,
    "messages.create, stream": lambda c: [part.type for part in c.messages.create(**MESSAGES, stream=True)],
    "messages.stream": _message_stream,
    "messages.count_tokens": lambda c: c.messages.count_tokens(**CHAT).input_tokens,
    "beta.messages.tool_runner": _weather,
}
ENTRIES = {
    **{f"openai {n}": f for n, f in OPENAI.items()},
    **{f"anthropic {n}": f for n, f in ANTHROPIC.items()},
}


def client_of(entry: str, server: ModelServer) -> Any:
    if entry.startswith("openai"):
        return openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0)
    return anthropic.Anthropic(base_url=server.url.removesuffix("/v1"), api_key=KEY, max_retries=0)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_point_asks_once_and_replays_without_a_request(
    durable: Durable, server: ModelServer, entry: str
) -> None:
    with client_of(entry, server) as client:
        assert evercell.record(client) is client
        ask = ENTRIES[entry]
        plain, before = ask(client), len(server.requests)

        def agent() -> list[Any]:
            answers = [ask(client), ask(client)]
            evercell.now()
            return answers

        count = 2 * before
        with durable.dies_at("after_call_commit", count + 1):
            durable.step("agent", agent)
        assert len(server.requests) == before + count
        assert durable.step("agent", agent) == [plain, plain]
        assert len(server.requests) == before + count, "a replay asked again"


async def _async_answers(server: ModelServer) -> list[Any]:
    one = openai.AsyncOpenAI(base_url=server.url, api_key=KEY, max_retries=0)
    two = anthropic.AsyncAnthropic(base_url=server.url.removesuffix("/v1"), api_key=KEY, max_retries=0)
    async with evercell.record(one) as one, evercell.record(two) as two:
        answers: list[Any] = [(await one.chat.completions.create(**CHAT)).choices[0].message.content]
        parts = await one.chat.completions.create(**CHAT, stream=True)
        answers.append("".join([part.choices[0].delta.content async for part in parts]))
        answers.append((await one.responses.create(model="m", input="abc")).output_text)
        async with one.responses.stream(model="m", input="abc") as stream:
            answers.append((await stream.get_final_response()).output_text)
        answers.append((await two.messages.create(**MESSAGES)).content[0].text)
        async with two.messages.stream(**MESSAGES) as messages:
            answers.append("".join([text async for text in messages.text_stream]))
    evercell.now()
    return answers


def test_asynchronous_clients_ask_once_too(durable: Durable, server: ModelServer) -> None:
    async def agent() -> list[Any]:
        return await _async_answers(server)

    plain = asyncio.run(agent())
    with durable.dies_at("after_call_commit", 7):
        durable.step("agent", agent)
    assert len(server.requests) == 12
    assert durable.step("agent", agent) == plain
    assert len(server.requests) == 12


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_what_is_stored_is_readable_and_holds_no_secret(
    durable: Durable, server: ModelServer, library: Any
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "X-Idempotency-Key": "random-1"}

    def agent() -> Any:
        with library.Client(transport=evercell.transport(), headers=headers) as client:
            answer = client.post(f"{server.url}/chat/completions?key={KEY}&n=1", json=CHAT)
        return answer.json()["choices"][0]["message"]["content"], answer.status_code, answer.reason_phrase

    assert durable.step("agent", agent) == ("fed cba", 200, "OK")
    found = durable.workspace.store.calls.of_step(durable.run.id, "agent", _key())
    content = found[0].value
    assert not isinstance(content, Blob)
    head, body = content.splitlines()[1:3]
    assert json.loads(head)["url"] == f"{server.url}/chat/completions?key=...&n=1"
    assert json.loads(body)["choices"][0]["message"]["content"] == "fed cba", "stored as it was decoded"
    assert KEY.encode() not in content and b"secret-cookie" not in content
    assert "200 OK" in found[0].tries[-1]["result"] and found[0].tries[-1]["tokens_in"] == 10


def _key() -> bytes:
    return sha256(b"agent").digest()


def test_an_sdk_that_tries_again_by_itself_neither_asks_nor_sleeps_on_replay(
    durable: Durable, server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=3) as client:
        evercell.record(client)

        def agent() -> str:
            answer = client.chat.completions.create(**CHAT).choices[0].message.content
            evercell.now()
            return str(answer)

        server.faults = [500, "drop", 503]
        with durable.dies_at("after_call_commit", 5):
            durable.step("agent", agent)
        assert len(server.requests) == 4
        monkeypatch.setattr("time.sleep", slept.append)
        assert durable.step("agent", agent) == "fed cba" and len(server.requests) == 4
    assert sum(slept) < 5 and sorted(slept)[0] < 0.1


def test_a_stream_that_is_left_early_by_choice_is_recorded_as_far_as_it_was_read(
    durable: Durable, server: ModelServer
) -> None:
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
        evercell.record(client)

        def agent() -> str:
            parts = client.chat.completions.create(**CHAT, stream=True)
            for part in parts:
                first = str(part.choices[0].delta.content)
                break
            parts.close()
            evercell.now()
            return first

        with durable.dies_at("after_call_commit", 2):
            durable.step("agent", agent)
        assert durable.step("agent", agent) == "fed " and len(server.requests) == 1


def test_a_kill_in_the_middle_of_a_stream_counts_as_not_made(durable: Durable, server: ModelServer) -> None:
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
        evercell.record(client)
        deaths = iter([True, False])

        def agent() -> str:
            text = ""
            dies = next(deaths)
            for part in client.chat.completions.create(**CHAT, stream=True):
                text += part.choices[0].delta.content
                if dies:
                    raise Died("in the middle")
            return text

        with pytest.raises(Died):
            durable.step("agent", agent)
        assert durable.step("agent", agent) == "fed cba " and len(server.requests) == 2


def test_another_question_where_one_is_recorded_is_named(durable: Durable, server: ModelServer) -> None:
    with openai.OpenAI(base_url=server.url, api_key=KEY, max_retries=0) as client:
        evercell.record(client)
        texts = iter(["a", "b"])

        def agent() -> None:
            text = next(texts)
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": text}])
            evercell.now()

        with durable.dies_at("after_call_commit", 2):
            durable.step("agent", agent)
        with pytest.raises(NonDeterminism, match=r"POST 127\.0\.0\.1/v1/chat/completions"):
            durable.step("agent", agent)


def test_recording_twice_records_once_and_nothing_to_record_is_an_error(
    durable: Durable, server: ModelServer
) -> None:
    with openai.OpenAI(base_url=server.url, api_key=KEY) as client:
        evercell.record(evercell.record(client), retries=2)
        durable.step("agent", lambda: client.chat.completions.create(**CHAT).model)
    assert len(server.requests) == 1
    assert len(durable.workspace.store.calls.of_step(durable.run.id, "agent", _key())) == 1
    with pytest.raises(UsageError, match=r"found nothing in this list"):
        evercell.record([1, 2])


def test_a_multipart_body_is_the_same_whatever_its_boundary(durable: Durable, server: ModelServer) -> None:
    with httpx.Client(transport=evercell.transport()) as client:

        def agent() -> str:
            files = {"file": ("a.wav", b"x" * 99)}
            text = client.post(f"{server.url}/audio/transcriptions", files=files).json()["text"]
            evercell.now()
            return str(text)

        with durable.dies_at("after_call_commit", 2):
            durable.step("agent", agent)
        assert "bytes" in durable.step("agent", agent) and len(server.requests) == 1


def test_a_client_that_asks_outside_of_what_is_recorded_is_named_once(
    durable: Durable, server: ModelServer
) -> None:
    with openai.OpenAI(base_url=server.url, api_key=KEY) as client, httpx.Client() as reader:

        def agent() -> None:
            for _ in range(3):
                client.chat.completions.create(**CHAT)
                reader.get(server.url)  # reading again harms nobody

        @evercell.step
        def ask() -> str:
            return str(client.chat.completions.create(**CHAT).choices[0].message.content)

        durable.step("agent", ask)
        assert durable.notes == [], "the call around it is recorded"
        durable.step("agent", agent)
    assert [note for note in durable.notes if "127.0.0.1 is not recorded" in note] == durable.notes
    assert len(durable.notes) == 1 and "evercell.record(client)" in durable.notes[0]


def test_what_asks_through_requests_is_named_too_and_told_what_keeps_it(
    durable: Durable, server: ModelServer
) -> None:
    with requests.Session() as client:

        def ask() -> str:
            client.get(server.url)
            answer = client.post(f"{server.url}/chat/completions", json=CHAT)
            return str(answer.json()["choices"][0]["message"]["content"])

        durable.step("once", ask)
        assert durable.notes == [], "the step itself is what is recorded"
        durable.step("durable", lambda: [evercell.call(ask) for _ in range(2)])
        assert durable.notes == []
        durable.step("agent", lambda: [ask() for _ in range(3)])
    (note,) = durable.notes
    assert "127.0.0.1 is not recorded" in note
    assert "@evercell.step on the function that asks" in note


def test_clients_that_an_agent_makes_anew_are_recorded(durable: Durable, server: ModelServer) -> None:
    class Provider:
        """As that of an agent which moves to another event loop: its client is made by a factory again."""

        def __init__(self) -> None:
            self._http_client_factory = httpx.AsyncClient
            self.client = self._http_client_factory()

        async def ask(self) -> str:
            async with self._http_client_factory() as self.client:
                answer = await self.client.post(f"{server.url}/chat/completions", json=CHAT)
            evercell.now()
            return str(answer.json()["choices"][0]["message"]["content"])

    provider = evercell.record(Provider())

    async def agent() -> str:
        return await provider.ask()

    with durable.dies_at("after_call_commit", 2):
        durable.step("agent", agent)
    assert durable.step("agent", agent) == "fed cba" and len(server.requests) == 1


def _held(durable: Durable) -> int:
    """How many slots are taken, and not given back."""
    return sum(slot.given_back_at is None for slot in durable.workspace.store.limits.slots())


def test_a_recorded_request_holds_a_slot_of_its_limit_and_gives_it_back(
    durable: Durable, server: ModelServer
) -> None:
    held: list[int] = []

    class Noting(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            held.append(_held(durable))
            return super().handle_request(request)

    def agent() -> str:
        with httpx.Client(transport=evercell.transport(Noting(), limit="model")) as client:
            answer = client.post(f"{server.url}/chat/completions", json={**CHAT, "stream": True})
            return str(
                client.post(f"{server.url}/chat/completions", json=CHAT).status_code + answer.status_code
            )

    durable.workspace.store.limits.set(Limit("model", at_once=1), by="ann")
    assert durable.step("agent", agent) == "400"
    assert held == [1, 1] and _held(durable) == 0


def test_a_stream_of_a_named_method_holds_a_slot_of_its_limit(durable: Durable) -> None:
    durable.workspace.store.limits.set(Limit("model", at_once=1), by="ann")
    held: list[int] = []

    class Client:
        def ask(self, stream: bool = False) -> Iterator[str]:
            held.append(_held(durable))
            return iter(["a", "b"])

    client = evercell.record(Client(), paths=["ask"], limit="model")
    assert durable.step("agent", lambda: "".join(client.ask(stream=True))) == "ab"
    assert held == [1] and _held(durable) == 0
