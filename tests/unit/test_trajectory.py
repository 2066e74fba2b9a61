"""A trajectory is what a run's calls were, read from the store: in order, with what models asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from evercell.engine.calls.exchange import Exchange
from evercell.engine.calls.http.prompts import prompt_of
from evercell.engine.evals.trajectory import Trajectory, read_arguments, read_trajectory
from evercell.engine.model_answers import ModelAnswer, ToolRequest, answer_of, read_answer
from evercell.engine.settings import Settings
from evercell.engine.workspace import Workspace, open_workspace
from tests.database import open_database
from tests.model_server import model_server
from tests.unit.sessions import Notebook

AGENT = """
import evercell
@evercell.step
def search(query, *, limit=5): return ['a', 'b']
@evercell.step
def plan(goal): return search(goal, limit=2) + search('more')
@evercell.step(retries=1, backoff=0)
def shaky(n):
    tried.append(n)
    if len(tried) < 2: raise ConnectionError('gone')
    return object
tried = []
"""


@pytest.fixture
def workspace(store_url: str, tmp_path: Path) -> Iterator[Workspace]:
    with open_workspace(Settings(store_url, tmp_path / "key")) as opened:
        yield opened


@pytest.fixture
def notebook(workspace: Workspace) -> Iterator[Notebook]:
    made = Notebook(workspace)
    made.plain(AGENT)
    yield made
    made.session.detach()


def read(notebook: Notebook, step: str | None = None) -> Trajectory:
    return read_trajectory(notebook.session.workspace, notebook.session.require_run(), step=step)


def test_calls_stand_in_the_order_in_which_they_began_with_what_they_are_inside_of(
    notebook: Notebook,
) -> None:
    notebook.step("b", "plan('cats'); evercell.now(); evercell.map(search, range(12))")
    notebook.step("a", "shaky(1)")
    found = read(notebook)
    first, *inner = found.calls[:3]
    assert [c.name for c in found.calls] == ["plan", "search", "search", "now", *["search"] * 12, "shaky"]
    assert (first.inside, [c.inside for c in inner]) == ("", [first.key] * 2)
    assert found.inner(first) == tuple(inner)
    assert [c.arguments for c in found.calls[4:16]] == [str(n) for n in range(12)], (
        "as in the list, not by key"
    )
    assert found.names.count("now") == 0 and len(found.actions) == 16, "evercell's own calls are no actions"
    assert read(notebook, "a").names == ("shaky",) and not found.damaged


def test_a_call_says_what_it_was_given_and_what_came_of_it(notebook: Notebook) -> None:
    notebook.step("a", "search('x', limit=3)\nsearch('x', limit=3)\nshaky(1)\nsearch()")
    one, same, shaky, failed = read(notebook).calls
    assert (one.given, one.result) == ({"0": "x", "limit": 3}, "['a', 'b']")
    assert one.fingerprint == same.fingerprint != shaky.fingerprint
    assert (shaky.tries, shaky.errors, shaky.ok, shaky.error) == (2, ("ConnectionError: gone",), True, "")
    assert not failed.ok and failed.error.startswith("TypeError: ") and not failed.errors
    assert shaky.began_at <= shaky.ended_at and shaky.seconds >= 0


def test_of_an_edited_step_and_of_one_that_is_run_again_the_last_calls_are_told(notebook: Notebook) -> None:
    notebook.step("a", "search('old')")
    notebook.step("a", "search('new')")
    assert [c.given for c in read(notebook).calls] == [{"0": "new"}]
    notebook.step("a", "search('new')", rerun=True)
    assert [c.given for c in read(notebook).calls] == [{"0": "new"}]


def test_a_call_whose_tries_are_damaged_is_told_by_what_is_left_of_it(
    notebook: Notebook, store_url: str
) -> None:
    notebook.step("a", "search('x')\nplan('y')")
    with open_database(store_url) as database:
        database.execute(sa.text("UPDATE calls SET tries = '7' WHERE name = 'plan'"))
    found = read(notebook)
    assert found.names == ("search", "plan", "search", "search"), (
        "what its tries say that are none is no reason"
    )
    assert (found.calls[1].arguments, found.calls[1].tries) == ("", 1)


def test_what_a_model_answered_and_asked_for_is_read(notebook: Notebook, store_url: str) -> None:
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "abc"}]}
    with model_server() as server:
        notebook.variables |= {"url": server.url, "asked": asked, "tools": tools}
        notebook.plain("import httpx, evercell\nclient = evercell.record(httpx.Client())")
        source = "client.post(url + '/messages', json={**asked, 'tools': tools})\n"
        source += "client.post(url + '/chat/completions', json=asked)"
        notebook.step("a", source)
        notebook["client"].close()
    wants, says = read(notebook).calls
    assert wants.tools == (ToolRequest("weather", {"city": "Oslo"}, "t1"),) and wants.asks_model
    assert (wants.tokens_in, wants.tokens_out) == (10, 5)
    assert says.answer == ModelAnswer("cba", (), "m") and not says.tools
    with open_database(store_url) as database:
        database.execute(sa.text("UPDATE calls SET mac = arguments WHERE position = 0"))
    found = read(notebook)
    assert found.calls[0].answer is None and "is not what was signed" in str(found.damaged[0])


def test_what_the_user_said_last_is_kept_with_a_request(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-0123456789")
    said = ["find \ud800 cats", "x" * 1000, "my key is sk-very-secret-0123456789"]
    with model_server() as server:
        notebook.variables |= {"url": server.url, "said": said}
        notebook.plain("import httpx, evercell, json\nclient = evercell.record(httpx.Client())")
        notebook.step(
            "a",
            "for text in said:\n"
            "    messages = [{'role': 'user', 'content': text}]\n"
            "    body = json.dumps({'model': 'm', 'max_tokens': 9, 'messages': messages})\n"
            "    client.post(url + '/messages', content=body, headers={'content-type': 'application/json'})\n",
        )
        notebook["client"].close()
    prompts = [call.prompt for call in read(notebook).calls]
    assert prompts[0] == "find \\ud800 cats" and len(prompts[1]) == 300 and prompts[2] == ""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}]}]}, "a b"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "a"),
        (
            {
                "messages": [
                    {"role": "user", "content": "a"},
                    {"role": "user", "content": [{"type": "tool_result"}]},
                ]
            },
            "a",
        ),
        ({"input": "a"}, "a"),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}, {"type": "x"}]}, "a"),
        ({"contents": [{"parts": [{"text": "a"}]}]}, "a"),
        ({"prompt": "a"}, "a"),
        ({"messages": 7}, ""),
        ({"messages": [7, None, {"content": {"a": 1}}]}, ""),
        ({}, ""),
    ],
)
def test_what_the_user_said_is_found_in_every_wire_format(body: dict[str, Any], expected: str) -> None:
    assert prompt_of(body) == expected


# -- what a model's answer says ------------------------------------------------------------------


def answered(*parts: object, kind: str = "application/json") -> ModelAnswer | None:
    body = (
        json.dumps(parts[0])
        if kind == "application/json"
        else "".join(f"data: {json.dumps(p)}\n\n" for p in parts)
    )
    exchange = Exchange("POST", "http://x/", 200, "OK", (("content-type", kind),), body.encode())
    assert answer_of(exchange) == read_answer(exchange.to_bytes())
    return answer_of(exchange)


WANTED = ToolRequest("search", {"q": "cats", "n": 2}, "c1")
_CALL = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": '{"q": "cats", "n": 2}'}}
_OBJECT = {"id": "c1", "function": {"name": "search", "arguments": {"q": "cats", "n": 2}}}
_ITEM = {"type": "function_call", "call_id": "c1", "name": "search", "arguments": '{"q": "cats", "n": 2}'}
_USE = {"type": "tool_use", "id": "c1", "name": "search", "input": {"q": "cats", "n": 2}}
_GOOGLE = {"functionCall": {"id": "c1", "name": "search", "args": {"q": "cats", "n": 2}}}


def _delta(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": fields}]}


@pytest.mark.parametrize(
    "parts",
    [
        [{"model": "m", "choices": [{"message": {"content": "hm", "tool_calls": [_CALL]}}]}],
        [
            _delta(content="h"),
            _delta(content="m", tool_calls=[{"index": 0, "id": "c1", "function": {"name": "search", "arguments": ""}}]),
            _delta(tool_calls=[{"index": 0, "function": {"arguments": '{"q": "cats", '}}]),
            _delta(tool_calls=[{"index": 0, "function": {"arguments": '"n": 2}'}}]),
        ],
        [{"object": "response", "model": "m", "output": [{"type": "message", "content": [{"text": "hm"}]}, _ITEM]}],
        [
            {"type": "response.created", "response": {"object": "response", "model": "m", "output": []}},
            {
                "type": "response.completed",
                "response": {
                    "object": "response",
                    "model": "m",
                    "output": [{"type": "message", "content": [{"text": "hm"}]}, _ITEM],
                },
            },
        ],
        [{"type": "message", "model": "m", "content": [{"type": "text", "text": "hm"}, _USE]}],
        [
            {"type": "message_start", "message": {"model": "m", "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hm"}},
            {"type": "content_block_start", "index": 1, "content_block": {**_USE, "input": {}}},
            {"type": "content_block_delta", "index": 1, "delta": {"partial_json": '{"q": "cats"'}},
            {"type": "content_block_delta", "index": 1, "delta": {"partial_json": ', "n": 2}'}},
        ],
        [{"modelVersion": "m", "candidates": [{"content": {"parts": [{"text": "hm"}, _GOOGLE]}}]}],
        [{"model": "m", "message": {"content": "hm", "tool_calls": [_OBJECT]}}],
    ],
    ids=["chat", "chat-stream", "responses", "responses-stream", "anthropic", "anthropic-stream", "google", "ollama"],
)  # fmt: skip
def test_tools_are_read_of_every_wire_format_that_clients_speak(parts: list[Any]) -> None:
    kind = "application/json" if len(parts) == 1 else "text/event-stream"
    assert answered(*parts, kind=kind) == ModelAnswer("hm", (WANTED,), "m")


def test_arguments_that_are_no_json_object_are_unreadable_and_the_tool_is_named() -> None:
    for text in ('{"q": ', "[1]", "7", "[" * 100_000):
        call = {"id": "c", "function": {"name": "search", "arguments": text}}
        found = answered({"choices": [{"message": {"tool_calls": [call]}}]})
        assert found is not None and found.tools == (ToolRequest("search", None, "c"),)


_FIELDS = (
    *(
        "type",
        "index",
        "choices",
        "message",
        "delta",
        "tool_calls",
        "function",
        "arguments",
        "response",
        "output",
    ),
    *("object", "content", "candidates", "parts", "functionCall", "args", "content_block", "input", "name"),
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_FIELDS), inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
def test_whatever_a_server_answered_is_read_without_an_error(body: object) -> None:
    answered(body)
    answered(body, body, kind="text/event-stream")


def test_pages_that_are_no_answer_are_none() -> None:
    assert answered({"hello": 1}) is None
    assert read_answer(b"\x80pickle") is None and read_answer(b"evercell-http 1\nnot json") is None
    refused = Exchange(
        "POST", "http://x/", 429, "", (("content-type", "application/json"),), b'{"choices": [{}]}'
    )
    assert answer_of(refused) is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", {}),
        ("'plan', model='small', n=-1", {"0": "plan", "model": "small", "n": -1}),
        ("[1, {'a': None}]", {"0": [1, {"a": None}]}),
        ("<Frame 3 x 2>, n=1", None),
        ("'cut off", None),
        ("key=…", None),
        ("exit()", None),
        ("'a') + f('b'", None),
        ("**{'a': 1}", None),
        ("(" * 10_000, None),
        ("'\x00'", None),
    ],
)
def test_arguments_are_read_back_from_words_where_they_are_plain(words: str, expected: object) -> None:
    assert read_arguments(words) == expected
