"""Spans as values: what a run, an attempt at a step and a durable call say of themselves, and nothing that is secret.

A run is one trace, over all its kernels: the ids are derived from what is stored. So whoever reports a thing twice says
the same, and whoever goes on with a run goes on with its trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from evercell.core.records import Attempt, Child, Run
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.engine.telemetry import names
from evercell.engine.telemetry.kinds import CallKind, KnownCall

_PROVIDERS = (
    ("gpt", "openai"), ("chatgpt", "openai"), ("o1", "openai"), ("o3", "openai"), ("o4", "openai"),
    ("claude", "anthropic"), ("gemini", "gcp.gemini"), ("mistral", "mistral_ai"), ("deepseek", "deepseek"),
    ("command", "cohere"), ("grok", "x_ai"),
)  # fmt: skip
"""How names of models begin, and whose they are."""

Attributes = dict[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Measure:
    """One value of a metric."""

    name: str
    value: float
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Something that happened to a span at one moment."""

    name: str
    at: datetime
    attributes: Attributes


@dataclass(frozen=True, slots=True)
class SpanRecord:
    """A span that has ended."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None
    begins: datetime
    ends: datetime
    attributes: Attributes
    is_error: bool = False
    is_client: bool = False
    """It asks something outside."""
    message: str = ""
    """Of the error, where it may be told."""
    link: tuple[int, int] | None = None
    """Trace and span of what it was started by, or branched from."""
    events: tuple[EventRecord, ...] = field(default=())
    measures: tuple[Measure, ...] = field(default=())
    place: tuple[str, int] | None = None
    """Of a call: its step, and its number there (`Call.position`)."""


def trace_id_of(run_id: str) -> int:
    """The trace of a run."""
    return _number("trace", run_id, size=16)


def _number(*parts: str, size: int = 8) -> int:
    return int.from_bytes(sha256("\0".join(parts).encode()).digest()[:size]) or 1


def _run_span_id(run_id: str) -> int:
    return _number("run", run_id)


def _call_span_id(run_id: str, step: str, step_key: bytes, key: str) -> int:
    return _number("call", run_id, step, step_key.hex(), key)


def run_span(
    run: Run,
    ended_at: datetime,
    child: Child | None,
    *,
    status: str = "",
    evaluations: tuple[EventRecord, ...] = (),
) -> SpanRecord:
    """A run; it is linked to the call that started it, and a branch to the run that it leaves.

    ``status``: how it stands where it has not come to its end.
    """
    attributes: Attributes = {
        names.RUN_ID: run.id,
        names.RUN_NAME: run.name,
        names.RUN_STATUS: status or str(run.status),
        names.OPERATION: names.INVOKE_WORKFLOW,
        names.WORKFLOW_NAME: run.name,
    }
    if run.notebook is not None:
        attributes[names.NOTEBOOK] = PurePath(run.notebook).name
    link = None
    if child is not None:
        call = child.call
        started_by = _call_span_id(child.parent_id, call.step, call.step_key, call.key)
        link = (trace_id_of(child.parent_id), started_by)
    elif run.parent is not None:
        link = (trace_id_of(run.parent), _run_span_id(run.parent))
    seconds = (ended_at - run.created_at).total_seconds()
    return SpanRecord(
        names.RUN_SPAN.format(run.name), trace_id_of(run.id), _run_span_id(run.id), None, run.created_at, ended_at,
        attributes, is_error=run.status is RunStatus.FAILED or status == AttemptStatus.INTERRUPTED, link=link,
        events=evaluations,
        measures=(Measure(names.RUN_DURATION, seconds, {names.RUN_STATUS: str(run.status)}),),
    )  # fmt: skip


def step_span(run: Run, attempt: Attempt, ended_at: datetime, *, with_content: bool = False) -> SpanRecord:
    """An attempt at a step, with the class of what ended it: ``KernelDied`` where nobody was left to say."""
    error, status = attempt.error, str(attempt.status)
    is_error = attempt.status in (AttemptStatus.FAILED, AttemptStatus.INTERRUPTED)
    if error is not None and error.ename == SUSPENDED:
        status, is_error = str(RunStatus.WAITING), False
    attributes: Attributes = {
        names.RUN_ID: run.id,
        names.RUN_NAME: run.name,
        names.STEP_NAME: attempt.step,
        names.STEP_STATUS: status,
        names.ATTEMPT: attempt.number,
    }
    if is_error:
        attributes[names.ERROR_TYPE] = error.ename if error is not None else "KernelDied"
    seconds = (ended_at - attempt.started_at).total_seconds()
    return SpanRecord(
        names.STEP_SPAN.format(attempt.step), trace_id_of(run.id), _number("attempt", attempt.id),
        _run_span_id(run.id), attempt.started_at, ended_at, attributes, is_error=is_error,
        message=f"{error.ename}: {error.evalue}" if with_content and is_error and error is not None else "",
        measures=(Measure(names.STEP_DURATION, seconds, {names.STEP_STATUS: status}),),
    )  # fmt: skip


SUSPENDED = "Suspended"
"""What ends an attempt whose wait outlasts its kernel: it is no error."""


def call_span(known: KnownCall, attempt: Attempt | None, content: Attributes | None = None) -> SpanRecord:
    """A durable call that was made in this attempt. Arguments and result are in it only where ``content`` has them."""
    call = known.call
    last: Mapping[str, Any] = call.tries[-1] if call.tries else {}
    first: Mapping[str, Any] = call.tries[0] if call.tries else {}
    seconds = _seconds(first, last)
    attributes: Attributes = {
        names.CALL_NAME: call.name,
        names.CALL_KEY: call.key,
        names.CALL_TRIES: len(call.tries) or 1,
    }
    is_error = not call.ok or (bool(known.refusal) and not known.is_deferred)
    if is_error:
        raised = str(last.get("error") or "").partition(":")[0] or "_OTHER"
        attributes[names.ERROR_TYPE] = known.refusal or raised
    elif known.is_deferred:
        attributes[names.DEFERRED] = known.refusal
    if isinstance(cost := last.get("cost"), int | float):
        attributes[names.CALL_COST] = float(cost)
    genai = _genai(known, last)
    attributes |= (content or {}) | genai
    measured: Attributes = {names.CALL_NAME: call.name}
    if is_error:
        measured[names.ERROR_TYPE] = attributes[names.ERROR_TYPE]
    return SpanRecord(
        _SPANS[known.kind].format(known.name), trace_id_of(call.run_id),
        _call_span_id(call.run_id, call.step, call.step_key, call.key),
        _parent_of(known, attempt),
        call.ended_at - timedelta(seconds=seconds), call.ended_at, attributes,
        is_error=is_error, is_client=known.kind in _OF_MODELS, place=(call.step, call.position),
        message=str(last.get("error") or "") if content is not None and not call.ok else "",
        measures=(Measure(names.CALL_DURATION, seconds, measured), *_model_measures(known, genai, seconds)),
    )  # fmt: skip


def _parent_of(known: KnownCall, attempt: Attempt | None) -> int:
    call = known.call
    if known.outer is not None:
        return _call_span_id(call.run_id, call.step, call.step_key, known.outer)
    return _number("attempt", attempt.id) if attempt is not None else _run_span_id(call.run_id)


_SPANS = {
    CallKind.CHAT: names.CHAT_SPAN,
    CallKind.EMBEDDINGS: names.EMBEDDINGS_SPAN,
    CallKind.TOOL: names.TOOL_SPAN,
    CallKind.OTHER: names.CALL_SPAN,
}
_OF_MODELS = (CallKind.CHAT, CallKind.EMBEDDINGS)


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    values = [tried.get(name) for tried, name in ((first, "at"), (last, "at"), (last, "seconds"))]
    if not all(isinstance(value, int | float) and abs(value) < 10**12 for value in values):
        return 0.0
    began, began_last, took = map(float, values)  # type: ignore[arg-type]
    return max(0.0, began_last - began) + max(0.0, took)


def _genai(known: KnownCall, last: Mapping[str, Any]) -> Attributes:
    """What the conventions want to know of a request of a model, or of a tool; empty for any other call."""
    if known.kind is CallKind.TOOL:
        found: Attributes = {
            names.OPERATION: str(known.kind),
            names.TOOL_NAME: known.name,
            names.TOOL_TYPE: names.FUNCTION,
        }
        if (given := _TOOL_CALL_ID.search(known.call.key)) and known.name != known.call.name:
            found[names.TOOL_CALL_ID] = given[1]
        return found
    if known.kind is CallKind.OTHER:
        return {}
    found = {names.OPERATION: str(known.kind), names.REQUEST_MODEL: known.name}
    if last.get("model"):
        found[names.RESPONSE_MODEL] = known.name
    for name, key in ((names.INPUT_TOKENS, "tokens_in"), (names.OUTPUT_TOKENS, "tokens_out")):
        if isinstance(tokens := last.get(key), int):
            found[name] = tokens
    for beginning, provider in _PROVIDERS:
        if known.name.startswith(beginning):
            found[names.PROVIDER] = provider
            break
    return found


_TOOL_CALL_ID = re.compile(r"\[([^\[\]/]+)\](?:#\d+)?$")
"""A framework's tool call is recorded under the id that the model gave it."""


def _model_measures(known: KnownCall, genai: Attributes, seconds: float) -> tuple[Measure, ...]:
    if known.kind not in _OF_MODELS:
        return ()
    shared = {
        name: genai[name] for name in (names.OPERATION, names.PROVIDER, names.REQUEST_MODEL) if name in genai
    }
    tokens = (("input", names.INPUT_TOKENS), ("output", names.OUTPUT_TOKENS))
    return (
        Measure(names.MODEL_DURATION, seconds, shared),
        *(
            Measure(names.TOKEN_USAGE, float(genai[n]), {**shared, names.TOKEN_TYPE: t})
            for t, n in tokens
            if n in genai
        ),
    )
