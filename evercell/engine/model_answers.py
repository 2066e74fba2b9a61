"""What a recorded answer of a model says, and the tools that it asks for: of the wire formats that are met."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from evercell.engine.calls.exchange import MARK, Exchange

_LONGEST = 10_000_000
"""Bytes of an answer that is read."""


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """A tool that a model asked for."""

    name: str
    arguments: Mapping[str, Any] | None
    """By name; None where nobody can tell."""
    id: str = ""
    """What the model calls this request."""


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """An answer of a model."""

    text: str = ""
    tools: tuple[ToolRequest, ...] = ()
    model: str = ""


def read_answer(content: bytes) -> ModelAnswer | None:
    """The answer in a call's recorded result, None where that is none of a model's."""
    if not content.startswith(MARK) or len(content) > _LONGEST:
        return None
    try:
        return answer_of(Exchange.from_bytes(content))
    except (ValueError, TypeError, KeyError):
        return None


def answer_of(exchange: Exchange) -> ModelAnswer | None:
    """The same of an exchange: whole, or in the parts of a stream."""
    reading = Reading()
    for part in _parts(exchange):
        reading.take(part)
    return reading.answer()


def _parts(exchange: Exchange) -> Iterator[dict[str, Any]]:
    if not 200 <= exchange.status < 300:
        return
    whole = exchange.content_type == "application/json"
    for line in [exchange.body] if whole else exchange.body.splitlines():
        try:
            found = json.loads(line.removeprefix(b"data:"))
        except (ValueError, RecursionError):
            continue
        yield from (
            part for part in (found if isinstance(found, list) else [found]) if isinstance(part, dict)
        )


@dataclass
class _Asked:
    """A tool's request as it comes, maybe in parts."""

    name: str = ""
    id: str = ""
    text: str = ""
    """Its arguments as JSON."""
    arguments: Mapping[str, Any] | None = None

    def request(self) -> ToolRequest:
        arguments = self.arguments
        if self.text:
            arguments = object_in(self.text)
        return ToolRequest(self.name, {} if arguments is None and not self.text else arguments, self.id)


class Reading:
    """An answer that is put together: each provider's fields have names of their own, so all are looked at."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._asked: dict[object, _Asked] = {}
        self._model = ""
        self._is_answer = False

    def answer(self) -> ModelAnswer | None:
        if not self._is_answer:
            return None
        asked = (asked.request() for asked in self._asked.values() if asked.name)
        return ModelAnswer("".join(self._text), tuple(asked), self._model)

    def take(self, part: dict[str, Any]) -> None:
        whole = _dict(part.get("response")) or _dict(part.get("message")) or part
        for holder in (whole, part):
            self._model = self._model or text_in(holder.get("model")) or text_in(holder.get("modelVersion"))
        for choice in dicts_in(part.get("choices")):  # OpenAI, and most others
            self._take_message(
                _dict(choice.get("message")) or _dict(choice.get("delta")), choice.get("index", 0)
            )
        if "choices" not in part and isinstance(part.get("message"), dict) and "type" not in part:  # Ollama
            self._take_message(part["message"], 0)
        self._take_response(part)
        self._take_blocks(part)
        for candidate in dicts_in(part.get("candidates")):  # Google
            for piece in dicts_in(_dict(candidate.get("content")).get("parts")):
                self._take_google(piece)

    def _take_message(self, message: dict[str, Any], choice: object) -> None:
        self._is_answer = True
        self._text.append(text_in(message.get("content")))
        for number, call in enumerate(dicts_in(message.get("tool_calls"))):
            place = call.get("index")
            asked = self._at((choice, number if place is None else place))
            function = _dict(call.get("function"))
            asked.name += text_in(function.get("name"))
            asked.id = text_in(call.get("id")) or asked.id
            given = function.get("arguments")
            if isinstance(given, dict):
                asked.arguments = given
            asked.text += text_in(given)

    def _take_response(self, part: dict[str, Any]) -> None:
        """OpenAI's responses: whole, or the last event of a stream."""
        whole = part.get("response") if part.get("type") == "response.completed" else part
        if not isinstance(whole, dict) or whole.get("object") != "response":
            return
        self._is_answer = True
        for number, item in enumerate(dicts_in(whole.get("output"))):
            if item.get("type") == "function_call":
                asked = self._at(("output", number))
                asked.name, asked.id = text_in(item.get("name")), text_in(item.get("call_id"))
                asked.text = text_in(item.get("arguments"))
            self._text += [text_in(piece.get("text")) for piece in dicts_in(item.get("content"))]

    def _take_blocks(self, part: dict[str, Any]) -> None:
        """Anthropic's messages: whole, or block by block."""
        kind, index = part.get("type"), part.get("index")
        if kind == "message":
            self._is_answer = True
            for number, block in enumerate(dicts_in(part.get("content"))):
                self._take_block(block, number)
        elif kind == "content_block_start":
            self._is_answer = True
            self._take_block(_dict(part.get("content_block")), index)
        elif kind == "content_block_delta":
            delta = _dict(part.get("delta"))
            self._text.append(text_in(delta.get("text")))
            if "partial_json" in delta:
                self._at(("block", index)).text += text_in(delta["partial_json"])

    def _take_block(self, block: dict[str, Any], index: object) -> None:
        if block.get("type") == "text":
            self._text.append(text_in(block.get("text")))
        elif block.get("type") == "tool_use":
            asked = self._at(("block", index))
            asked.name, asked.id = text_in(block.get("name")), text_in(block.get("id"))
            asked.arguments = block["input"] if isinstance(block.get("input"), dict) else None

    def _take_google(self, piece: dict[str, Any]) -> None:
        self._is_answer = True
        self._text.append(text_in(piece.get("text")))
        call = piece.get("functionCall")
        if isinstance(call, dict):
            asked = self._at(("google", len(self._asked)))
            asked.name, asked.id = text_in(call.get("name")), text_in(call.get("id"))
            asked.arguments = call["args"] if isinstance(call.get("args"), dict) else {}

    def _at(self, place: object) -> _Asked:
        try:
            return self._asked.setdefault(place, _Asked())
        except TypeError:  # a place that is no number
            return self._asked.setdefault(str(place), _Asked())


def object_in(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def dicts_in(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text_in(value: object) -> str:
    return value if isinstance(value, str) else ""
