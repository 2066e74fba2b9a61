"""Tools whose calls are durable, known by the ids that a model gave them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from agents import FunctionTool

from evercell.core.errors import PolicyDenied, Rejected
from evercell.engine.approvals.tool_calls import key_of
from evercell.engine.calls.arguments import body_arguments
from evercell.engine.calls.calling import call_async
from evercell.engine.calls.ownership import current_owner, note_late_call
from evercell.engine.calls.policy import ONCE, CallPolicy


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
        given = arguments_of(arguments)
        try:
            return await call_async(
                invoke, (), given, name=name[:200], key=key, policy=self.policy,
                named=lambda: None if _is_malformed(arguments) else given,
            )  # fmt: skip
        except (PolicyDenied, Rejected) as refused:
            return f"The tool call was denied: {refused.what}"


def arguments_of(text: str) -> dict[str, Any]:
    """What a model wrote as the arguments of a tool."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = text
    return found if isinstance(found, dict) else {"arguments": text}


def _is_malformed(text: str) -> bool:
    """Whether nobody can tell what a tool would be given."""
    return body_arguments((text or "{}").encode("utf-8", "surrogatepass")) is None
