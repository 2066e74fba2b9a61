"""Spans as values: what a run, an attempt at a step and a durable call say of themselves, and nothing that is secret.

A run is one trace, over all its kernels: the ids are derived from what is stored. So whoever reports a thing twice says
the same, and whoever goes on with a run goes on with its trace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import PurePath
from typing import Any

from evercell.core.records import Attempt, Call, Child, Run
from evercell.core.statuses import AttemptStatus, RunStatus
from evercell.engine.telemetry import names

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
    """Trace and span of what it was started by."""
    measures: tuple[Measure, ...] = field(default=())


def trace_id_of(run_id: str) -> int:
    """The trace of a run."""
    return _number("trace", run_id, size=16)


def _number(*parts: str, size: int = 8) -> int:
    return int.from_bytes(sha256("\0".join(parts).encode()).digest()[:size]) or 1


def _run_span_id(run_id: str) -> int:
    return _number("run", run_id)


def _call_span_id(run_id: str, step: str, step_key: bytes, key: str) -> int:
    return _number("call", run_id, step, step_key.hex(), key)


def run_span(run: Run, ended_at: datetime, child: Child | None) -> SpanRecord:
    """A run that has come to its end; it is linked to the call that started it."""
    attributes: Attributes = {
        names.RUN_ID: run.id,
        names.RUN_NAME: run.name,
        names.RUN_STATUS: str(run.status),
    }
    if run.notebook is not None:
        attributes[names.NOTEBOOK] = PurePath(run.notebook).name
    link = None
    if child is not None:
        call = child.call
        started_by = _call_span_id(child.parent_id, call.step, call.step_key, call.key)
        link = (trace_id_of(child.parent_id), started_by)
    seconds = (ended_at - run.created_at).total_seconds()
    return SpanRecord(
        names.RUN_SPAN.format(run.name), trace_id_of(run.id), _run_span_id(run.id), None, run.created_at, ended_at,
        attributes, is_error=run.status is RunStatus.FAILED, link=link,
        measures=(Measure(names.RUN_DURATION, seconds, {names.RUN_STATUS: str(run.status)}),),
    )  # fmt: skip


def step_span(
    run: Run,
    attempt: Attempt,
    status: AttemptStatus,
    ended_at: datetime,
    *,
    error: str = "",
    message: str = "",
) -> SpanRecord:
    """An attempt at a step. ``error`` is the class of what ended it."""
    attributes: Attributes = {
        names.RUN_ID: run.id,
        names.RUN_NAME: run.name,
        names.STEP_NAME: attempt.step,
        names.STEP_STATUS: str(status),
        names.ATTEMPT: attempt.number,
    }
    if error:
        attributes[names.ERROR_TYPE] = error
    seconds = (ended_at - attempt.started_at).total_seconds()
    measured: Attributes = {names.STEP_STATUS: str(status)}
    return SpanRecord(
        names.STEP_SPAN.format(attempt.step), trace_id_of(run.id), _number("attempt", attempt.id),
        _run_span_id(run.id), attempt.started_at, ended_at, attributes,
        is_error=status is not AttemptStatus.COMPLETED, message=message,
        measures=(Measure(names.STEP_DURATION, seconds, measured),),
    )  # fmt: skip


def call_span(call: Call, attempt: Attempt, *, with_content: bool) -> SpanRecord:
    """A durable call that was made in this attempt. Arguments and result are in it only if so asked."""
    last: Mapping[str, Any] = call.tries[-1] if call.tries else {}
    first: Mapping[str, Any] = call.tries[0] if call.tries else {}
    seconds = _seconds(first, last)
    attributes: Attributes = {
        names.CALL_NAME: call.name,
        names.CALL_KEY: call.key,
        names.CALL_TRIES: len(call.tries) or 1,
    }
    error = "" if call.ok else str(last.get("error") or "").partition(":")[0]
    if not call.ok:
        attributes[names.ERROR_TYPE] = error or "_OTHER"
    if isinstance(cost := last.get("cost"), int | float):
        attributes[names.CALL_COST] = float(cost)
    if with_content:
        attributes |= _content(first, last)
    model = _model(last)
    attributes |= model
    outer, slash, _ = call.key.rpartition("/")
    parent = (
        _call_span_id(call.run_id, call.step, call.step_key, outer)
        if slash
        else _number("attempt", attempt.id)
    )
    measured: Attributes = {names.CALL_NAME: call.name}
    if not call.ok:
        measured[names.ERROR_TYPE] = attributes[names.ERROR_TYPE]
    return SpanRecord(
        names.CHAT_SPAN.format(model[names.REQUEST_MODEL]) if model else names.CALL_SPAN.format(call.name),
        trace_id_of(call.run_id), _call_span_id(call.run_id, call.step, call.step_key, call.key), parent,
        call.ended_at - timedelta(seconds=seconds), call.ended_at, attributes,
        is_error=not call.ok, is_client=bool(model),
        message=str(last.get("error") or "") if with_content and not call.ok else "",
        measures=(Measure(names.CALL_DURATION, seconds, measured), *_model_measures(model, seconds)),
    )  # fmt: skip


def _seconds(first: Mapping[str, Any], last: Mapping[str, Any]) -> float:
    values = [tried.get(name) for tried, name in ((first, "at"), (last, "at"), (last, "seconds"))]
    if not all(isinstance(value, int | float) and abs(value) < 10**12 for value in values):
        return 0.0
    began, began_last, took = map(float, values)  # type: ignore[arg-type]
    return max(0.0, began_last - began) + max(0.0, took)


def _content(first: Mapping[str, Any], last: Mapping[str, Any]) -> Attributes:
    found: Attributes = {}
    if arguments := first.get("arguments"):
        found[names.CALL_ARGUMENTS] = str(arguments)
    if result := last.get("result"):
        found[names.CALL_RESULT] = str(result)
    return found


def _model(last: Mapping[str, Any]) -> Attributes:
    """What the conventions want to know of a request of a model; empty for any other call."""
    read, wrote = last.get("tokens_in"), last.get("tokens_out")
    if not isinstance(read, int) or not isinstance(wrote, int):
        return {}
    model = str(last.get("model") or "unknown")
    found: Attributes = {
        names.OPERATION: names.CHAT,
        names.REQUEST_MODEL: model,
        names.RESPONSE_MODEL: model,
        names.INPUT_TOKENS: read,
        names.OUTPUT_TOKENS: wrote,
    }
    for beginning, provider in _PROVIDERS:
        if model.startswith(beginning):
            found[names.PROVIDER] = provider
            break
    return found


def _model_measures(model: Attributes, seconds: float) -> tuple[Measure, ...]:
    if not model:
        return ()
    shared = {
        name: model[name] for name in (names.OPERATION, names.PROVIDER, names.REQUEST_MODEL) if name in model
    }
    tokens = (("input", names.INPUT_TOKENS), ("output", names.OUTPUT_TOKENS))
    return (
        Measure(names.MODEL_DURATION, seconds, shared),
        *(Measure(names.TOKEN_USAGE, float(model[n]), {**shared, names.TOKEN_TYPE: t}) for t, n in tokens),
    )
