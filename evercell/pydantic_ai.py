"""Agents of pydantic-ai whose model requests and tool calls are durable inside of a step.

    from evercell.pydantic_ai import Durability

    agent = Agent("openai:gpt-5", name="clerk", capabilities=[Durability()])

Outside of a step such an agent is what it was. Names that are stored (`operation names`) are those of pydantic-ai's
own `JournalOperationNamer`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, Literal

from evercell import aio
from evercell.core.errors import PolicyDenied, Rejected, UsageError
from evercell.engine.answer_records import answer_record, parts_answer
from evercell.engine.approvals.tool_calls import approve_tool_call, key_of
from evercell.engine.calls.calling import call_async
from evercell.engine.calls.http.prompts import PROMPT, prompt_of
from evercell.engine.calls.http.usage import Prices, usage_record
from evercell.engine.calls.nondeterminism import present_moment, uuid
from evercell.engine.calls.ownership import current_scope
from evercell.engine.calls.policy import ONCE, CallPolicy

try:
    from pydantic_ai.agent import Agent
    from pydantic_ai.durable_exec import (
        JSON_CODEC,
        BaseDurabilityCapability,
        DurabilityEngineSpec,
        JournalCallableOperationBackend,
        ModelRequestId,
        ToolsetCallToolId,
        ToolsetValidateToolArgumentsId,
        conversation_id_from_run_id,
    )
    from pydantic_ai.exceptions import ToolFailed
    from pydantic_ai.messages import ModelMessagesTypeAdapter
    from pydantic_ai.tools import ToolApproved, ToolDenied
    from pydantic_core import PydanticSerializationError, to_jsonable_python
except ImportError as error:
    raise UsageError(
        f"evercell.pydantic_ai needs pydantic-ai 2.62 or newer of version 2 ({error}).",
        hint='pip install "pydantic-ai-slim>=2.62,<3"',
    ) from error

__all__ = ["Durability"]

CONFIG = "evercell"
"""Key of a tool's metadata: how its calls are tried, or False."""

_LONGEST_NAME = 200
"""Characters of a call's name in the store."""


class JsonCodec:
    """Results as JSON, which another version of pydantic-ai reads, too."""

    def dump(self, kind: Any, value: Any) -> Any:
        """Raises `UsageError` for a value that cannot be written."""
        try:
            return JSON_CODEC.dump(kind, value)
        except (PydanticSerializationError, TypeError, UnicodeError) as error:
            raise UsageError(
                f"A tool returned what cannot be written as JSON, and so cannot be kept: {error}.",
                hint="Return plain values, dataclasses, Pydantic models or BinaryContent from an agent's tools.",
            ) from error

    load = staticmethod(JSON_CODEC.load)  # no function of ours, for agents hold it, and are saved with it


