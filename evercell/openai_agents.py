"""Agents of the OpenAI Agents SDK that are durable inside of a step.

    from evercell.openai_agents import run

    result = await run(agent, "Order 7 came broken.")

Requests to models and calls of tools are recorded, and what needs an approval asks a person. Outside of a step all of
it is the SDK's own.
"""

from __future__ import annotations

import copy
import json
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from typing import Any

from evercell import aio
from evercell.core.errors import PolicyDenied, Rejected, UsageError
from evercell.engine.answer_records import answer_record, response_answer
from evercell.engine.approvals.tool_calls import approve_tool_call, key_of
from evercell.engine.calls.arguments import body_arguments
from evercell.engine.calls.calling import call_async, call_sync
from evercell.engine.calls.http.prompts import PROMPT, prompt_of
from evercell.engine.calls.http.usage import Prices, usage_record
from evercell.engine.calls.log import Result
from evercell.engine.calls.ownership import Owner, current_owner, current_scope, note_late_call
from evercell.engine.calls.policy import ONCE, CallPolicy
from evercell.engine.calls.words import arguments_in_words

try:
    from agents import Agent, FunctionTool, Model, ModelProvider, ModelResponse, RunConfig, Runner
    from agents.items import TResponseStreamEvent
    from agents.models.multi_provider import MultiProvider
    from agents.usage import deserialize_usage
    from openai import BaseModel
    from openai.types.responses import ResponseOutputItem
    from pydantic import TypeAdapter, ValidationError
    from pydantic_core import to_jsonable_python
except ImportError as error:
    raise UsageError(
        f"evercell.openai_agents needs openai-agents 0.24 or newer of version 0 ({error}).",
        hint='pip install "openai-agents>=0.24,<1"',
    ) from error

__all__ = ["run", "Provider", "DurableModel", "Session"]

_RESPONSE: Any = TypeAdapter(ModelResponse)
_EVENT: Any = TypeAdapter(TResponseStreamEvent)


class _Received(BaseModel):
    """Has the client make of an answer what it makes of one that comes: it takes what lacks a field, or has others."""

    event: TResponseStreamEvent
    output: list[ResponseOutputItem]


_LAST = ("response.completed", "response.incomplete", "response.failed")
"""Types of the event that ends a stream."""

_OF_THE_START = ("context", "previous_response_id", "auto_previous_response_id", "conversation_id")
"""Options of a run that its state has when it goes on."""


async def run(
    agent: Any, input: Any, *, requests: CallPolicy | None = None, tools: CallPolicy | None = None,
    approvers: Sequence[str] | None = None, prices: Prices | None = None, run_config: Any = None, **options: Any,
) -> Any:  # fmt: skip
    """``Runner.run``, durable: its result when the agent has come to its end, all questions answered.

    ``requests`` and ``tools`` say how requests and tool calls are tried, ``approvers`` who may answer, ``prices`` are
    those of `evercell.record`. All else is the SDK's. Models that the agent, and those it hands off to, have as
    objects are replaced by durable ones.
    """
    config = _config(run_config)
    config = replace(config, model_provider=_provider(config.model_provider, requests, tools, prices))
    if isinstance(config.model, Model):
        config = replace(config, model=_durable(config.model, requests, tools, prices))
    for each in _agents_from(agent):
        if isinstance(each.model, Model):
            each.model = _durable(each.model, requests, tools, prices)
    result = await Runner.run(agent, input, run_config=config, **options)
    later = {name: value for name, value in options.items() if name not in _OF_THE_START}
    while result.interruptions and current_scope() is not None:
        state = await _decided(result, approvers)
        result = await Runner.run(agent, state, run_config=config, **later)
    return result


def _config(given: Any) -> Any:
    return RunConfig(**given) if isinstance(given, dict) else given or RunConfig()


def _provider(
    inner: Any, requests: CallPolicy | None, tools: CallPolicy | None, prices: Prices | None
) -> Any:
    return _tried_as(inner if isinstance(inner, Provider) else Provider(inner), requests, tools, prices)


