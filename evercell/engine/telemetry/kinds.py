"""What recorded calls are to somebody who looks at an agent: requests of models, tools, or anything else.

It follows from what is recorded alone, so that a run is told in the same way while it goes on and afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from evercell.core.records import Call


class CallKind(StrEnum):
    """The GenAI operation that a call is, as OpenTelemetry calls it; empty where it is none."""

    CHAT = "chat"
    EMBEDDINGS = "embeddings"
    TOOL = "execute_tool"
    OTHER = ""


OWN_CALLS = frozenset(
    {
        *("approve", "now", "random", "uuid", "sleep", "sleep_until", "wait_for", "send", "session"),
        *("run_notebook", "start_notebook", "result", "cancel", "gate"),
    }
)
"""Names of evercell's own calls, which no agent makes for itself."""

_REQUEST = re.compile(r"[A-Z]+ \S")
"""A recorded HTTP request: ``POST api.openai.com/v1/responses``."""

_CHAT = re.compile(
    r"(?:.*/(?:chat/completions|responses|messages|completions|api/chat|api/generate|converse(?:-stream)?)"
    r"|.*:(?:streamG|g)enerateContent|(?:.*__)?model\.(?:request|stream)\w*"
    r"|(?:chat\.completions|responses|messages|completions)\.(?:create|parse|stream))(?:\?.*)?"
)
_EMBEDDINGS = re.compile(
    r"(?:.*/(?:embeddings|api/embed)|.*:\w*embedContents?|embeddings\.create)(?:\?.*)?", re.I
)
_TOOL_OF_FRAMEWORK = re.compile(r"(?:.*\bcall_tool|tool):(.+)", re.S)
_REFUSAL = re.compile(
    r"'kind': '(model_retry|tool_failed|validation_error|run_cancelled|approval_required|call_deferred)'\}$"
)
_OF_AGENT = re.compile(r"__(?:run_start_time|event_stream_handler\w*)$")
"""What agents of frameworks do beside asking models and calling tools."""

_MODEL = re.compile(r"(?:^|, )model='([^']*)'")


@dataclass(frozen=True, slots=True)
class KnownCall:
    """A recorded call, and what it is."""

    call: Call
    kind: CallKind
    name: str
    """Of the model or the tool; that of the call otherwise."""
    outer: str | None
    """The key of the nearest recorded call around it."""

    @property
    def refusal(self) -> str:
        """What the tool of a framework said instead of a result, which the framework keeps as one: ``ModelRetry``."""
        if self.kind is not CallKind.TOOL or self.name == self.call.name or not self.call.tries:
            return ""
        said = _REFUSAL.search(str(self.call.tries[-1].get("result") or ""))
        return "".join(map(str.capitalize, said[1].split("_"))) if said is not None else ""

    @property
    def is_deferred(self) -> bool:
        """Whether it waits for somebody and was not executed."""
        return self.refusal in ("ApprovalRequired", "CallDeferred")


def know_calls(calls: Iterable[Call]) -> list[KnownCall]:
    """What the calls of a run are, in their order."""
    listed = list(calls)
    groups: dict[tuple[str, bytes], dict[str, Call]] = {}
    for call in listed:
        groups.setdefault((call.step, call.step_key), {})[call.key] = call
    kinds = {group: _kinds(by_key) for group, by_key in groups.items()}
    return [
        KnownCall(call, *kinds[call.step, call.step_key][call.key],
                  _outer(call.key, groups[call.step, call.step_key]))
        for call in listed
    ]  # fmt: skip


def _kinds(by_key: Mapping[str, Call]) -> dict[str, tuple[CallKind, str]]:
    """(A function that asks a model is no tool, nor is what a tool calls: nobody chose to call that.)"""
    found = {key: _alone(call) for key, call in by_key.items()}
    asking = {
        outer for key, (kind, _) in found.items() if kind is CallKind.CHAT for outer in _around(key, by_key)
    }
    for key in sorted(by_key, key=len):  # the outer ones first
        kind, name = found[key]
        if kind is not CallKind.TOOL or _TOOL_OF_FRAMEWORK.fullmatch(by_key[key].name):
            continue
        inside_tool = any(found[outer][0] is CallKind.TOOL for outer in _around(key, by_key))
        if key in asking or inside_tool:
            found[key] = CallKind.OTHER, name
    return found


def _alone(call: Call) -> tuple[CallKind, str]:
    """What a call is by itself."""
    last: Mapping[str, Any] = call.tries[-1] if call.tries else {}
    has_tokens = isinstance(last.get("tokens_in"), int) and isinstance(last.get("tokens_out"), int)
    if _EMBEDDINGS.fullmatch(call.name):
        return CallKind.EMBEDDINGS, _model_of(call, last)
    if has_tokens or _CHAT.fullmatch(call.name):
        return CallKind.CHAT, _model_of(call, last)
    if tool := _TOOL_OF_FRAMEWORK.fullmatch(call.name):
        return CallKind.TOOL, tool[1]
    is_function = "." not in call.name and not _REQUEST.match(call.name) and not _OF_AGENT.search(call.name)
    if is_function and call.name not in OWN_CALLS:
        return CallKind.TOOL, call.name
    return CallKind.OTHER, call.name


def _model_of(call: Call, last: Mapping[str, Any]) -> str:
    """As the answer has it; of one that did not come, as it was asked for."""
    if model := last.get("model"):
        return str(model)
    asked = _MODEL.search(str(call.tries[0].get("arguments") or "")) if call.tries else None
    return asked[1] if asked else "unknown"


def _around(key: str, by_key: Mapping[str, Call]) -> Iterator[str]:
    """Keys of the recorded calls around a call, the nearest first. (Names of requests have slashes, too, and the nodes
    of a graph stand in keys without being calls.)
    """
    end = key.rfind("/")
    while end > 0:
        if key[:end] in by_key:
            yield key[:end]
        end = key.rfind("/", 0, end)


def _outer(key: str, by_key: Mapping[str, Call]) -> str | None:
    return next(_around(key, by_key), None)