class Durability(BaseDurabilityCapability[Any]):
    """Inside of a step each model request, tool call and MCP request of the agent is a durable call.

    A tool that requires approval asks a person, who may edit its arguments first (``approve=False``: pydantic-ai's
    own deferred results). ``requests`` and ``tools`` say how requests and tool calls are tried, a tool's own
    ``metadata={"evercell": {"retries": 3, "limit": "mail"}}`` how that tool is; ``{"evercell": False}``: it is not
    durable. ``prices``: model → cost of a million tokens in, and out. ``models`` and ``event_stream_handler`` are
    pydantic-ai's: further models by name, and who hears the events of a run.
    """

    engine_spec = DurabilityEngineSpec(
        engine_name="evercell",
        durable_unit_noun="durable call",
        durable_container_noun="step",
        codec=JsonCodec(),
        wrapped_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
        toolset_lifecycles={
            "function": "enter-always",
            "mcp": "enter-in-durable-unit",
            "dynamic": "enter-never",
        },
        unsupported_runtime_toolset_kinds=frozenset({"function", "mcp", "dynamic"}),
        tool_config_key=CONFIG,
    )

    def __init__(
        self, *, requests: CallPolicy = ONCE, tools: CallPolicy = ONCE, approve: bool = True,
        approvers: Sequence[str] | None = None, prices: Prices | None = None,
        models: Mapping[str, Any] | None = None, event_stream_handler: Any = None, name: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__(models=models, event_stream_handler=event_stream_handler, name=name)
        self.requests = requests
        self.tools = tools
        self.approve = approve
        self.approvers = approvers
        self.prices = prices or {}

    @property
    def in_durable_context(self) -> bool:
        """Whether the agent runs in a step, also as a tool of another one."""
        return current_scope() is not None

    def get_durable_operation_backend(self) -> DurableCalls:
        """What makes durable calls of pydantic-ai's operations."""
        policies = CallPolicies(self.requests, self.tools)
        return DurableCalls(
            agent_name=self.name, default_model_id=self.default_model_id, config=policies, prices=self.prices
        )

    # -- what is the same when the step goes on after a kill ---------------------------------------

    def get_default_run_id(self) -> str | None:
        return str(uuid()) if self.in_durable_context else None

    def get_default_conversation_id(self, run_id: str) -> str | None:
        return conversation_id_from_run_id(run_id) if self.in_durable_context else None

    async def get_run_start_time(self, run_id: str) -> datetime | None:  # noqa: ARG002
        if not self.in_durable_context:
            return None
        began: datetime = await call_async(
            _moment, (), {}, name=_short(f"{self.name}__run_start_time"), key=None, policy=ONCE, is_own=True
        )
        return began

    async def wrap_run(self, ctx: Any, *, handler: Any) -> Any:  # noqa: ARG002
        """Tools run side by side, but what is heard of them comes in order; what the agent waits for is durable."""
        if not self.in_durable_context:
            return await handler()
        with Agent.parallel_tool_call_execution_mode("parallel_ordered_events"), Agent.using_sleep(aio.sleep):
            return await handler()

    # -- approvals -------------------------------------------------------------------------------

    async def handle_deferred_tool_calls(self, ctx: Any, *, requests: Any) -> Any:  # noqa: ARG002
        """Ask about the tool calls that need an approval, all at once."""
        if not (self.approve and requests.approvals and self.in_durable_context):
            return None
        asked = [self._decide(call, requests.metadata.get(call.tool_call_id)) for call in requests.approvals]
        answers = await aio.gather(*asked)
        ids = [call.tool_call_id for call in requests.approvals]
        return requests.build_results(approvals=dict(zip(ids, answers, strict=True)))

    async def _decide(self, call: Any, details: Any) -> Any:
        arguments, key = call.args_as_dict(), key_of(call.tool_call_id)
        decision = await approve_tool_call(
            call.tool_name, arguments, key=key, details=details, approvers=self.approvers
        )
        if not decision:
            comment = f" {decision.comment}" if decision.comment else ""
            return ToolDenied(f"The tool call was denied.{comment}")
        is_edited = decision.values is not None and decision.values != arguments
        return ToolApproved(override_args=decision.values if is_edited else None)


class DurableCalls(JournalCallableOperationBackend[CallPolicy]):
    """Executes each of pydantic-ai's operations as one durable call of the step."""

    def __init__(self, *, prices: Prices, **options: Any) -> None:
        super().__init__(**options)
        self._prices = prices

    async def execute(
        self, *, operation_id: Any, name: str, body: Callable[[], Awaitable[object]],
        cache_key: tuple[Any, ...], config: CallPolicy,
    ) -> object:  # fmt: skip
        """Replayed where it is recorded. What it was given is compared without what differs from run to run."""

        async def unit(**_: object) -> object:
            return await body()

        if isinstance(operation_id, ToolsetCallToolId) and operation_id.toolset_kind == "mcp":
            name = f"{name}:{cache_key[0]}"  # as those of functions are named: policies know tools by it
        key, given = _identity(operation_id, cache_key)
        describe = None
        if isinstance(operation_id, ModelRequestId):
            describe = partial(_usage, prices=self._prices, prompt=_prompt(given["messages"]))
        try:
            return await call_async(
                unit, (), given, name=_short(name), key=key, policy=config, describe=describe
            )
        except (PolicyDenied, Rejected) as refused:
            if isinstance(operation_id, ToolsetCallToolId):
                raise ToolFailed(f"The tool call was denied: {refused.what}") from refused
            raise


@dataclass(frozen=True)
class CallPolicies:
    """How the operations of an agent are tried."""

    requests: CallPolicy
    tools: CallPolicy

    def base(self, role: str, *, operation_id: object) -> CallPolicy:  # noqa: ARG002
        """How an operation is tried. An event is heard once: who hears it raises what it likes."""
        return {"model": self.requests, "event": ONCE}.get(role, self.tools)

    def for_tool(
        self, role: str, *, operation_id: object, tool: Any, tool_name: str  # noqa: ARG002
    ) -> CallPolicy | Literal[False]:  # fmt: skip
        """How a tool's calls are tried; False: they are not durable. Raises `UsageError`."""
        metadata = tool.tool_def.metadata if tool is not None else None
        options = (metadata or {}).get(CONFIG)
        if options is None:
            return self.tools
        if options is False:
            return False
        known = [field.name for field in fields(CallPolicy)]
        if not isinstance(options, Mapping) or not set(options) <= set(known):
            raise UsageError(
                f"The tool {tool_name} has metadata for evercell that it does not know: {options!r}.",
                hint=f'metadata={{"evercell": {{"retries": 3}}}} (also: {", ".join(known)}), or False.',
            )
        return CallPolicy(**{**self.tools.options(), **options})


# -- the identity of an operation ----------------------------------------------------------------


def _identity(operation_id: object, cache_key: tuple[Any, ...]) -> tuple[str | None, dict[str, Any]]:
    """The key that a call has of its own, and what was given to it, in plain values."""
    match operation_id, cache_key:
        case ModelRequestId(model_name=model), (_, messages, *_, ctx):
            return key_of(f"{ctx.run_id}.{ctx.run_step}"), {
                "model": model,
                "messages": _plain_messages(messages),
            }
        case ToolsetCallToolId() | ToolsetValidateToolArgumentsId(), (_, dict() as arguments, ctx, *_):
            given = to_jsonable_python(arguments, fallback=lambda value: f"<{type(value).__qualname__}>")
            return key_of(ctx.tool_call_id or ""), {str(name): value for name, value in given.items()}
    return None, {}


_VOLATILE = ("timestamp", "run_id", "conversation_id")
"""Of messages: they say when, and in which run, the same was said."""


def _plain_messages(messages: list[Any]) -> list[dict[str, Any]]:
    """Messages as JSON, but for what another attempt says otherwise."""
    plain: list[dict[str, Any]] = ModelMessagesTypeAdapter.dump_python(messages, mode="json")
    for message in plain:
        for part in (message, *message["parts"]):
            for name in _VOLATILE:
                part.pop(name, None)
            if part.get("part_kind") == "retry-prompt" and not part.get("tool_name"):
                part.pop("tool_call_id", None)  # made at random: it answers no call
    return plain


def _short(name: str) -> str:
    """A name that the store can have."""
    if len(name) <= _LONGEST_NAME:
        return name
    return f"{name[: _LONGEST_NAME - 17]}~{sha256(name.encode()).hexdigest()[:16]}"


# -- results -------------------------------------------------------------------------------------


async def _moment() -> datetime:
    return present_moment()


def _usage(response: Any, *, prices: Prices, prompt: dict[str, Any]) -> dict[str, Any]:
    """Tokens and cost of a response, which is plain by now; what it says, and what the user had said."""
    if not isinstance(response, dict):
        return prompt
    model = response.get("model_name")
    said = answer_record(parts_answer(response.get("parts"), model if isinstance(model, str) else ""))
    usage = response.get("usage") or {}
    read, wrote = usage.get("input_tokens") or 0, usage.get("output_tokens") or 0
    return {**prompt, **said, **(usage_record(model, read, wrote, prices) if usage else {})}


def _prompt(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What the user said last."""
    parts = (part for message in messages for part in message.get("parts", ()))
    turns = [{"content": part.get("content")} for part in parts if part.get("part_kind") == "user-prompt"]
    text = prompt_of({"messages": turns})
    return {PROMPT: text} if text else {}