def _durable(model: Any, requests: CallPolicy | None, tools: CallPolicy | None, prices: Prices | None) -> Any:
    return _tried_as(
        model if isinstance(model, DurableModel) else DurableModel(model), requests, tools, prices
    )


def _tried_as(made: Any, requests: CallPolicy | None, tools: CallPolicy | None, prices: Prices | None) -> Any:
    """The provider or model, with what was said now; what was not is as it was."""
    made.requests = requests or made.requests
    made.tools = tools or made.tools
    made.prices = prices or made.prices
    return made


def _agents_from(agent: Any) -> list[Any]:
    """The agent, and those that it hands off to, as far as it names them."""
    found = [agent]
    for each in found:
        found += [other for other in each.handoffs if isinstance(other, Agent) and other not in found]
    return found


# -- approvals -----------------------------------------------------------------------------------


async def _decided(result: Any, approvers: Sequence[str] | None) -> Any:
    """The state of an interrupted run, with what was decided about each of its questions."""
    questions = list(result.interruptions)
    decisions = await aio.gather(*(_ask(question, approvers) for question in questions))
    state = result.to_state()
    for question, decision in zip(questions, decisions, strict=True):
        if decision:
            state.approve(question)
        else:
            comment = f" {decision.comment}" if decision.comment else ""
            state.reject(question, rejection_message=f"The tool call was denied.{comment}")
    return state


async def _ask(question: Any, approvers: Sequence[str] | None) -> Any:
    raw = _plain(question.raw_item)
    called = str(raw.get("call_id") or raw.get("id") or "")
    text = raw.get("arguments")
    arguments = _arguments(text) if isinstance(text, str) else {}
    details = None if isinstance(text, str) else json.dumps(raw, indent=1, ensure_ascii=False)
    return await approve_tool_call(
        question.tool_name or "tool", arguments, key=key_of(called), details=details, approvers=approvers,
        may_edit=False,
    )  # fmt: skip


def _arguments(text: str) -> dict[str, Any]:
    """What a model wrote as the arguments of a tool."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"arguments": text}


def _is_malformed(text: str) -> bool:
    """Whether nobody can tell what a tool would be given."""
    return body_arguments((text or "{}").encode("utf-8", "surrogatepass")) is None


# -- models --------------------------------------------------------------------------------------


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
        return _durable(self.inner.get_model(model_name), self.requests, self.tools, self.prices)

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
            return _as_json(_RESPONSE, response)

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
        return _response_again(plain)

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
        return {"model": model, "instructions": instructions, "input": _plain(input)}

    def _usage(self, given: dict[str, Any], response: Any) -> dict[str, Any]:
        usage = (response or {}).get("usage") or {}
        read, wrote = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
        said = answer_record(response_answer(response, given["model"]))
        return {**usage_record(given["model"], read, wrote, self.prices), **said, **_prompt(given)}


async def _recorded(owner: Owner, given: dict[str, Any], ask: Any) -> AsyncIterator[Any]:
    """A stream's events: those that are recorded, or those that come, which are recorded after the last one."""
    scope = owner.scope
    identity = scope.begin("model.stream", _digest(given), (), given, inside=owner.call_key)
    known = scope.find(identity, owner.metrics)
    if known is not None:
        for event in known.get():
            yield _event_again(event)
        return
    if scope.watch is not None:
        await scope.watch.look_async()
    if (guard := scope.step.guard) is not None:
        words = arguments_in_words(None, (), given)
        await guard.permit_async(identity, "model.stream", lambda: given, words)
    began, at, seen, is_recorded = time.perf_counter(), time.time(), [], False
    async for event in ask():
        seen.append(_as_json(_EVENT, event))
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


def _as_json(kind: Any, value: Any) -> Any:
    """What the SDK's types are made again from, with the fields that were set."""
    return kind.dump_python(value, mode="json", by_alias=True, exclude_unset=True)


