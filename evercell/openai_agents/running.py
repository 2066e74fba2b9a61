"""An agent's run: with durable models and tools, and its questions asked of people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agents import Agent, Model, RunConfig, Runner

from evercell import aio
from evercell.engine.approvals.tool_calls import approve_tool_call, key_of
from evercell.engine.calls.http.usage import Prices
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import CallPolicy
from evercell.openai_agents.answers import as_plain
from evercell.openai_agents.models import Provider, as_durable, tried_as
from evercell.openai_agents.tools import arguments_of

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
        config = replace(config, model=as_durable(config.model, requests, tools, prices))
    for each in _agents_from(agent):
        if isinstance(each.model, Model):
            each.model = as_durable(each.model, requests, tools, prices)
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
    return tried_as(inner if isinstance(inner, Provider) else Provider(inner), requests, tools, prices)


def _agents_from(agent: Any) -> list[Any]:
    """The agent, and those that it hands off to, as far as it names them."""
    found = [agent]
    for each in found:
        found += [other for other in each.handoffs if isinstance(other, Agent) and other not in found]
    return found


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
    raw = as_plain(question.raw_item)
    called = str(raw.get("call_id") or raw.get("id") or "")
    text = raw.get("arguments")
    arguments = arguments_of(text) if isinstance(text, str) else {}
    details = None if isinstance(text, str) else json.dumps(raw, indent=1, ensure_ascii=False)
    return await approve_tool_call(
        question.tool_name or "tool", arguments, key=key_of(called), details=details, approvers=approvers,
        may_edit=False,
    )  # fmt: skip
