"""What a model answered, as JSON and back."""

from __future__ import annotations

from typing import Any

from agents import ModelResponse
from agents.items import TResponseStreamEvent
from agents.usage import deserialize_usage
from openai import BaseModel
from openai.types.responses import ResponseOutputItem
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

_RESPONSE: Any = TypeAdapter(ModelResponse)
_EVENT: Any = TypeAdapter(TResponseStreamEvent)


class _Received(BaseModel):
    """Has the client make of an answer what it makes of one that comes: it takes what lacks a field, or has others."""

    event: TResponseStreamEvent
    output: list[ResponseOutputItem]


def response_as_json(response: Any) -> Any:
    """What a response is made again from, with the fields that were set."""
    return _as_json(_RESPONSE, response)


def event_as_json(event: Any) -> Any:
    """The same of an event of a stream."""
    return _as_json(_EVENT, event)


def _as_json(kind: Any, value: Any) -> Any:
    return kind.dump_python(value, mode="json", by_alias=True, exclude_unset=True)


def response_again(plain: dict[str, Any]) -> Any:
    """A recorded response."""
    try:
        return _RESPONSE.validate_python(plain)
    except ValidationError:
        made = {
            "output": _Received.construct(output=plain["output"]).output,
            "usage": deserialize_usage(plain.get("usage") or {}),
        }
        return ModelResponse(**{"response_id": None, **plain, **made})


def event_again(plain: Any) -> Any:
    """A recorded event of a stream."""
    try:
        return _EVENT.validate_python(plain)
    except ValidationError:
        return _Received.construct(event=plain).event


def as_plain(value: Any) -> Any:
    """Whatever an agent is given, as JSON has it."""
    return to_jsonable_python(
        value, fallback=lambda other: f"<{type(other).__qualname__}>", exclude_none=True
    )