def _response_again(plain: dict[str, Any]) -> Any:
    """A recorded response."""
    try:
        return _RESPONSE.validate_python(plain)
    except ValidationError:
        made = {
            "output": _Received.construct(output=plain["output"]).output,
            "usage": deserialize_usage(plain.get("usage") or {}),
        }
        return ModelResponse(**{"response_id": None, **plain, **made})


def _event_again(plain: Any) -> Any:
    """A recorded event of a stream."""
    try:
        return _EVENT.validate_python(plain)
    except ValidationError:
        return _Received.construct(event=plain).event


def _plain(value: Any) -> Any:
    return to_jsonable_python(
        value, fallback=lambda other: f"<{type(other).__qualname__}>", exclude_none=True
    )


def _digest(given: dict[str, Any]) -> str:
    """A request is found by what is asked: agents beside each other ask in any order."""
    return sha256(json.dumps(given, sort_keys=True).encode("utf-8", "replace")).hexdigest()[:16]


# -- tools ---------------------------------------------------------------------------------------


def make_durable(tools: Sequence[Any], policy: CallPolicy = ONCE) -> None:
    """Have the calls of tools that are functions be durable ones, in place."""
    for tool in tools:
        is_agent = getattr(tool, "_is_agent_tool", False)
        if (
            isinstance(tool, FunctionTool)
            and not is_agent
            and not isinstance(tool.on_invoke_tool, DurableTool)
        ):
            tool.on_invoke_tool = DurableTool(tool.on_invoke_tool, policy)


class DurableTool:
    """What a tool does, as a durable call: known by the id that the model gave the call."""

    def __init__(self, inner: Any, policy: CallPolicy) -> None:
        self.inner = inner
        self.policy = policy

    async def __call__(self, context: Any, arguments: str) -> Any:
        """What the tool returns, recorded."""
        if current_owner() is None:
            note_late_call(f"tool:{context.tool_name}")
            return await self.inner(context, arguments)

        async def invoke(**_: object) -> Any:
            return await self.inner(context, arguments)

        name, key = f"tool:{context.tool_name}", key_of(context.tool_call_id)
        given = _arguments(arguments)
        try:
            return await call_async(
                invoke, (), given, name=name[:200], key=key, policy=self.policy,
                named=lambda: None if _is_malformed(arguments) else given,
            )  # fmt: skip
        except (PolicyDenied, Rejected) as refused:
            return f"The tool call was denied: {refused.what}"


# -- sessions ------------------------------------------------------------------------------------


class Session:
    """What was said so far, as a variable of the notebook: saved, branched and put back with its steps.

    A step that is run again after a failure begins with what had been said when it began.
    """

    def __init__(self, name: str | None = None) -> None:
        scope = current_scope()
        self.session_id = name or (f"{scope.step.run_id}/{scope.step.name}" if scope else "notebook")
        self.session_settings: Any = None
        self._items: list[Any] = []
        self._step: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_step": None}

    async def get_items(self, limit: int | None = None) -> list[Any]:
        """The last ``limit`` items, or all of them."""
        if limit is None and self.session_settings is not None:
            limit = self.session_settings.limit
        items = self._begun()
        return copy.deepcopy(items if limit is None else items[max(0, len(items) - limit) :])

    async def add_items(self, items: list[Any]) -> None:
        """More was said."""
        self._begun().extend(copy.deepcopy(items))

    async def pop_item(self) -> Any:
        """Take the last item back; None where there is none."""
        items = self._begun()
        return items.pop() if items else None

    async def clear_session(self) -> None:
        """Forget everything."""
        self._begun().clear()

    def _begun(self) -> list[Any]:
        """The items, at the first use in an attempt at a step those of when the step began."""
        scope = current_scope()
        if scope is not None and (self._step is None or self._step() is not scope):
            self._step = weakref.ref(scope)
            name, key = "session", key_of(self.session_id)
            self._items = call_sync(self._copy, (), {}, name=name, key=key, policy=ONCE, is_own=True)
        return self._items

    def _copy(self) -> list[Any]:
        return copy.deepcopy(self._items)
