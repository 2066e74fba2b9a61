"""Models whose requests are durable calls, and providers of such."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from functools import partial
from hashlib import sha256
from typing import Any

from agents import Model, ModelProvider
from agents.models.multi_provider import MultiProvider

from evercell.engine.answer_records import answer_record, response_answer
from evercell.engine.calls.calling import call_async
from evercell.engine.calls.http.prompts import PROMPT, prompt_of
from evercell.engine.calls.http.usage import Prices, usage_record
from evercell.engine.calls.log import Result
from evercell.engine.calls.ownership import Owner, current_owner, note_late_call
from evercell.engine.calls.policy import ONCE, CallPolicy
from evercell.engine.calls.words import arguments_in_words
from evercell.openai_agents.answers import (
    as_plain,
    event_again,
    event_as_json,
    response_again,
    response_as_json,
)
from evercell.openai_agents.tools import make_durable

_LAST = ("response.completed", "response.incomplete", "response.failed")
"""Types of the event that ends a stream."""


class Provider(ModelProvider):
    """Another provider (the SDK's own, where none is given) whose models are durable inside of a step."""

    def __init__(
        self, inner: Any = None, *, requests: CallPolicy = ONCE, tools: CallPolicy = ONCE,
        prices: Prices | None = None,
    ) -> None:  # fmt: skip
        self.inner = inner if inner is not None else MultiProvider()
        self.requests = requests
        self.tools = tools
        self.prices = prices or {}

    def get_model(self, model_name: str | None) -> Any:
        """The provider's model, durable."""
        return as_durable(self.inner.get_model(model_name), self.requests, self.tools, self.prices)

    async def aclose(self) -> None:
        await self.inner.aclose()


class DurableModel(Model):
    """A model whose requests are durable calls inside of a step, and so are the tools that it is told of.

    A tool that is an agent is no call of its own: its requests and tools are.
    """

    def __init__(
        self,
        inner: Any,
        *,
        requests: CallPolicy = ONCE,
        tools: CallPolicy = ONCE,
        prices: Prices | None = None,
    ) -> None:
        self.inner = inner
        self.requests = requests
        self.tools = tools
        self.prices = prices or {}

    async def get_response(
        self, system_instructions: Any, input: Any, model_settings: Any, tools: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Replayed where it is recorded."""
        make_durable(tools, self.tools)

        async def ask(**_: object) -> Any:
            response = await self.inner.get_response(
                system_instructions, input, model_settings, tools, *args, **kwargs
            )
            return response_as_json(response)

        if current_owner() is None:
            note_late_call("model.request", is_harmless=True)
            return await self.inner.get_response(
                system_instructions, input, model_settings, tools, *args, **kwargs
            )
        given = self._given(system_instructions, input)
        plain = await call_async(
            ask, (), given, name="model.request", key=_digest(given), policy=self.requests,
            describe=partial(self._usage, given),
        )  # fmt: skip
        return response_again(plain)

    async def stream_response(
        self, system_instructions: Any, input: Any, model_settings: Any, tools: Any, *args: Any, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Handed on while it comes, and recorded when it was read to its end."""
        make_durable(tools, self.tools)
        given = self._given(system_instructions, input)
        owner = current_owner()
        if owner is None:
            note_late_call("model.stream", is_harmless=True)

        def ask() -> AsyncIterator[Any]:
            stream: AsyncIterator[Any] = self.inner.stream_response(
                system_instructions, input, model_settings, tools, *args, **kwargs
            )
            return stream

        events = ask() if owner is None else _recorded(owner, given, ask)
        async for event in events:
            yield event

    def get_retry_advice(self, request: Any) -> Any:
        return self.inner.get_retry_advice(request)

    async def close(self) -> None:
        await self.inner.close()

    def _given(self, instructions: Any, input: Any) -> dict[str, Any]:
        name = getattr(self.inner, "model", None)
        model = name if isinstance(name, str) else type(self.inner).__name__
        return {"model": model, "instructions": instructions, "input": as_plain(input)}

    def _usage(self, given: dict[str, Any], response: Any) -> dict[str, Any]:
        usage = (response or {}).get("usage") or {}
        read, wrote = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
        said = answer_record(response_answer(response, given["model"]))
        return {**usage_record(given["model"], read, wrote, self.prices), **said, **_prompt(given)}


def as_durable(
    model: Any, requests: CallPolicy | None, tools: CallPolicy | None, prices: Prices | None
) -> Any:
    return tried_as(
        model if isinstance(model, DurableModel) else DurableModel(model), requests, tools, prices
    )


def tried_as(made: Any, requests: CallPolicy | None, tools: CallPolicy | None, prices: Prices | None) -> Any:
    """The provider or model, with what was said now; what was not is as it was."""
    made.requests = requests or made.requests
    made.tools = tools or made.tools
    made.prices = prices or made.prices
    return made


async def _recorded(owner: Owner, given: dict[str, Any], ask: Any) -> AsyncIterator[Any]:
    """A stream's events: those that are recorded, or those that come, which are recorded after the last one."""
    scope = owner.scope
    identity = scope.begin("model.stream", _digest(given), (), given, inside=owner.call_key)
    known = scope.find(identity, owner.metrics)
    if known is not None:
        for event in known.get():
            yield event_again(event)
        return
    if scope.watch is not None:
        await scope.watch.look_async()
    if (guard := scope.step.guard) is not None:
        words = arguments_in_words(None, (), given)
        await guard.permit_async(identity, "model.stream", lambda: given, words)
    began, at, seen, is_recorded = time.perf_counter(), time.time(), [], False
    async for event in ask():
        seen.append(event_as_json(event))
        if event.type in _LAST and not is_recorded:  # who reads it may stop there
            is_recorded = True
            scope.log.record(identity, Result(seen), [_read(began, at, seen, given)])
        yield event
    if not is_recorded:
        scope.log.record(identity, Result(seen), [_read(began, at, seen, given)])


def _prompt(given: dict[str, Any]) -> dict[str, Any]:
    """What the user said last."""
    text = prompt_of(given)
    return {PROMPT: text} if text else {}


def _read(began: float, at: float, seen: list[Any], given: dict[str, Any]) -> dict[str, Any]:
    """The record of the stream that was read."""
    parts, last = len(seen), seen[-1] if seen and isinstance(seen[-1], dict) else {}
    return {
        "at": round(at, 3), "seconds": round(time.perf_counter() - began, 6), "error": None, "parts": parts,
        "arguments": arguments_in_words(None, (), given), "result": f"a stream of {parts} parts",
        **answer_record(response_answer(last.get("response"), given["model"])), **_prompt(given),
    }  # fmt: skip


def _digest(given: dict[str, Any]) -> str:
    """A request is found by what is asked: agents beside each other ask in any order."""
    return sha256(json.dumps(given, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:16]
