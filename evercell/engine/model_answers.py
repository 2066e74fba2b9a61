"""What a recorded answer of a model says, and the tools that it asks for: of the wire formats that are met."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from evercell.engine.calls.exchange import MARK, Exchange
from evercell.state import holds_secret_of_environment, is_secret_name

_LONGEST = 10_000_000
"""Bytes of an answer that is read."""

_LOOKED_THROUGH = 1_000
"""Characters in which a secret of the environment is looked for."""


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
    reading = _Reading()
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
            arguments = _object(self.text)
        return ToolRequest(self.name, {} if arguments is None and not self.text else arguments, self.id)


class _Reading:
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
            self._model = self._model or _str(holder.get("model")) or _str(holder.get("modelVersion"))
        for choice in _dicts(part.get("choices")):  # OpenAI, and most others
            self._take_message(
                _dict(choice.get("message")) or _dict(choice.get("delta")), choice.get("index", 0)
            )
        if "choices" not in part and isinstance(part.get("message"), dict) and "type" not in part:  # Ollama
            self._take_message(part["message"], 0)
        self._take_response(part)
        self._take_blocks(part)
        for candidate in _dicts(part.get("candidates")):  # Google
            for piece in _dicts(_dict(candidate.get("content")).get("parts")):
                self._take_google(piece)

    def _take_message(self, message: dict[str, Any], choice: object) -> None:
        self._is_answer = True
        self._text.append(_str(message.get("content")))
        for number, call in enumerate(_dicts(message.get("tool_calls"))):
            place = call.get("index")
            asked = self._at((choice, number if place is None else place))
            function = _dict(call.get("function"))
            asked.name += _str(function.get("name"))
            asked.id = _str(call.get("id")) or asked.id
            given = function.get("arguments")
            if isinstance(given, dict):
                asked.arguments = given
            asked.text += _str(given)

    def _take_response(self, part: dict[str, Any]) -> None:
        """OpenAI's responses: whole, or the last event of a stream."""
        whole = part.get("response") if part.get("type") == "response.completed" else part
        if not isinstance(whole, dict) or whole.get("object") != "response":
            return
        self._is_answer = True
        for number, item in enumerate(_dicts(whole.get("output"))):
            if item.get("type") == "function_call":
                asked = self._at(("output", number))
                asked.name, asked.id = _str(item.get("name")), _str(item.get("call_id"))
                asked.text = _str(item.get("arguments"))
            self._text += [_str(piece.get("text")) for piece in _dicts(item.get("content"))]

    def _take_blocks(self, part: dict[str, Any]) -> None:
        """Anthropic's messages: whole, or block by block."""
        kind, index = part.get("type"), part.get("index")
        if kind == "message":
            self._is_answer = True
            for number, block in enumerate(_dicts(part.get("content"))):
                self._take_block(block, number)
        elif kind == "content_block_start":
            self._is_answer = True
            self._take_block(_dict(part.get("content_block")), index)
        elif kind == "content_block_delta":
            delta = _dict(part.get("delta"))
            self._text.append(_str(delta.get("text")))
            if "partial_json" in delta:
                self._at(("block", index)).text += _str(delta["partial_json"])

    def _take_block(self, block: dict[str, Any], index: object) -> None:
        if block.get("type") == "text":
            self._text.append(_str(block.get("text")))
        elif block.get("type") == "tool_use":
            asked = self._at(("block", index))
            asked.name, asked.id = _str(block.get("name")), _str(block.get("id"))
            asked.arguments = block["input"] if isinstance(block.get("input"), dict) else None

    def _take_google(self, piece: dict[str, Any]) -> None:
        self._is_answer = True
        self._text.append(_str(piece.get("text")))
        call = piece.get("functionCall")
        if isinstance(call, dict):
            asked = self._at(("google", len(self._asked)))
            asked.name, asked.id = _str(call.get("name")), _str(call.get("id"))
            asked.arguments = call["args"] if isinstance(call.get("args"), dict) else {}

    def _at(self, place: object) -> _Asked:
        try:
            return self._asked.setdefault(place, _Asked())
        except TypeError:  # a place that is no number
            return self._asked.setdefault(str(place), _Asked())


def _object(text: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _str(value: object) -> str:
    return value if isinstance(value, str) else ""


# -- of agents' frameworks, which tell it themselves ---------------------------------------------

ANSWER = "answer"
"""Of a try at a call that asked a model: what that answered."""

_LONGEST_TEXT = 300
_LONGEST_ARGUMENTS = 2_000
_MOST_TOOLS = 20


def answer_record(answer: ModelAnswer | None) -> dict[str, Any]:
    """What is stored of an answer beside its call; longer texts are cut, and of longer arguments there is a digest."""
    if answer is None:
        return {}
    tools = [[tool.name, _kept(tool.arguments), tool.id] for tool in answer.tools[:_MOST_TOOLS]]
    text = "" if holds_secret_of_environment(answer.text[:_LOOKED_THROUGH]) else answer.text
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… {_digest(text)}"
    return {ANSWER: {"text": cut, "tools": tools, "model": answer.model}}


def answer_in(tried: Mapping[str, Any]) -> ModelAnswer | None:
    """The answer that is stored beside a call, whoever wrote it; None where there is none."""
    found = tried.get(ANSWER)
    if not isinstance(found, dict):
        return None
    tools = [tool for tool in found.get("tools") or () if isinstance(tool, list) and len(tool) == 3]
    made = (
        ToolRequest(_str(name), given if isinstance(given, dict) else None, _str(id))
        for name, given, id in tools
    )
    return ModelAnswer(_str(found.get("text")), tuple(made), _str(found.get("model")))


def response_answer(response: object, model: str = "") -> ModelAnswer | None:
    """The answer in a response as OpenAI's SDK of agents has it."""
    if not isinstance(response, dict):
        return None
    reading = _Reading()
    reading.take({"object": "response", "output": response.get("output"), "model": model})
    return reading.answer()


def parts_answer(parts: object, model: str = "") -> ModelAnswer:
    """The answer in the parts of a response as pydantic-ai has them."""
    texts, tools = [], []
    for part in _dicts(parts):
        if part.get("part_kind") == "text":
            texts.append(_str(part.get("content")))
        elif part.get("part_kind") == "tool-call":
            given = part.get("args")
            arguments = (
                given if isinstance(given, dict) else _object(given or "{}") if isinstance(given, str) else {}
            )
            tools.append(ToolRequest(_str(part.get("tool_name")), arguments, _str(part.get("tool_call_id"))))
    return ModelAnswer("".join(texts), tuple(tools), model)


def _kept(arguments: Mapping[str, Any] | None) -> object:
    if arguments is None:
        return None
    try:
        text = json.dumps(arguments, ensure_ascii=False, sort_keys=True)
    except (TypeError, ValueError):
        return None
    if holds_secret_of_environment(text[:_LOOKED_THROUGH]) or any(is_secret_name(name) for name in arguments):
        return {"…": _digest(text)}
    return dict(arguments) if len(text) <= _LONGEST_ARGUMENTS else {"…": _digest(text)}


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
