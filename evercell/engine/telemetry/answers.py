"""What a model answered, read from the body of its response: its messages, and the tools that it chose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from evercell.engine.calls.exchange import Exchange

Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request was answered."""

    messages: Sequence[Mapping[str, Any]] = ()
    """As ``gen_ai.output.messages`` has them."""
    tools: Sequence[tuple[str, Mapping[str, Any]]] = ()
    """Names and arguments of what is to be called."""


def read_answer(exchange: Exchange) -> Answer:
    """The answer in a response of OpenAI's, Anthropic's, Google's or Ollama's form; empty in any other."""
    bodies = list(_objects(exchange))
    parts, reason = _joined(bodies) if len(bodies) != 1 else _whole(bodies[0])
    parts = [part for part in parts if part.get("content") or part["type"] == "tool_call"]
    if not parts:
        return Answer()
    message = {"role": "assistant", "parts": parts, "finish_reason": reason or "stop"}
    calls = [(str(part["name"]), part["arguments"]) for part in parts if part["type"] == "tool_call"]
    return Answer((message,), [(name, given) for name, given in calls if isinstance(given, dict)])


def _objects(exchange: Exchange) -> Iterator[dict[str, Any]]:
    """The JSON objects of a body: one, or one for each event of a stream."""
    is_one = exchange.content_type == "application/json"
    texts = [exchange.body] if is_one else exchange.body.splitlines()
    for text in texts:
        try:
            found = json.loads(text.removeprefix(b"data:"))
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            yield found


def _whole(body: Mapping[str, Any]) -> tuple[list[Part], str]:
    for choice in _dicts(body.get("choices")):  # Chat Completions
        return _of_chat(_dict(choice.get("message"))), str(choice.get("finish_reason") or "")
    if isinstance(body.get("output"), list):  # Responses
        return [part for item in _dicts(body["output"]) for part in _of_item(item)], str(
            body.get("status") or ""
        )
    for candidate in _dicts(body.get("candidates")):  # Gemini
        found = _dicts(_dict(candidate.get("content")).get("parts"))
        return [_of_gemini(part) for part in found], str(candidate.get("finishReason") or "")
    if isinstance(body.get("message"), dict):  # Ollama
        return _of_chat(body["message"]), str(body.get("done_reason") or "")
    return [_of_block(block) for block in _dicts(body.get("content"))], str(body.get("stop_reason") or "")


def _of_chat(message: Mapping[str, Any]) -> list[Part]:
    found = [_text(message.get("content"))]
    for call in _dicts(message.get("tool_calls")):
        function = _dict(call.get("function"))
        found.append(_tool(call.get("id"), function.get("name"), function.get("arguments")))
    return found


def _of_item(item: Mapping[str, Any]) -> Iterator[Part]:
    if item.get("type") == "function_call":
        yield _tool(item.get("call_id"), item.get("name"), item.get("arguments"))
    for content in _dicts(item.get("content")):
        yield _text(content.get("text"))


def _of_gemini(part: Mapping[str, Any]) -> Part:
    if call := _dict(part.get("functionCall")):
        return _tool(call.get("id"), call.get("name"), call.get("args"))
    return _text(part.get("text"))


def _of_block(block: Mapping[str, Any]) -> Part:
    if block.get("type") == "tool_use":
        return _tool(block.get("id"), block.get("name"), block.get("input"))
    return _text(block.get("text"))


def _text(content: object) -> Part:
    if isinstance(content, list):
        content = "".join(str(part.get("text") or "") for part in _dicts(content))
    return {"type": "text", "content": content if isinstance(content, str) else ""}


def _tool(call_id: object, name: object, arguments: object) -> Part:
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):  # malformed: as the model wrote it
            arguments = json.loads(arguments or "{}")
    return {"type": "tool_call", "id": call_id, "name": str(name), "arguments": arguments}


# -- streams -------------------------------------------------------------------------------------


def _joined(events: Sequence[Mapping[str, Any]]) -> tuple[list[Part], str]:
    """What the parts of a stream say together."""
    for event in events:  # Responses tell the whole at their end
        if event.get("type") in ("response.completed", "response.incomplete"):
            return _whole(_dict(event.get("response")))
    text, reason = "", ""
    tools: dict[object, dict[str, Any]] = {}
    for event in events:
        for choice in _dicts(event.get("choices")):
            delta, reason = _dict(choice.get("delta")), str(choice.get("finish_reason") or reason)
            text += delta["content"] if isinstance(delta.get("content"), str) else ""
            for call in _dicts(delta.get("tool_calls")):
                function = _dict(call.get("function"))
                _grow(
                    tools, call.get("index"), call.get("id"), function.get("name"), function.get("arguments")
                )
        if event.get("type") == "content_block_start":
            block = _dict(event.get("content_block"))
            if block.get("type") == "tool_use":
                _grow(tools, event.get("index"), block.get("id"), block.get("name"), "")
        delta = _dict(event.get("delta"))
        if event.get("type") == "content_block_delta":
            text += str(delta.get("text") or "")
            _grow(tools, event.get("index"), None, None, delta.get("partial_json"))
        reason = str(delta.get("stop_reason") or reason)
        if event.get("candidates") or (isinstance(event.get("message"), dict) and event.get("type") is None):
            parts, reason = _whole(event)
            text += "".join(part["content"] for part in parts if part["type"] == "text")
            for part in parts:
                if part["type"] == "tool_call":
                    tools[len(tools)] = {**part, "text": json.dumps(part["arguments"])}
    found = [_tool(one["id"], one["name"], one["text"]) for one in tools.values() if one["name"]]
    return [_text(text), *found], reason


def _grow(
    tools: dict[object, dict[str, Any]], index: object, call_id: object, name: object, more: object
) -> None:
    one = tools.setdefault(index, {"id": None, "name": None, "text": ""})
    one["id"], one["name"] = call_id or one["id"], name or one["name"]
    one["text"] += more if isinstance(more, str) else ""


def _dicts(found: object) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _dict(found: object) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}
