"""What a model answered, kept beside its call: frameworks of agents have it in forms of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from evercell.core.text import storable
from evercell.engine.model_answers import (
    ModelAnswer,
    Reading,
    ToolRequest,
    dicts_in,
    object_in,
    text_in,
)
from evercell.state import holds_secret_of_environment, is_secret_name

_LOOKED_THROUGH = 1_000
"""Characters in which a secret of the environment is looked for."""

ANSWER = "answer"
"""Of a try at a call that asked a model: what that answered."""

_LONGEST_TEXT = 300
_LONGEST_ARGUMENTS = 2_000
_MOST_TOOLS = 20


def answer_record(answer: ModelAnswer | None) -> dict[str, Any]:
    """What is stored of an answer beside its call; longer texts are cut, and of longer arguments there is a digest."""
    if answer is None:
        return {}
    tools = [
        [storable(tool.name), _kept(tool.arguments), storable(tool.id)] for tool in answer.tools[:_MOST_TOOLS]
    ]
    text = "" if holds_secret_of_environment(answer.text[:_LOOKED_THROUGH]) else answer.text
    cut = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}… {_digest(text)}"
    return {ANSWER: {"text": storable(cut), "tools": tools, "model": storable(answer.model)}}


def answer_in(tried: Mapping[str, Any]) -> ModelAnswer | None:
    """The answer that is stored beside a call, whoever wrote it; None where there is none."""
    found = tried.get(ANSWER)
    if not isinstance(found, dict):
        return None
    tools = [tool for tool in found.get("tools") or () if isinstance(tool, list) and len(tool) == 3]
    made = (
        ToolRequest(text_in(name), given if isinstance(given, dict) else None, text_in(id))
        for name, given, id in tools
    )
    return ModelAnswer(text_in(found.get("text")), tuple(made), text_in(found.get("model")))


def response_answer(response: object, model: str = "") -> ModelAnswer | None:
    """The answer in a response as OpenAI's SDK of agents has it."""
    if not isinstance(response, dict):
        return None
    reading = Reading()
    reading.take({"object": "response", "output": response.get("output"), "model": model})
    return reading.answer()


def parts_answer(parts: object, model: str = "") -> ModelAnswer:
    """The answer in the parts of a response as pydantic-ai has them."""
    texts, tools = [], []
    for part in dicts_in(parts):
        if part.get("part_kind") == "text":
            texts.append(text_in(part.get("content")))
        elif part.get("part_kind") == "tool-call":
            given = part.get("args")
            arguments = (
                given
                if isinstance(given, dict)
                else object_in(given or "{}")
                if isinstance(given, str)
                else {}
            )
            tools.append(
                ToolRequest(text_in(part.get("tool_name")), arguments, text_in(part.get("tool_call_id")))
            )
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
    if text != storable(text):
        return {"…": _digest(text)}
    return dict(arguments) if len(text) <= _LONGEST_ARGUMENTS else {"…": _digest(text)}


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
